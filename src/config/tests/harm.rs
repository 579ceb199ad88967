//! No text at all makes the reading panic.

use std::path::PathBuf;

use proptest::prelude::*;

use super::reference::REFERENCE;
use crate::config::Environment;
use crate::config::load::config_of;

/// Either a config or a reason why there is none.
fn survives(text: &str) {
    let env = Environment::from_iter([
        ("WALHOOK_SOURCE__SLOT", "other"),
        ("WALHOOK_ENDPOINTS__BILLING__RETRY__MAX", "1s"),
    ]);
    let (config, findings) = config_of(text, PathBuf::new(), &env);
    assert!(config.is_some() || !findings.problems.is_empty());
    let _ = findings.into_problems("config.yaml").to_string();
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "source",
            "url",
            "slot",
            "state",
            "spool",
            "max_bytes",
            "admin",
            "listen",
            "endpoints",
            "billing",
            "secret",
            "file",
            "headers",
            "retry",
            "for",
            "batch",
            "tables",
            "to",
            "public.orders",
            "\"a.*\"",
            "events",
            "insert",
            "delete",
            "type",
            "when",
            "payload",
            "columns",
            "exclude",
            "key",
            "${A}",
            "${",
            "{{new.a}}",
            "{{",
            "- ",
            "&a",
            "*a",
            "!!int",
            "<<",
            "3d",
            "1KiB",
            "\"",
            "'",
            "|",
            ">",
            "#",
            "---",
            "[",
            "]",
            "{",
            "}",
            "~",
            "\u{feff}",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ]
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(?s).{0,200}") {
        survives(&text);
    }

    #[test]
    fn no_yaml_makes_it_panic(lines in prop::collection::vec(
        (0_usize..6, word(), prop::sample::select(vec![": ", " ", ":\n", ", "]), word()), 0..30
    )) {
        let text: String = lines
            .iter()
            .map(|(depth, key, between, value)| {
                format!("{}{key}{between}{value}\n", "  ".repeat(*depth))
            })
            .collect();
        survives(&text);
    }

    #[test]
    fn no_damage_to_the_reference_makes_it_panic(
        at in 0..REFERENCE.len(), length in 0_usize..40, put in word()
    ) {
        let bytes = REFERENCE.as_bytes();
        let end = (at + length).min(bytes.len());
        let damaged = [&bytes[..at], put.as_bytes(), &bytes[end..]].concat();
        survives(&String::from_utf8_lossy(&damaged));
    }
}
