CREATE TABLE public.incidents (
    id bigint PRIMARY KEY,
    title text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('low', 'high', 'critical')),
    status text NOT NULL DEFAULT 'open'
);
-- The conditions read the old row.
ALTER TABLE public.incidents REPLICA IDENTITY FULL;
