//! The reference against the walk, the files under `docs/`, and real configs.

use std::path::Path;

use serde_json::Value;

use super::super::walk::keys as walked;
use super::keys as told;
use super::{Key, markdown, schema};

fn root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn its_keys_are_those_that_the_walk_takes() {
    let pairs: [(&[Key], &walked::Keys); 14] = [
        (told::ROOT, &walked::ROOT),
        (told::SOURCE, &walked::SOURCE),
        (told::SPOOL, &walked::SPOOL),
        (told::MEMORY, &walked::MEMORY),
        (told::ADMIN, &walked::ADMIN),
        (told::ALERTS, &walked::ALERTS),
        (told::ENDPOINT, &walked::ENDPOINT),
        (told::BATCH, &walked::BATCH),
        (told::RETRY, &walked::RETRY),
        (told::TABLE, &walked::TABLE),
        (told::EVENTS, &walked::EVENTS),
        (told::RULE, &walked::RULE),
        (told::OUTBOX, &walked::OUTBOX),
        (told::MESSAGE, &walked::MESSAGE),
    ];
    for (told, walked) in pairs {
        let told: Vec<&str> = told.iter().map(|key| key.name).collect();
        assert_eq!(told, walked.known);
    }
    let columns: Vec<&str> = told::COLUMNS.iter().map(|key| key.name).collect();
    assert_eq!(columns, walked::COLUMNS.known);
}

/// With `WALHOOK_UPDATE_DOCS=1` the files are written instead.
#[test]
fn the_files_under_docs_are_what_the_code_says() {
    let schema = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    for (file, text) in [
        ("docs/config.md", markdown()),
        ("docs/config.schema.json", schema),
    ] {
        if std::env::var_os("WALHOOK_UPDATE_DOCS").is_some() {
            std::fs::write(root(file), &text).unwrap();
        }
        let found = std::fs::read_to_string(root(file)).unwrap_or_default();
        assert!(
            found == text,
            "{file} is out of date: WALHOOK_UPDATE_DOCS=1 cargo test --lib reference"
        );
    }
}

fn errors(yaml: &str) -> Vec<String> {
    let config: Value = serde_saphyr::from_str(yaml).unwrap();
    let schema = schema();
    let validator = jsonschema::draft7::new(&schema).unwrap();
    let errors = validator.iter_errors(&config);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

#[test]
fn it_is_a_schema_and_takes_the_configs_that_are_shipped() {
    assert!(jsonschema::draft7::meta::is_valid(&schema()));
    let mut configs = vec!["config.yaml".to_owned()];
    for entry in std::fs::read_dir(root("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            configs.push(format!("examples/{name}/config.yaml"));
        }
    }
    assert!(configs.len() > 5, "{configs:?}");
    for config in configs {
        let text = std::fs::read_to_string(root(&config)).unwrap();
        assert_eq!(errors(&text), Vec::<String>::new(), "{config}");
        let named = text.lines().next().is_some_and(|line| {
            line.starts_with("# yaml-language-server: $schema=")
                && line.ends_with("docs/config.schema.json")
        });
        assert!(named, "{config} names no schema in its first line");
    }
}

const GOOD: &str = "
source: { url: x }
endpoints: { r: { url: 'http://127.0.0.1/', secret: x, concurrency: '${N:-4}' } }
tables: { public.t: { to: r, events: { insert: a } } }
";

#[test]
fn it_refuses_what_the_loader_refuses() {
    assert_eq!(errors(GOOD), Vec::<String>::new());
    for (from, to) in [
        ("source:", "sauce: 1\nsource:"),
        ("url: x", "url: x, slott: y"),
        ("url: x", "slot: x"),
        ("url: x", "url: x, slot: UPPER"),
        ("'${N:-4}'", "many"),
        ("'${N:-4}'", "0"),
        ("secret: x", "secret: x, order: row"),
        ("secret: x", "secret: x, timeout: 15"),
        ("secret: x", "secret: { path: x }"),
        ("secret: x", "secret: x, retry: { then: give_up }"),
        ("to: r", "to: 5"),
        ("insert: a", "upsert: a"),
        ("insert: a", "insert: { when: x }"),
        ("insert: a", "insert: { type: a, when_error: stop }"),
        ("secret: x", "secret: x, oversize: drop"),
    ] {
        let wrong = GOOD.replacen(from, to, 1);
        assert_ne!(wrong, GOOD, "{from}");
        assert_ne!(errors(&wrong), Vec::<String>::new(), "{to}");
    }
}
