INSERT INTO public.form_submissions VALUES
    (1, 'newsletter', 'ada@example.com', 'Ada', true, '{"source": "spring-sale"}', '192.0.2.7'),
    (2, 'newsletter', 'bob@example.com', 'Bob', false, '{}', '192.0.2.8'),
    (3, 'webinar', 'eve@example.com', NULL, true, '{}', '192.0.2.9');
