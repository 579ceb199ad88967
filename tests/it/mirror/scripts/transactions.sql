-- Transactions that end in every way.
CREATE SCHEMA m;
CREATE TABLE m.t (id int PRIMARY KEY, v text);
CREATE TABLE m.u (id int PRIMARY KEY, v text);
CREATE FUNCTION m.tries(first int, last int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    FOR i IN first..last LOOP
        BEGIN
            INSERT INTO m.t VALUES (i, 'tried');
            INSERT INTO m.u VALUES (i % 10, 'tried');
        EXCEPTION WHEN unique_violation THEN
            UPDATE m.t SET v = 'refused' WHERE id = i - 1;
        END;
    END LOOP;
END $$;
CREATE PROCEDURE m.commits() LANGUAGE plpgsql AS $$ BEGIN
    FOR i IN 1000..1009 LOOP
        INSERT INTO m.t VALUES (i, 'in a procedure');
        IF i % 3 = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
    END LOOP;
END $$;
-- The daemon starts.
INSERT INTO m.t SELECT g, 'new' FROM generate_series(1, 20) g;
BEGIN;
UPDATE m.t SET v = 'lost';
DELETE FROM m.t WHERE id > 10;
ROLLBACK;
BEGIN;
INSERT INTO m.t VALUES (21, 'kept');
SAVEPOINT a;
INSERT INTO m.t VALUES (22, 'lost');
SAVEPOINT b;
UPDATE m.t SET v = 'lost' WHERE id < 5;
RELEASE b;
ROLLBACK TO a;
INSERT INTO m.t VALUES (22, 'kept');
SAVEPOINT b;
UPDATE m.t SET id = 23 WHERE id = 22;
RELEASE b;
COMMIT;
-- A hundred subtransactions, some of which fail.
SELECT m.tries(100, 200);
CALL m.commits();
-- Fails.
INSERT INTO m.t VALUES (3000, 'lost'), (1, 'is there');
BEGIN;
SAVEPOINT s;
TRUNCATE m.t;
INSERT INTO m.t VALUES (1, 'lost');
ROLLBACK TO s;
UPDATE m.t SET v = 'after' WHERE id = 1;
COMMIT;
BEGIN;
TRUNCATE m.t, m.u;
INSERT INTO m.t SELECT g, 'after' FROM generate_series(1, 5) g;
TRUNCATE m.t;
INSERT INTO m.t SELECT g, 'at last' FROM generate_series(1, 5) g;
COMMIT;
-- A transaction that is prepared is older than what is committed before it.
BEGIN;
UPDATE m.t SET v = 'prepared' WHERE id = 1;
INSERT INTO m.t VALUES (50, 'prepared');
SAVEPOINT s;
DELETE FROM m.t WHERE id = 2;
ROLLBACK TO s;
PREPARE TRANSACTION 'first';
UPDATE m.t SET v = 'meanwhile' WHERE id = 2;
BEGIN;
UPDATE m.t SET id = 60 WHERE id = 3;
PREPARE TRANSACTION 'second';
INSERT INTO m.u VALUES (1, 'meanwhile');
COMMIT PREPARED 'second';
UPDATE m.t SET v = 'then' WHERE id = 60;
COMMIT PREPARED 'first';
UPDATE m.t SET v = v || '!' WHERE id IN (1, 50);
BEGIN;
DELETE FROM m.t;
PREPARE TRANSACTION 'third';
INSERT INTO m.u VALUES (2, 'meanwhile');
ROLLBACK PREPARED 'third';
DELETE FROM m.t WHERE id = 4;
-- Nobody has seen these rows.
BEGIN;
INSERT INTO m.t VALUES (70, 'short life');
UPDATE m.t SET v = 'still' WHERE id = 70;
DELETE FROM m.t WHERE id = 70;
COMMIT;
BEGIN;
INSERT INTO m.t VALUES (71, 'read committed');
COMMIT;
BEGIN;
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;
SELECT pg_logical_emit_message(false, 'mirror.ddl', '{"steps": []}');
UPDATE m.t SET v = 'serializable' WHERE id = 71;
COMMIT;
