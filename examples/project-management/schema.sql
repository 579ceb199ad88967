CREATE TABLE public.tasks (
    id bigint PRIMARY KEY,
    project text NOT NULL,
    title text NOT NULL,
    assignee text,
    done_at timestamptz,
    notes text
);
-- The conditions read the old row.
ALTER TABLE public.tasks REPLICA IDENTITY FULL;
