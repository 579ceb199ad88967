-- Changes of the schema, each told by a message of its transaction.
CREATE SCHEMA m;
CREATE TABLE m.t (id int PRIMARY KEY, a text, b int);
CREATE TABLE m.again (id int PRIMARY KEY, a text);
-- The daemon starts.
INSERT INTO m.t SELECT g, 'a' || g, g FROM generate_series(1, 10) g;
BEGIN;
ALTER TABLE m.t ADD COLUMN c text;
SELECT pg_logical_emit_message(true, 'mirror.ddl', '{"steps": [{"add_column": {"table": "m.t", "column": "c", "value": null}}]}');
COMMIT;
UPDATE m.t SET c = 'c' WHERE id < 3;
BEGIN;
ALTER TABLE m.t ADD COLUMN d numeric DEFAULT 1.50;
SELECT pg_logical_emit_message(true, 'mirror.ddl', '{"steps": [{"add_column": {"table": "m.t", "column": "d", "value": 1.50}}]}');
COMMIT;
UPDATE m.t SET a = 'x' WHERE id = 4;
-- Each row has a value of its own then, and nothing is sent of them: they are touched.
BEGIN;
ALTER TABLE m.t ADD COLUMN e uuid DEFAULT gen_random_uuid();
SELECT pg_logical_emit_message(true, 'mirror.ddl', '{"steps": [{"add_column": {"table": "m.t", "column": "e", "value": null}}]}');
UPDATE m.t SET id = id;
COMMIT;
BEGIN;
ALTER TABLE m.t DROP COLUMN a;
SELECT pg_logical_emit_message(true, 'mirror.ddl', '{"steps": [{"drop_column": {"table": "m.t", "column": "a"}}]}');
INSERT INTO m.t VALUES (11, 11, 'c');
ALTER TABLE m.t ADD COLUMN a int;
SELECT pg_logical_emit_message(true, 'mirror.ddl', '{"steps": [{"add_column": {"table": "m.t", "column": "a", "value": null}}]}');
INSERT INTO m.t (id, a) VALUES (12, 12);
UPDATE m.t SET a = id WHERE id < 5;
COMMIT;
BEGIN;
ALTER TABLE m.t RENAME COLUMN b TO "B ""b""";
SELECT pg_logical_emit_message(true, 'mirror.ddl', '{"steps": [{"rename_column": {"table": "m.t", "column": "b", "to": "B \"b\""}}]}');
COMMIT;
INSERT INTO m.t (id, "B ""b""") VALUES (13, 13);
-- The key, too.
BEGIN;
ALTER TABLE m.t RENAME COLUMN id TO number;
SELECT pg_logical_emit_message(true, 'mirror.ddl', '{"steps": [{"rename_column": {"table": "m.t", "column": "id", "to": "number"}}]}');
UPDATE m.t SET number = number + 100 WHERE number > 10;
COMMIT;
DELETE FROM m.t WHERE number = 112;
BEGIN;
ALTER TABLE m.t ALTER number TYPE bigint;
UPDATE m.t SET number = -number WHERE number < 4;
COMMIT;
BEGIN;
ALTER TABLE m.t ALTER "B ""b""" TYPE text USING 'text ' || "B ""b""";
UPDATE m.t SET number = number;
COMMIT;
ALTER TABLE m.t ALTER d SET DEFAULT 7, ALTER d SET NOT NULL;
INSERT INTO m.t (number) VALUES (20);
-- Another key, and a row that is known by all that it has.
BEGIN;
ALTER TABLE m.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (e);
SELECT pg_logical_emit_message(true, 'mirror.ddl', '{"steps": [{"key": {"table": "m.t", "key": ["e"]}}]}');
COMMIT;
UPDATE m.t SET number = 1 WHERE number < 10;
BEGIN;
ALTER TABLE m.t REPLICA IDENTITY FULL;
ALTER TABLE m.t DROP CONSTRAINT t_pkey, ALTER e DROP NOT NULL;
SELECT pg_logical_emit_message(true, 'mirror.ddl', '{"steps": [{"key": {"table": "m.t", "key": null}}]}');
COMMIT;
UPDATE m.t SET e = NULL, c = 'no key' WHERE number = 1;
DELETE FROM m.t WHERE number = 1 AND d IS NULL;
-- Another name, also one after the other.
BEGIN;
ALTER TABLE m.t RENAME TO "T.t";
SELECT pg_logical_emit_message(true, 'mirror.ddl', '{"steps": [{"rename": {"table": "m.t", "to": "m.T.t"}}]}');
INSERT INTO m."T.t" (number, c) VALUES (30, 'renamed');
COMMIT;
UPDATE m."T.t" SET c = 'after' WHERE number = 30;
BEGIN;
ALTER TABLE m."T.t" RENAME TO t;
SELECT pg_logical_emit_message(true, 'mirror.ddl', '{"steps": [{"rename": {"table": "m.T.t", "to": "m.t"}}]}');
COMMIT;
UPDATE m.t SET c = 'back' WHERE number = 30;
-- Two that swap their names.
INSERT INTO m.again SELECT g, 'again' FROM generate_series(1, 5) g;
BEGIN;
ALTER TABLE m.t RENAME TO x;
ALTER TABLE m.again RENAME TO t;
ALTER TABLE m.x RENAME TO again;
SELECT pg_logical_emit_message(true, 'mirror.ddl', '{"steps": [{"rename": {"table": "m.t", "to": "m.x"}},
    {"rename": {"table": "m.again", "to": "m.t"}}, {"rename": {"table": "m.x", "to": "m.again"}}]}');
UPDATE m.t SET a = 'swapped' WHERE id = 1;
UPDATE m.again SET c = 'swapped' WHERE number = 30;
COMMIT;
DELETE FROM m.t WHERE id > 3;
-- Dropped and created again: another table, which joins by its name.
BEGIN;
DROP TABLE m.t;
SELECT pg_logical_emit_message(true, 'mirror.ddl', '{"steps": [{"drop": {"table": "m.t"}}]}');
CREATE TABLE m.t (a text PRIMARY KEY, other jsonb);
SELECT pg_logical_emit_message(true, 'mirror.ddl', '{"steps": [{"create": {"table": "m.t", "key": ["a"]}}]}');
COMMIT;
-- Joins: m.t
INSERT INTO m.t VALUES ('x', '{"a": 1.10}'), ('y', NULL);
UPDATE m.t SET a = 'z' WHERE a = 'y';
BEGIN;
CREATE TABLE m.new (LIKE m.t INCLUDING ALL);
SELECT pg_logical_emit_message(true, 'mirror.ddl', '{"steps": [{"create": {"table": "m.new", "key": ["a"]}}]}');
COMMIT;
-- Joins: m.new
INSERT INTO m.new SELECT * FROM m.t;
DELETE FROM m.new WHERE a = 'x';
BEGIN;
DROP SCHEMA m CASCADE;
SELECT pg_logical_emit_message(true, 'mirror.ddl', '{"steps": [{"drop": {"table": "m.t"}}, {"drop": {"table": "m.new"}},
    {"drop": {"table": "m.again"}}]}');
COMMIT;
