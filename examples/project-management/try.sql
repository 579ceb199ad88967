INSERT INTO public.tasks VALUES (7, 'website', 'New start page');
UPDATE public.tasks SET assignee = 'ada' WHERE id = 7;
UPDATE public.tasks SET notes = 'see the draft' WHERE id = 7;
UPDATE public.tasks SET done_at = '2026-11-24 10:00:00+00' WHERE id = 7;
