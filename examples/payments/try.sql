INSERT INTO public.payments VALUES (1, 'A-100', 12345678901234.5600, 'EUR', 'pending', '4000123412341234');
UPDATE public.payments SET status = 'settled' WHERE id = 1;
INSERT INTO public.refunds VALUES (1, 1, 0.1000);
