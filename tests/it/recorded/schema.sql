CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');
CREATE TYPE point3 AS (x int, y numeric, label text);
CREATE DOMAIN posint AS int CHECK (VALUE > 0);
CREATE TABLE items (id int PRIMARY KEY, name text, mood mood, price numeric(12,3), note text);
ALTER TABLE items ALTER note SET STORAGE EXTERNAL;
CREATE TABLE parts (id bigserial PRIMARY KEY, item int REFERENCES items, size posint);
CREATE TABLE notes (a text, b text, c jsonb);
ALTER TABLE notes REPLICA IDENTITY FULL;
CREATE TABLE kinds (
    id uuid PRIMARY KEY, flag bool, small smallint, big bigint, single real, double double precision,
    bytes bytea, day date, at timestamptz, local timestamp, clock time, span interval, address inet,
    numbers int[], texts text[], moods mood[], grid int[][], place point3, places point3[],
    during tstzrange, ranges int4range, bits bit varying, document json
);
CREATE TABLE long_keys (key text PRIMARY KEY, n int);
ALTER TABLE long_keys ALTER key SET STORAGE EXTERNAL;
CREATE TABLE bare ();
CREATE TABLE "odd.name" ("q""c" text PRIMARY KEY, "ä b" int);
CREATE TABLE readings (at date, sensor int, value float8, PRIMARY KEY (at, sensor)) PARTITION BY RANGE (at);
CREATE TABLE readings_1 PARTITION OF readings FOR VALUES FROM ('2020-01-01') TO ('2020-07-01');
CREATE TABLE readings_2 PARTITION OF readings FOR VALUES FROM ('2020-07-01') TO ('2021-01-01');
SELECT pg_replication_origin_create('upstream');
