//! The README's table of what each kind of value looks like, made from a run.

use std::fmt::Write;

use crate::harness::{Cluster, Daemon, Receiver, SOON};

const TYPES: &str = "\
    CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree; \
    CREATE TYPE mood AS ENUM ('fine', 'so, so'); CREATE DOMAIN amount AS numeric(12, 2); \
    CREATE TYPE line AS (item text, price amount, moods mood[])";

/// The types of a row in the table, and values of the first as SQL writes them.
#[rustfmt::skip]
const KINDS: &[(&str, &[&str])] = &[
    ("smallint, integer, bigint", &["9007199254740993"]),
    ("numeric", &["1.10", "1e-20", "12345678901234567890.5", "NaN"]),
    ("real, double precision", &["0.1", "1e20", "-Infinity"]),
    ("boolean", &["true"]),
    ("text, varchar, name, citext", &["a \"b\" é"]),
    ("char(4)", &["ab"]),
    ("bytea", &["\\x00ff"]),
    ("date", &["2026-11-27", "0044-03-15 BC", "infinity"]),
    ("timestamp", &["2026-11-27 12:34:56.7"]),
    ("timestamptz", &["2026-11-27 12:34:56.7+01"]),
    ("time", &["24:00"]),
    ("timetz", &["12:34+01"]),
    ("interval", &["1 year -2 days 03:04:05.6"]),
    ("uuid", &["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"]),
    ("json", &["{\"b\" : 1, \"a\":1e2, \"b\":2}"]),
    ("jsonb", &["{\"b\" : 1, \"a\":1e2, \"b\":2}"]),
    ("xml", &["<a>b</a>"]),
    ("inet, cidr, macaddr", &["10.0.0.1/8"]),
    ("point, line, box and other shapes", &["(1,0.5)"]),
    ("int4range and other ranges", &["[1,5]", "empty"]),
    ("int4multirange and others", &["{[1,2],[5,6]}"]),
    ("bit, varbit", &["1"]),
    ("money", &["1234.5"]),
    ("tsvector, tsquery, jsonpath", &["b:2A a:1"]),
    ("oid, xid8, pg_lsn", &["4294967295"]),
    ("regclass, regtype and the like", &["pg_class", "public.customers"]),
    ("an enum", &["so, so"]),
    ("a domain (`amount`: `numeric(12, 2)`)", &["5"]),
    ("a composite type", &["(\"a \"\"b\"\"\",5,\"{fine,NULL}\")"]),
    ("int[], and arrays of any type", &["{1,NULL,3}", "{{1,2},{3,4}}", "[0:1]={7,8}", "{}"]),
    ("int2vector, oidvector", &["1 2"]),
    ("hstore", &["a=>1, b=>NULL"]),
    ("ltree, and other types of extensions", &["a.b"]),
];

/// The type of a row's values.
fn kind(label: &str) -> &str {
    match label {
        "a domain (`amount`: `numeric(12, 2)`)" => "amount",
        "an enum" => "mood",
        "a composite type" => "public.line",
        "smallint, integer, bigint" => "bigint",
        "real, double precision" => "double precision",
        _ => label.split([',', ' ']).next().unwrap_or(label),
    }
}

/// What a receiver gets of them, in the order of the table.
async fn received() -> Vec<String> {
    let db = Cluster::shared().await.database().await;
    db.sql(TYPES).await;
    let values: Vec<_> = KINDS
        .iter()
        .flat_map(|(label, values)| values.iter().map(|value| (kind(label), *value)))
        .collect();
    let columns = values.iter().enumerate();
    let columns: Vec<_> = columns
        .map(|(n, (kind, _))| format!("c{n} {kind}"))
        .collect();
    let literals: Vec<_> = values
        .iter()
        .map(|(kind, value)| format!("'{}'::{kind}", value.replace('\'', "''")))
        .collect();
    db.sql(&format!(
        "CREATE TABLE customers (id int PRIMARY KEY); CREATE TABLE v ({})",
        columns.join(", ")
    ))
    .await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.v", "to: r\nevents: { insert: made }");
    let _daemon = daemon.start().await;
    db.sql(&format!("INSERT INTO v VALUES ({})", literals.join(", ")))
        .await;
    let events = receiver.wait_for(1, SOON).await;
    let row = super::row(&events[0], "data");
    (0..values.len())
        .map(|n| row[&format!("c{n}")].clone())
        .collect()
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

fn page(received: Vec<String>) -> String {
    let mut received = received.into_iter();
    let mut page = "| type | values in SQL | in the webhook |\n|---|---|---|\n".to_owned();
    for (label, values) in KINDS {
        let sql: Vec<_> = values.iter().map(|value| code(value)).collect();
        let json: Vec<_> = received.by_ref().take(values.len()).collect();
        let json: Vec<_> = json.iter().map(|json| code(json)).collect();
        let _ = writeln!(
            page,
            "| {label} | {} | {} |",
            sql.join(", "),
            json.join(", ")
        );
    }
    page.push_str("| any | `NULL` | `null` |\n");
    page
}

const BEGIN: &str = "<!-- made by tests/it/values/table.rs -->\n";
const END: &str = "<!-- end -->\n";

#[tokio::test]
async fn the_readme_shows_what_values_look_like() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).expect("the README");
    let (before, rest) = readme.split_once(BEGIN).expect("the table's begin");
    let (shown, after) = rest.split_once(END).expect("the table's end");
    let page = page(received().await);
    if std::env::var_os("WALHOOK_UPDATE_DOCS").is_some() {
        let readme = format!("{before}{BEGIN}{page}{END}{after}");
        std::fs::write(&path, readme).expect("the README");
        return;
    }
    assert!(
        shown == page,
        "the table in README.md is out of date: WALHOOK_UPDATE_DOCS=1 cargo test --test it values::table"
    );
}
