-- Types that change their inside.
CREATE SCHEMA m;
CREATE EXTENSION hstore SCHEMA public;
CREATE TYPE m.mood AS ENUM ('sad', 'fine');
CREATE TYPE m.pair AS (a int, b text);
CREATE DOMAIN m.pairs AS m.pair[];
CREATE TABLE m.t (id int PRIMARY KEY, mood m.mood, pair m.pair, pairs m.pairs, h hstore, js json);
-- The daemon starts.
INSERT INTO m.t VALUES (1, 'sad', '(1,x)', '{"(1,x)",NULL}', 'a=>1', '{"a":  1.10}'), (2, 'fine', NULL, '{}', '', '[]');
BEGIN;
ALTER TYPE m.mood RENAME VALUE 'sad' TO 'un"happy';
SELECT pg_logical_emit_message(true, 'mirror.ddl',
    '{"steps": [{"replace": {"table": "m.t", "column": "mood", "from": "sad", "to": "un\"happy"}}]}');
COMMIT;
UPDATE m.t SET h = h || 'b=>NULL';
ALTER TYPE m.mood ADD VALUE 'glad' BEFORE 'fine';
UPDATE m.t SET mood = 'glad' WHERE id = 2;
-- The rows have another member, of which nothing is sent: they are touched.
BEGIN;
ALTER TYPE m.pair ADD ATTRIBUTE c numeric;
UPDATE m.t SET id = id;
COMMIT;
UPDATE m.t SET pair = '(2,y,1.50)', pairs = pairs || '{"(3,\"z \"\"q\"\"\",0.10)"}';
BEGIN;
ALTER TYPE m.pair DROP ATTRIBUTE a;
UPDATE m.t SET id = id;
COMMIT;
INSERT INTO m.t VALUES (3, 'glad', '(b,2.50)');
BEGIN;
ALTER TYPE m.pair RENAME ATTRIBUTE b TO "B";
UPDATE m.t SET id = id;
COMMIT;
BEGIN;
CREATE TYPE m.late AS ENUM ('x', 'y');
CREATE TYPE m.later AS (l m.late, at timestamptz, ls m.late[]);
ALTER TABLE m.t ADD COLUMN later m.later;
SELECT pg_logical_emit_message(true, 'mirror.ddl', '{"steps": [{"add_column": {"table": "m.t", "column": "later", "value": null}}]}');
UPDATE m.t SET later = ('x', '2026-11-27 12:00+02', '{y,x}');
COMMIT;
INSERT INTO m.t (id, later) VALUES (4, '(y,infinity,{})');
BEGIN;
ALTER TABLE m.t ALTER mood TYPE text;
UPDATE m.t SET id = id + 10;
COMMIT;
DELETE FROM m.t WHERE id = 11;
UPDATE m.t SET js = '{"x": "\u0041\n", "n": 1e5}';
