//! Files that are no config, and the state path that can be had of most of them.

use std::path::Path;

use super::problems;
use crate::config::{Environment, Problems, load, load_outline};

#[test]
fn what_is_no_config_at_all_is_told() {
    insta::assert_snapshot!(problems(""), @r"
    config.yaml: the file is empty
        hint: write at least source, endpoints and tables
    1 problem in config.yaml
    ");
    insta::assert_snapshot!(problems("# only a comment\n"), @r"
    config.yaml: the file is empty
        hint: write at least source, endpoints and tables
    1 problem in config.yaml
    ");
    insta::assert_snapshot!(problems("- a\n- b\n"), @r"
    config.yaml:1:1: a list where a mapping belongs
        hint: write the keys source, state, spool, memory, admin, alerts, endpoints, tables, messages, ignore_origins
    1 problem in config.yaml
    ");
    insta::assert_snapshot!(problems("source: [\n  url: x\n"), @r#"
    config.yaml:3:1: not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'
        hint: check the indentation, and quote values that hold ": ", " #", or begin with one of {[]},&*!|>'"%@`
    1 problem in config.yaml
    "#);
    insta::assert_snapshot!(problems("source: {}\n---\nsource: {}\n"), @r#"
    config.yaml:2:1: a second document begins
        hint: a config is one document: take out the "---"
    1 problem in config.yaml
    "#);
    insta::assert_snapshot!(problems("a: &x {<<: {}}\nb: !tag 1\n"), @r#"
    config.yaml: endpoints: is missing
        hint: name at least one endpoint, with its url and secret
    config.yaml: source.url: is missing
        hint: write the database's URL, for example ${DATABASE_URL}, or set WALHOOK_SOURCE__URL
    config.yaml: tables: is missing
        hint: name at least one table with an event:
            public.orders: { to: <endpoint>, events: { insert: order.created } }
    config.yaml:1:1: a: unknown key
        hint: known here: source, state, spool, memory, admin, alerts, endpoints, tables, messages, ignore_origins
    config.yaml:1:8: a: a merge key ("<<"), which is no part of YAML 1.2 and not read
        hint: write the keys out
    config.yaml:2:1: b: unknown key
        hint: known here: source, state, spool, memory, admin, alerts, endpoints, tables, messages, ignore_origins
    config.yaml:2:4: b: a YAML tag, which means nothing here
        hint: take out the word that begins with "!", or quote the whole value
    7 problems in config.yaml
    "#);
}

#[test]
fn names_that_stand_twice_are_told_with_both_lines() {
    let text = "state: a\nsource:\n  url: x\n  slot: a\n  slot: b\nstate: b\n";
    insta::assert_snapshot!(problems(text), @r#"
    config.yaml: endpoints: is missing
        hint: name at least one endpoint, with its url and secret
    config.yaml: tables: is missing
        hint: name at least one table with an event:
            public.orders: { to: <endpoint>, events: { insert: order.created } }
    config.yaml:3:8: source.url: not a connection string: a keyword is not followed by "="
        hint: write a URL (postgres://user@host/database) or keywords (host=... dbname=...)
    config.yaml:5:3: source.slot: the name stands twice, first in line 4
        hint: leave one of the two
    config.yaml:6:1: state: the name stands twice, first in line 1
        hint: leave one of the two
    5 problems in config.yaml
    "#);
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    let told = |path: &Path| {
        let problems: Problems = load(path, &Environment::default()).unwrap_err();
        let text = problems.to_string();
        text.replace(&directory.path().display().to_string(), "DIR")
    };
    insta::assert_snapshot!(told(&path), @r"
    DIR/config.yaml: the file cannot be read
        detail: no such file or directory
    1 problem in DIR/config.yaml
    ");
    insta::assert_snapshot!(told(directory.path()), @r"
    DIR: the file cannot be read
        detail: it is a directory
    1 problem in DIR
    ");
    std::fs::write(&path, b"state: a\nsource: \xff\n").unwrap();
    insta::assert_snapshot!(told(&path), @r"
    DIR/config.yaml: the file is not UTF-8
        detail: first in line 2
    1 problem in DIR/config.yaml
    ");
}

#[test]
fn the_state_can_be_had_of_a_config_that_is_wrong_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    let state = |text: &str, env: &[(&str, &str)]| {
        std::fs::write(&path, text).unwrap();
        let env = Environment::from_iter(env.iter().copied());
        load_outline(&path, &env)
            .map(|outline| outline.state)
            .map_err(|problems| {
                problems
                    .to_string()
                    .replace(&path.display().to_string(), "F")
            })
    };
    let wrong = "source: { url: ${NO }\n";
    assert!(state(wrong, &[]).is_err(), "it is no YAML");
    let wrong = "source: '${NO}'\nbogus: 1\nbogus: 2\nstate: ${HERE}/s.db\n";
    assert_eq!(state(wrong, &[("HERE", "/x")]), Ok("/x/s.db".into()));
    assert_eq!(
        state(wrong, &[("WALHOOK_STATE", "y.db"), ("WALHOOK_A__B", "z")]),
        Ok(directory.path().join("y.db"))
    );
    insta::assert_snapshot!(state(wrong, &[]).unwrap_err(), @r"
    F:3:1: bogus: the name stands twice, first in line 2
        hint: leave one of the two
    F:4:8: state: the variable HERE is not set
        hint: set it in the environment, or write ${HERE:-default}
    2 problems in F
    ");
    insta::assert_snapshot!(state("state: a\nstate: b\n", &[]).unwrap_err(), @r"
    F:2:1: state: the name stands twice, first in line 1
        hint: leave one of the two
    1 problem in F
    ");
    assert_eq!(
        state("tables: {}\n", &[]),
        Ok("/var/lib/walhook/state.db".into())
    );
}
