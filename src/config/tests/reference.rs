//! `config.yaml` in the repository's root, the reference of all keys.

use std::path::Path;

use super::{OTHER_SECRET, SECRET, good_with};
use crate::config::walk::keys;

fn text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.yaml");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn it_is_a_good_config() {
    let credentials = tempfile::tempdir().unwrap();
    let other = "whsec_dGhpcyBpcyBub3QgYSBzZWNyZXQgb2YgYW55b25l";
    std::fs::write(credentials.path().join("crm"), other).unwrap();
    let config = good_with(
        &text(),
        &[
            ("DATABASE_URL", "postgres://walhook@localhost/app"),
            ("BILLING_SECRET", SECRET),
            ("CHAT_SECRET", OTHER_SECRET),
            (
                "ARCHIVE_SECRET",
                "whsec_YW5kIHRoaXMgb25lIGlzIG5vIHNlY3JldCBlaXRoZXI=",
            ),
            (
                "CREDENTIALS_DIRECTORY",
                credentials.path().to_str().unwrap(),
            ),
        ],
    );
    assert!(config.endpoints.len() > 2 && config.tables.len() > 2);
}

#[test]
fn it_names_every_key() {
    let text = text();
    for keys in [
        keys::ROOT,
        keys::SOURCE,
        keys::SPOOL,
        keys::MEMORY,
        keys::ADMIN,
        keys::ENDPOINT,
        keys::SECRET,
        keys::BATCH,
        keys::RETRY,
        keys::TABLE,
        keys::COLUMNS,
        keys::EVENTS,
        keys::RULE,
    ] {
        for key in keys.known {
            assert!(text.contains(&format!("{key}:")), "nothing about {key:?}");
        }
    }
}
