CREATE TABLE public.releases (
    id bigint PRIMARY KEY,
    repository text NOT NULL,
    version text NOT NULL,
    environment text NOT NULL,
    approved_by text
);
-- The condition reads the old row.
ALTER TABLE public.releases REPLICA IDENTITY FULL;
