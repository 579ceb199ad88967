//! Secrets and values of variables, each where a slip may put it: no message shows them.

use std::path::PathBuf;

use crate::config::load::config_of;
use crate::config::{Environment, Problems};

fn read(text: &str, variable: [(&str, &str); 1]) -> Problems {
    let env = Environment::from_iter(variable);
    let (_, findings) = config_of(text, PathBuf::new(), &env);
    findings.into_problems("config.yaml")
}

/// Each place of a config where a secret may stand, by right or by a slip.
const SLIPS: [&str; 17] = [
    "CANARY",
    "source: CANARY",
    "source: { url: \"postgres://u:CANARY@h:x/CANARY?CANARY=CANARY\" }",
    "source: { url: [CANARY] }",
    "source: { \"postgres://u:CANARY@h/db\": }",
    "endpoints: { e: { secret: CANARY, url: CANARY } }",
    "endpoints: { e: { secret: whsec_CANARY } }",
    "endpoints: { e: { secret: [whsec_CANARY, [CANARY], { file: { CANARY: CANARY } }] } }",
    "endpoints: { e: { secret: {whsec_CANARY} } }",
    "endpoints: { e: { secret: { CANARY: 1, CANARY: 2 } } }",
    "endpoints: { e: { secret: { file: \"${CANARY}\" } } }",
    "endpoints: { e: { url: \"http://u:CANARY@example.com/CANARY?CANARY#CANARY\" } }",
    "endpoints: { e: { url: \"http://example.com/CANARY?CANARY\" } }",
    "endpoints: { e: { headers: { \"Bearer CANARY\": CANARY, authorization: \"CANARY\\r\\n\", host: CANARY, x-a: [CANARY] } } }",
    "endpoints: { e: { headers: { \"Bearer CANARY\": 1, \"Bearer CANARY\": 2 } } }",
    "endpoints: { e: { timeout: \"${VALUE}\", order: \"${VALUE}\", concurrency: \"${VALUE}\", batch: { bytes: \"${VALUE}\" } } }",
    "tables: { a.b: { to: \"${VALUE}\", columns: { include: [\"${VALUE}\", \"${VALUE}\"] }, events: { insert: { type: \"${VALUE}\", when: \"${VALUE} ==\", when_error: \"${VALUE}\", payload: \"{{${VALUE}\" } } } }",
];

#[test]
fn no_message_has_a_secret_in_it() {
    for text in SLIPS {
        let problems = read(text, [("VALUE", "{CANARY}")]);
        let told = format!("{problems}{problems:?}");
        let shown = told
            .replace("the variable CANARY", "")
            .replace("${CANARY", "");
        assert!(!shown.contains("CANARY"), "{text}\n{told}");
        assert!(!problems.problems.is_empty(), "{text}");
    }
}

#[test]
fn no_message_about_a_variable_has_its_value_in_it() {
    let keys = [
        "SOURCE",
        "SOURCE__URL",
        "SOURCE__SLOT",
        "SOURCE__PUBLICATION__X",
        "STATE__X",
        "SPOOL__FULL",
        "SPOOL__MAX_BYTES",
        "ADMIN__LISTEN",
        "ENDPOINTS",
        "ENDPOINTS__E__URL",
        "ENDPOINTS__E__SECRET",
        "ENDPOINTS__E__HEADERS__X",
        "ENDPOINTS__E__RETRY__FOR",
        "ENDPOINTS__E__RETRY__PARK_STATUSES",
        "ENDPOINTS__E__SECRET__FILE",
        "TABLES__A_B",
        "NO__KEY",
    ];
    for key in keys {
        let name = format!("WALHOOK_{key}");
        let text = "endpoints: { e: {} }\ntables: { a_b: {} }";
        let problems = read(text, [(name.as_str(), "CANARY\n{{")]);
        let told = format!("{problems}{problems:?}");
        assert!(!told.contains("CANARY"), "{told}");
        assert!(told.contains(&name), "{key}: {told}");
    }
}
