INSERT INTO items VALUES
    (:round * 10, 'one', 'sad', :round * 1.125, ''),
    (:round * 10 + 1, NULL, 'ok', NULL, (SELECT string_agg(md5((g * :round)::text), '') FROM generate_series(1, 75) g)),
    (:round * 10 + 2, E'tab\tand\nline', 'glad', 0, 'ä€😀');
INSERT INTO parts (item, size) SELECT :round * 10, g FROM generate_series(1, 3) g;

UPDATE items SET name = 'zwei' WHERE id = :round * 10 + 1;
SELECT pg_logical_emit_message(true, 'outbox', 'in transaction :round');
UPDATE items SET id = -id WHERE id = :round * 10 + 2;

SELECT pg_logical_emit_message(false, 'beat', repeat('alone ', :round));

INSERT INTO notes VALUES ('a :round', NULL, '{"k": [1, 2.50, null]}'), (NULL, 'b', NULL);
UPDATE notes SET b = coalesce(b, '') || '+' WHERE a = 'a :round';
DELETE FROM notes WHERE a IS NULL;

INSERT INTO kinds VALUES (
    md5(':round')::uuid, :round % 2 = 0, -:round, 9007199254740993 + :round, 1.5 / :round, 1e300 / :round,
    decode(md5(':round'), 'hex'), DATE '2024-02-29' + :round, '2024-01-01 00:00:00.123456+02', 'infinity',
    '23:59:59.5', '1 year 2 mons -3 days 04:05:06', '192.168.0.:round/24',
    ARRAY[1, NULL, :round], ARRAY['a"b', '', 'c,d', NULL], ARRAY['sad', 'glad']::mood[], ARRAY[[1, 2], [3, :round]],
    ROW(:round, 1.50, 'x,"y')::point3, ARRAY[ROW(1, NULL, '')::point3, NULL],
    tstzrange('2024-01-01', NULL), int4range(:round, :round + 5), B'1010', '{"a" : 1,  "a": "\u00e4"}'
);
UPDATE kinds SET flag = NULL, numbers = '{}' WHERE id = md5(':round')::uuid;

INSERT INTO long_keys SELECT string_agg(md5((g + 1000 * :round)::text), ''), 1 FROM generate_series(1, 70) g;
UPDATE long_keys SET n = 2;
DELETE FROM long_keys;

INSERT INTO bare DEFAULT VALUES;
INSERT INTO "odd.name" VALUES (E'a\nb:round', 1);
UPDATE "odd.name" SET "q""c" = 'z:round', "ä b" = NULL;
DELETE FROM "odd.name";

INSERT INTO readings SELECT DATE '2020-06-25' + g, :round, g / 3.0 FROM generate_series(1, 8) g;
UPDATE readings SET at = at + 10 WHERE at = '2020-06-28' AND sensor = :round;
DELETE FROM readings WHERE at < '2020-06-28';

BEGIN;
INSERT INTO items VALUES (:round * 10 + 3, 'kept', 'ok', 1, NULL);
SAVEPOINT s;
INSERT INTO items VALUES (:round * 10 + 4, 'gone', 'ok', 1, NULL);
ROLLBACK TO s;
INSERT INTO items VALUES (:round * 10 + 5, 'kept', 'ok', 1, NULL);
RELEASE s;
COMMIT;

BEGIN;
INSERT INTO items VALUES (:round * 10 + 6, 'never', 'ok', 1, NULL);
ROLLBACK;

ALTER TABLE notes ADD COLUMN d:round int DEFAULT :round;
UPDATE notes SET c = '[]';

SELECT pg_replication_origin_session_setup('upstream');
BEGIN;
SELECT pg_replication_origin_xact_setup('0/:round', '2024-01-01');
INSERT INTO parts (item, size) VALUES (NULL, 1);
COMMIT;
SELECT pg_replication_origin_session_reset();

TRUNCATE items, parts RESTART IDENTITY;

INSERT INTO items SELECT g, 'many', 'ok', g, NULL FROM generate_series(1, 12) g;
DELETE FROM items;
TRUNCATE notes, readings CASCADE;
