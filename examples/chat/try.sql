INSERT INTO public.incidents VALUES (41, 'disk is full on db-2', 'critical');
INSERT INTO public.incidents VALUES (42, 'a typo on the start page', 'low');
UPDATE public.incidents SET status = 'resolved' WHERE id = 41;
