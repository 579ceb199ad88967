CREATE TABLE public.payments (
    id bigint PRIMARY KEY,
    order_reference text NOT NULL,
    amount numeric(20, 4) NOT NULL,
    currency char(3) NOT NULL,
    status text NOT NULL,
    card_number text
);
CREATE TABLE public.refunds (
    id bigint PRIMARY KEY,
    payment_id bigint NOT NULL REFERENCES public.payments,
    amount numeric(20, 4) NOT NULL
);
-- The condition reads the old row.
ALTER TABLE public.payments REPLICA IDENTITY FULL;
