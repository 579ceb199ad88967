-- Types of users' making, of every kind, in a schema of their own.
CREATE SCHEMA made;
SET search_path = made, public;

CREATE TYPE mood AS ENUM ('fine', '', 'so, so', 'with "quotes"', '\', 'NULL', 'ünïcode 😀', '{');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN more_positive AS positive CHECK (VALUE <> 5);
CREATE DOMAIN amount AS numeric(12, 3);
CREATE DOMAIN moment AS timestamptz;
CREATE DOMAIN document AS json;
CREATE DOMAIN flag AS boolean NOT NULL;
CREATE DOMAIN tags AS text[];
CREATE DOMAIN moods AS mood[] CHECK (cardinality(VALUE) < 50);
CREATE DOMAIN nested_tags AS tags;
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN good_pair AS pair CHECK ((VALUE).a IS NULL OR (VALUE).a <> 7);
CREATE TYPE nothing AS ();
CREATE TYPE "Odd, ""type""" AS ("A b" text, "c""d" int, "é\" json, " " mood);
CREATE TYPE nested AS (p pair, ps pair[], o "Odd, ""type""", d nested_tags, g good_pair, f flag, b box[],
    j jsonb, js json[], t timestamptz, ts timestamp[], m mood, e nothing, v int2vector, x bytea);
CREATE TYPE shrunk AS (a int, b text, c numeric);
ALTER TYPE shrunk DROP ATTRIBUTE b;
ALTER TYPE shrunk ADD ATTRIBUTE d text[];
CREATE TYPE float_range AS RANGE (subtype = float8);
CREATE TYPE text_range AS RANGE (subtype = text, collation = "C");
CREATE TYPE mood_range AS RANGE (subtype = mood);
CREATE TYPE pair_range AS RANGE (subtype = pair);
CREATE TYPE array_range AS RANGE (subtype = int[]);

-- A base type whose arrays have a delimiter of their own.
CREATE TYPE piped;
CREATE FUNCTION piped_in(cstring) RETURNS piped LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION piped_out(piped) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE piped (INPUT = piped_in, OUTPUT = piped_out, LIKE = text, DELIMITER = '|');

-- The row type of a table, also of one with dropped columns.
CREATE TABLE "Odd, ""table""" (id int PRIMARY KEY, gone text, kept pair, stamp timestamp DEFAULT now());
ALTER TABLE "Odd, ""table""" DROP COLUMN gone;
CREATE VIEW watched AS SELECT 1 AS a, 'x'::text AS b;
CREATE FUNCTION "odd, ""name"""(int, mood[]) RETURNS int LANGUAGE sql AS 'SELECT 1';

-- One name in two schemas, for things that differ.
CREATE SCHEMA other;
CREATE TYPE other.mood AS (level int, since date);
CREATE DOMAIN other.pair AS timestamp;
CREATE TYPE other.json AS (not_json text);
CREATE DOMAIN other.hstore AS text;

-- What ANALYZE makes of them can stand in a column.
CREATE TABLE skewed AS SELECT i % 10 AS a, i % 10 AS b FROM generate_series(1, 1000) i;
CREATE STATISTICS of_skewed (ndistinct, dependencies, mcv) ON a, b FROM skewed;
ANALYZE skewed;
RESET search_path;
