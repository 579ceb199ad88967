-- Every statement that changes rows, and what changes them behind it.
CREATE SCHEMA m;
CREATE TABLE m.t (id int PRIMARY KEY, n numeric(10, 2) DEFAULT 1, t text, UNIQUE (t));
CREATE TABLE m.log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text, row jsonb);
CREATE TABLE m.other (id int PRIMARY KEY, n numeric);
CREATE TABLE m.computed (id int PRIMARY KEY, a int, doubled int GENERATED ALWAYS AS (a * 2) STORED, z text);
CREATE FUNCTION m.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO m.log (what, row) VALUES (TG_OP, to_jsonb(coalesce(NEW, OLD)));
    RETURN NULL;
END $$;
CREATE FUNCTION m.adjust() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.n < 0 THEN RETURN NULL; END IF;
    NEW.t := coalesce(NEW.t, 'made for ' || NEW.id);
    RETURN NEW;
END $$;
CREATE TRIGGER adjust BEFORE INSERT OR UPDATE ON m.t FOR EACH ROW EXECUTE FUNCTION m.adjust();
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON m.t FOR EACH ROW EXECUTE FUNCTION m.note();
CREATE VIEW m.seen AS SELECT id, t FROM m.t WHERE n < 100;
CREATE RULE as_well AS ON DELETE TO m.other DO ALSO INSERT INTO m.log (what) VALUES ('rule ' || OLD.id);
-- The daemon starts.
INSERT INTO m.t (id) SELECT g FROM generate_series(1, 10) g;
INSERT INTO m.t VALUES (11, -1, 'refused by the trigger'), (12, 2.5, NULL);
INSERT INTO m.t VALUES (1, 5, 'x'), (20, 5, 'y') ON CONFLICT DO NOTHING;
INSERT INTO m.t VALUES (1, 5, 'x'), (21, 5, 'z') ON CONFLICT (id) DO UPDATE SET n = EXCLUDED.n, t = EXCLUDED.t;
INSERT INTO m.t VALUES (22, 6, 'x') ON CONFLICT (t) DO UPDATE SET id = 23 WHERE m.t.id = 1;
INSERT INTO m.t VALUES (1, 5, 'w'), (23, 7, 'v') ON CONFLICT (id) DO UPDATE SET n = 0 WHERE m.t.n > 1000;
UPDATE m.t SET n = n WHERE id = 2;
UPDATE m.t SET n = -1 WHERE id = 3;
UPDATE m.t SET n = o.n FROM (VALUES (4, 40), (4, 41), (5, 50)) o(id, n) WHERE o.id = m.t.id;
UPDATE m.seen SET t = 'through the view' WHERE id = 6;
DELETE FROM m.seen WHERE id = 7;
INSERT INTO m.seen VALUES (30, 'through the view, too');
WITH gone AS (DELETE FROM m.t WHERE id > 20 RETURNING *), kept AS (INSERT INTO m.other SELECT id, n FROM gone RETURNING *)
    UPDATE m.t SET n = (SELECT sum(n) FROM kept) WHERE id = 8;
DELETE FROM m.other USING m.t WHERE m.other.n = m.t.n;
COPY m.other (id) FROM PROGRAM 'seq 100 150';
COPY m.other FROM PROGRAM 'seq -f "%.0f,1.10" 200 250' (FORMAT csv);
-- Fails.
COPY m.other (id) FROM PROGRAM 'seq 240 260';
BEGIN;
TRUNCATE m.other;
COPY m.other (id) FROM PROGRAM 'seq 1 30' (FREEZE);
COMMIT;
-- No MERGE where there is a rule.
DROP RULE as_well ON m.other;
-- From 15.
MERGE INTO m.other USING m.t ON m.t.id = m.other.id WHEN MATCHED AND m.t.id < 4 THEN DELETE
    WHEN MATCHED THEN UPDATE SET n = m.t.n WHEN NOT MATCHED THEN INSERT VALUES (m.t.id, 0);
-- From 17.
MERGE INTO m.other USING m.t ON m.t.id = m.other.id WHEN MATCHED THEN UPDATE SET n = 17
    WHEN NOT MATCHED BY SOURCE THEN DELETE;
INSERT INTO m.computed (id, a) SELECT g, g FROM generate_series(1, 5) g;
UPDATE m.computed SET a = a + 1, z = 'z' WHERE id < 4;
UPDATE m.computed SET id = id + 10;
SELECT * FROM m.t FOR UPDATE;
DELETE FROM m.t WHERE false;
SET session_replication_role = replica;
UPDATE m.t SET n = -5 WHERE id = 9;
RESET session_replication_role;
ALTER TABLE m.t DISABLE TRIGGER note;
UPDATE m.t SET n = 9.9 WHERE id = 10;
TRUNCATE m.log RESTART IDENTITY;
INSERT INTO m.log (what) VALUES ('the first again');
BEGIN;
CREATE TABLE m.short_lived AS SELECT * FROM m.t;
UPDATE m.short_lived SET n = 0;
INSERT INTO m.other SELECT id + 2000, n FROM m.short_lived;
DROP TABLE m.short_lived;
COMMIT;
DO $$ BEGIN
    FOR i IN 1..20 LOOP
        EXECUTE format('INSERT INTO m.other VALUES (%s, %s)', 1000 + i, i / 3.0);
        UPDATE m.other SET n = round(n, 2) WHERE id = 1000 + i;
    END LOOP;
END $$;
