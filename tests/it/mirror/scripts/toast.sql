-- Values that are stored apart: touched, untouched, in the key, under every identity.
CREATE SCHEMA m;
CREATE FUNCTION m.long(seed text, words int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(md5(seed || ' ' || g), '') FROM generate_series(1, words) g
$$;
CREATE TABLE m.by_key (id int PRIMARY KEY, a text, b text, n int);
CREATE TABLE m.whole (id int PRIMARY KEY, a text, b text, n int);
ALTER TABLE m.whole REPLICA IDENTITY FULL;
CREATE TABLE m.bag (a text, n int);
ALTER TABLE m.bag REPLICA IDENTITY FULL;
CREATE TABLE m.indexed (id int PRIMARY KEY, code text NOT NULL UNIQUE, a text, n int);
ALTER TABLE m.indexed REPLICA IDENTITY USING INDEX indexed_code_key;
CREATE TABLE m.long_key (key text PRIMARY KEY, a text, n int);
CREATE TABLE m.kinds (id int PRIMARY KEY, bytes bytea, doc jsonb, plain json, list text[], numbers int[], x xml, n int);
ALTER TABLE m.by_key ALTER a SET STORAGE EXTERNAL;
ALTER TABLE m.whole ALTER a SET STORAGE EXTERNAL;
ALTER TABLE m.bag ALTER a SET STORAGE EXTERNAL;
ALTER TABLE m.indexed ALTER a SET STORAGE EXTERNAL, ALTER code SET STORAGE EXTERNAL;
ALTER TABLE m.long_key ALTER key SET STORAGE EXTERNAL, ALTER a SET STORAGE EXTERNAL;
ALTER TABLE m.kinds ALTER bytes SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL, ALTER list SET STORAGE EXTERNAL;
-- The daemon starts.
INSERT INTO m.by_key SELECT g, m.long(g::text, 300), m.long('b', 100 * g), g FROM generate_series(1, 5) g;
UPDATE m.by_key SET n = n + 1;
UPDATE m.by_key SET a = a || 'x' WHERE id = 1;
UPDATE m.by_key SET id = id + 10;
UPDATE m.by_key SET a = NULL, n = 0 WHERE id = 12;
UPDATE m.by_key SET b = a, a = b WHERE id = 13;
UPDATE m.by_key SET a = a, b = b || '';
UPDATE m.by_key SET a = 'short' WHERE id = 14;
-- Twice in one transaction, and back.
BEGIN;
UPDATE m.by_key SET n = 7 WHERE id = 15;
UPDATE m.by_key SET a = m.long('new', 200) WHERE id = 15;
UPDATE m.by_key SET n = 8 WHERE id = 15;
SAVEPOINT s;
UPDATE m.by_key SET a = 'lost' WHERE id = 15;
ROLLBACK TO s;
UPDATE m.by_key SET n = 9, id = 16 WHERE id = 15;
COMMIT;
DELETE FROM m.by_key WHERE id = 11;
INSERT INTO m.whole SELECT g, m.long(g::text, 300), m.long('b', 100 * g), g FROM generate_series(1, 5) g;
UPDATE m.whole SET n = n + 1;
UPDATE m.whole SET id = id + 10, b = NULL WHERE id < 3;
UPDATE m.whole SET a = b, b = a;
DELETE FROM m.whole WHERE n % 2 = 0;
INSERT INTO m.bag SELECT m.long((g % 2)::text, 300), g % 2 FROM generate_series(1, 6) g;
UPDATE m.bag SET n = 2 WHERE n = 1;
UPDATE m.bag SET a = a || 'y' WHERE ctid IN (SELECT ctid FROM m.bag WHERE n = 2 LIMIT 1);
DELETE FROM m.bag WHERE ctid IN (SELECT ctid FROM m.bag WHERE n = 0 LIMIT 2);
INSERT INTO m.indexed SELECT g, m.long(g::text, 75), m.long('a', 300), g FROM generate_series(1, 4) g;
UPDATE m.indexed SET n = n + 1;
UPDATE m.indexed SET id = id + 10;
UPDATE m.indexed SET code = m.long('other', 70) WHERE id = 12;
DELETE FROM m.indexed WHERE id = 13;
INSERT INTO m.long_key SELECT m.long(g::text, 75), m.long('a', 300), g FROM generate_series(1, 4) g;
UPDATE m.long_key SET n = n + 1;
UPDATE m.long_key SET a = 'short' WHERE n = 2;
UPDATE m.long_key SET key = m.long('other', 75) WHERE n = 3;
UPDATE m.long_key SET key = 'short' WHERE n = 4;
DELETE FROM m.long_key WHERE n = 5;
INSERT INTO m.kinds SELECT g, decode(m.long('x', 300), 'hex'), jsonb_build_object('k', m.long('j', 300), 'n', 1.10),
    ('{"k" :  "' || m.long('p', 300) || '", "n": 1.10}')::json, array[m.long('l', 100), NULL, 'NULL', ''],
    array(SELECT generate_series(1, 3000)), ('<a>' || m.long('x', 300) || '</a>')::xml, g FROM generate_series(1, 3) g;
UPDATE m.kinds SET n = n + 1;
UPDATE m.kinds SET doc = doc || '{"new": 1.50}', id = -id WHERE n = 2;
UPDATE m.kinds SET list = list || 'more'::text, numbers = NULL WHERE n = 3;
-- What is stored in another way from now on.
ALTER TABLE m.kinds ALTER doc SET STORAGE EXTENDED, ALTER bytes SET STORAGE MAIN;
UPDATE m.kinds SET n = 0;
UPDATE m.kinds SET doc = doc - 'new', bytes = bytes || '\x00';
VACUUM FULL m.kinds;
UPDATE m.kinds SET n = 1;
