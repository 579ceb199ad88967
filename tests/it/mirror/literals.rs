//! Values at random, as SQL writes them.

use fastrand::Rng;

/// Rows have keys below this, so that writers meet.
pub const KEYS: u32 = 30;

/// Texts that one quotes, escapes or folds wrongly.
const TEXTS: &[&str] = &[
    "",
    " ",
    "x",
    "NULL",
    "null",
    "a,b",
    "{a}",
    "\"",
    "\\",
    "\\\"",
    "'",
    "(1,2)",
    "\t\n\r",
    "\u{1}\u{1f}\u{7f}",
    "\u{2028}",
    "ünïcode",
    "😀🏳️‍🌈",
    "<b>&amp;</b>",
    "1e5",
    "\u{fffd}\u{feff}",
    "$$",
    "%s",
];

pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn text(chance: &mut Rng) -> String {
    let text = TEXTS[chance.usize(..TEXTS.len())];
    match chance.u8(..4) {
        0 => (0..chance.usize(1..30))
            .map(|_| chance.char('\u{20}'..'\u{2fff}'))
            .collect(),
        1 => format!("{text}{}", chance.u16(..)),
        _ => text.to_owned(),
    }
}

fn pick(chance: &mut Rng, of: &[&str]) -> String {
    of[chance.usize(..of.len())].to_owned()
}

/// A value that is stored apart, of another content each time.
fn large(chance: &mut Rng) -> String {
    let words = chance.u32(1..400);
    format!("(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, {words}))")
}

/// Of this type, as `format_type` names it.
pub fn value(chance: &mut Rng, column: &str, kind: &str) -> String {
    if chance.u8(..8) == 0 {
        return "NULL".to_owned();
    }
    match (column, kind) {
        ("large", _) => return large(chance),
        ("blob", _) => return format!("decode({}, 'hex')", large(chance)),
        // A foreign key, named for the table that it leads to.
        ("parent" | "child", _) => {
            return format!("(SELECT id FROM m.{column} ORDER BY random() LIMIT 1)");
        }
        ("doc", _) => return format!("jsonb_build_object('k', {}, 'n', 1.50)", large(chance)),
        _ => {}
    }
    let number = chance.i32(-1000..1000);
    let literal = match kind {
        "integer" | "bigint" | "smallint" => return number.to_string(),
        "oid" => return number.unsigned_abs().to_string(),
        "text" => text(chance),
        "character varying(20)" => text(chance).chars().take(20).collect(),
        "character(5)" => pick(chance, &["", "a", "ab  ", "äöü", "12345"]),
        "\"char\"" => pick(chance, &["", "x", "\\", "\""]),
        "numeric" => pick(
            chance,
            &[
                "0",
                "1.10",
                "-0.000",
                "1e-20",
                "1e30",
                "NaN",
                "Infinity",
                "123456789012345678901234567890.1234567890",
            ],
        ),
        "numeric(12,4)" | "m.amount" => pick(chance, &["0", "1.1", "-99.9999", "12345678.5"]),
        "double precision" | "real" => pick(
            chance,
            &[
                "0",
                "-0",
                "0.1",
                "1e20",
                "-1e-7",
                "NaN",
                "Infinity",
                "-Infinity",
                "3.4e38",
                "123456.789",
                "0.30000001",
            ],
        ),
        "boolean" => pick(chance, &["t", "f"]),
        "timestamp without time zone" | "timestamp with time zone" => pick(
            chance,
            &[
                "infinity",
                "-infinity",
                "4713-01-01 00:00 BC",
                "294276-12-31 23:59:59.999999",
                "2026-11-27 12:34:56.7",
                "2000-01-01",
            ],
        ),
        "date" => pick(
            chance,
            &[
                "infinity",
                "-infinity",
                "0044-03-15 BC",
                "5874897-12-31",
                "2026-02-28",
            ],
        ),
        "interval" => pick(
            chance,
            &[
                "0",
                "1 year -2 mons 3 days -04:05:06.789",
                "-178000000 years",
                "00:00:00.000001",
                "40 days",
            ],
        ),
        "uuid" => format!("{:032x}", chance.u128(..)),
        "json" => pick(
            chance,
            &[
                "null",
                "{\"a\" :  [1.10, \"\\u0041\\n\"]}",
                "[]",
                "\"x\"",
                "1E5",
                "{}",
            ],
        ),
        "jsonb" => pick(
            chance,
            &[
                "null",
                "{\"b\": 1.10, \"a\": {\"\": []}}",
                "[1, \"😀\", null]",
                "1e30",
                "\"\\\"\"",
            ],
        ),
        "bytea" => format!("\\x{:08x}", chance.u32(..)),
        "integer[]" => pick(
            chance,
            &["{}", "{1,NULL,-3}", "[0:1]={5,6}", "{{1,2},{3,4}}"],
        ),
        "text[]" => pick(
            chance,
            &[
                "{}",
                "{NULL,\"NULL\",\"\",\" \"}",
                "{\"a\\\"b\\\\c\",\"{x,y}\"}",
                "{{a},{b}}",
            ],
        ),
        "m.mood" => {
            return "(SELECT e FROM unnest(enum_range(NULL::m.mood)) e ORDER BY random() LIMIT 1)"
                .to_owned();
        }
        "m.pair" => pick(
            chance,
            &["(1,x)", "(,)", "(,\"\")", "(-5,\"a \"\"q\"\" \\\\ , (\")"],
        ),
        "m.pair[]" => pick(
            chance,
            &["{}", "{\"(1,x)\",NULL,\"(,)\"}", "{\"(2,\\\"a,b\\\")\"}"],
        ),
        "hstore" => pick(chance, &["", "a=>1, \"b c\"=>NULL, \"\"=>\"q\\\"\""]),
        "inet" => pick(chance, &["127.0.0.1", "10.0.0.0/8", "::1", "fe80::1/64"]),
        "int4range" => pick(chance, &["empty", "[1,5)", "(,)", "[,7]", "(3,)"]),
        "bit varying" => pick(chance, &["", "0", "101100111000"]),
        "point" => pick(chance, &["(0,0)", "(1.5,-2e10)", "(Infinity,NaN)"]),
        "tsvector" => pick(chance, &["", "'a b':1A 'c''d':2,3", "x"]),
        other => panic!("no value of {other} for {column}"),
    };
    format!("{}::{kind}", quoted(&literal))
}

/// The key `number`: the same each time, and of a text sometimes so long that it is stored apart.
pub fn key(kind: &str, number: u32) -> String {
    match kind {
        "text" if number.is_multiple_of(3) => {
            format!("(SELECT string_agg(md5('{number} ' || g), '') FROM generate_series(1, 75) g)")
        }
        "text" => format!("'key {number}'"),
        _ => number.to_string(),
    }
}
