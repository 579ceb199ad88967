//! Texts and the JSON that PostgreSQL made of the same values: `testdata/values.tsv`
//! has the type, the text as a JSON string, and `to_json`, equal by value to
//! `to_jsonb`. Versions 15.18 and 18.6 agree on all of it.

use std::collections::HashSet;

use super::super::{Fidelity, builtin};
use super::encode;

const PAIRS: &str = include_str!("../../testdata/values.tsv");

#[test]
fn every_value_is_what_postgres_makes_of_it() {
    let mut different = Vec::new();
    for line in PAIRS.lines() {
        let [name, text, json] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let text: String = serde_json::from_str(text).unwrap();
        let written = encode(name, text.as_bytes());
        if written != Ok((json.to_owned(), Fidelity::Exact)) {
            different.push(format!("{name} {text}: {json}, not {written:?}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn every_builtin_type_has_a_pair() {
    let seen: HashSet<&str> = PAIRS
        .lines()
        .map(|line| {
            let name = line.split(['\t', '(']).next().unwrap();
            name.trim_end_matches("[]").trim_matches('"')
        })
        .collect();
    let unseen: Vec<&str> = builtin::TYPES
        .iter()
        .map(|(_, _, name)| *name)
        .filter(|name| !seen.contains(name))
        .collect();
    // Not built in everywhere, or without an input function: their texts are strings.
    let expected = [
        "xml",
        "pg_node_tree",
        "pg_ndistinct",
        "pg_dependencies",
        "gtsvector",
        "pg_brin_bloom_summary",
        "pg_brin_minmax_multi_summary",
        "pg_mcv_list",
        "cstring",
    ];
    assert_eq!(unseen, expected);
    for name in expected {
        assert_eq!(
            encode(name, b"<a/>"),
            Ok(("\"<a/>\"".to_owned(), Fidelity::Exact))
        );
    }
}

#[test]
fn json_is_embedded_as_written() {
    for text in [
        "{\"a\":\n\t1, \"a\": 1e400}",
        "\"\\ud800 \\u0000\"",
        &"[".repeat(100_000),
    ] {
        assert_eq!(
            encode("json", text.as_bytes()),
            Ok((text.to_owned(), Fidelity::Exact))
        );
    }
}

#[test]
fn bytes_that_are_no_utf8_are_replaced_and_reported() {
    for (name, text, json) in [
        (
            "text",
            b"a\xFF\"b\xE2\x82".as_slice(),
            "\"a\u{FFFD}\\\"b\u{FFFD}\"",
        ),
        ("json", b"\"\xFC\"", "\"\u{FFFD}\""),
        (
            "text[]",
            b"{a,\xC3,\"\xA4\\\\\"}",
            "[\"a\",\"\u{FFFD}\",\"\u{FFFD}\\\\\"]",
        ),
        (
            "pair",
            b"(1,\x80)",
            "{\"a\":1,\"b \\\"c\\\"\":\"\u{FFFD}\"}",
        ),
        ("hstore", b"\"\xFF\"=>NULL", "{\"\u{FFFD}\":null}"),
    ] {
        assert_eq!(encode(name, text), Ok((json.to_owned(), Fidelity::Lossy)));
    }
}
