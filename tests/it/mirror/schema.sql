-- The tables of the workload: every kind of key, identity and value.
CREATE SCHEMA m;
CREATE EXTENSION hstore SCHEMA public;
CREATE TYPE m.mood AS ENUM ('sad', 'so, so', '"glad"');
CREATE DOMAIN m.amount AS numeric(14, 3) CHECK (VALUE > -1000000000);
CREATE TYPE m.pair AS (a int, b text);

CREATE TABLE m.plain (id int PRIMARY KEY, t text, n numeric, money numeric(12, 4), f float8, r real, b bool,
    ts timestamp, tz timestamptz, d date, i interval, u uuid, j json, jb jsonb, x bytea, a int[], ta text[],
    mood m.mood, amount m.amount, pair m.pair, pairs m.pair[], h hstore, ip inet, rg int4range, v varchar(20),
    c char(5), big bigint, small smallint, o oid, bits varbit, p point, tv tsvector, "char" "char");

-- Values that are stored apart, also in the key.
CREATE TABLE m.heavy (key text PRIMARY KEY, large text, doc jsonb, blob bytea, n int, t text);
CREATE TABLE m.heavy_full (id int PRIMARY KEY, large text, n int, t text);
CREATE TABLE m.heavy_nothing_else (id int PRIMARY KEY, large text);
ALTER TABLE m.heavy ALTER key SET STORAGE EXTERNAL, ALTER large SET STORAGE EXTERNAL, ALTER blob SET STORAGE EXTERNAL;
ALTER TABLE m.heavy_full ALTER large SET STORAGE EXTERNAL;
ALTER TABLE m.heavy_nothing_else ALTER large SET STORAGE EXTERNAL;
ALTER TABLE m.heavy_full REPLICA IDENTITY FULL;

-- Without a key: a row is there once, or several times.
CREATE TABLE m.bag (n int, t text, f float8, large text);
ALTER TABLE m.bag ALTER large SET STORAGE EXTERNAL;
ALTER TABLE m.bag REPLICA IDENTITY FULL;
CREATE TABLE m.log (t text, n numeric);
CREATE TABLE m.silent (id int PRIMARY KEY, t text);
ALTER TABLE m.silent REPLICA IDENTITY NOTHING;

CREATE TABLE m.by_index (id int PRIMARY KEY, code int NOT NULL, region text NOT NULL, t text, large text);
CREATE UNIQUE INDEX by_index_identity ON m.by_index (region, code);
ALTER TABLE m.by_index ALTER large SET STORAGE EXTERNAL;
ALTER TABLE m.by_index REPLICA IDENTITY USING INDEX by_index_identity;
CREATE TABLE m.only_key (id int PRIMARY KEY);
CREATE TABLE m."Odd.Näme, ""*""" ("Id" int PRIMARY KEY, "a.b" text, "c""d" int, "ünïcode 😀" text, "select" int);

-- Cascades of all kinds, and triggers.
CREATE TABLE m.parent (id int PRIMARY KEY, t text);
CREATE TABLE m.child (id int PRIMARY KEY, parent int REFERENCES m.parent ON DELETE CASCADE ON UPDATE CASCADE, t text);
CREATE TABLE m.grandchild (id int PRIMARY KEY, child int REFERENCES m.child ON DELETE SET NULL ON UPDATE CASCADE, t text);
CREATE TABLE m.audited (id int PRIMARY KEY, n int, t text);
CREATE TABLE m.audit (id bigserial PRIMARY KEY, operation text, old jsonb, new jsonb);
CREATE FUNCTION m.before() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.n := coalesce(NEW.n, 0) + 1;
    RETURN CASE WHEN NEW.id % 7 <> 0 THEN NEW END;
END $$;
CREATE FUNCTION m.after() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO m.audit (operation, old, new) VALUES (TG_OP, to_jsonb(OLD), to_jsonb(NEW));
    RETURN NULL;
END $$;
CREATE TRIGGER before BEFORE INSERT OR UPDATE ON m.audited FOR EACH ROW EXECUTE FUNCTION m.before();
CREATE TRIGGER after AFTER INSERT OR UPDATE OR DELETE ON m.audited FOR EACH ROW EXECUTE FUNCTION m.after();
CREATE TABLE m.computed (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED, t text);

-- Partitions with other orders of columns than the root's, and children.
CREATE TABLE m.spread (id int, region int, t text, large text, n int, PRIMARY KEY (id, region)) PARTITION BY RANGE (region);
CREATE TABLE m.spread_low PARTITION OF m.spread FOR VALUES FROM (MINVALUE) TO (30);
CREATE TABLE m.spread_middle (gone int, n int, large text, region int NOT NULL, t text, id int NOT NULL);
ALTER TABLE m.spread_middle DROP COLUMN gone;
ALTER TABLE m.spread ATTACH PARTITION m.spread_middle FOR VALUES FROM (30) TO (60);
CREATE TABLE m.spread_high PARTITION OF m.spread FOR VALUES FROM (60) TO (1000) PARTITION BY HASH (id);
CREATE TABLE m.spread_high_0 PARTITION OF m.spread_high FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE m.spread_high_1 (t text, id int NOT NULL, n int, region int NOT NULL, large text);
ALTER TABLE m.spread_high ATTACH PARTITION m.spread_high_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
ALTER TABLE m.spread_middle ALTER large SET STORAGE EXTERNAL;
CREATE TABLE m.base (id int PRIMARY KEY, t text);
CREATE TABLE m.derived (extra int, PRIMARY KEY (id)) INHERITS (m.base);

-- What changes of the schema are made to.
CREATE TABLE m.shifting (id int PRIMARY KEY, a text, b int, large text);
ALTER TABLE m.shifting ALTER large SET STORAGE EXTERNAL;
CREATE TABLE m.phoenix (id int PRIMARY KEY, t text);
