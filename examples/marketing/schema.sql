CREATE TABLE public.form_submissions (
    id bigint PRIMARY KEY,
    form text NOT NULL,
    email text NOT NULL,
    name text,
    consent boolean NOT NULL,
    utm jsonb NOT NULL DEFAULT '{}',
    ip inet
);
