INSERT INTO public.releases VALUES (1, 'shop', 'v1.4.0', 'production');
INSERT INTO public.releases VALUES (2, 'shop', 'v1.4.1-rc1', 'staging');
UPDATE public.releases SET approved_by = 'ada' WHERE id = 1;
