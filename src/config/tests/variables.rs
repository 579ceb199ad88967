//! Variables: in the file and over it.

use std::path::Path;

use super::{CANARY, config_with, loaded, problems, problems_with};
use crate::config::Environment;

#[test]
fn unset_variables_are_told_where_they_stand() {
    let text = config_with(
        "    timeout: ${A}${B:-1}${C}\n    headers: {x: '${'}",
        "    events: { insert: '${1}' }",
    );
    insta::assert_snapshot!(problems(&text), @r#"
    config.yaml:6:14: endpoints.a.timeout: the variable A is not set
        hint: set it in the environment, or write ${A:-default}
    config.yaml:6:14: endpoints.a.timeout: the variable C is not set
        hint: set it in the environment, or write ${C:-default}
    config.yaml:7:18: endpoints.a.headers.x: a "${" without its "}"
        hint: write ${NAME} or ${NAME:-default}, or $${ where no variable is meant
    config.yaml:11:23: tables."public.t".events.insert: what stands in "${...}" is not the name of a variable
        hint: write ${NAME} or ${NAME:-default}, or $${ where no variable is meant
    4 problems in config.yaml
    "#);
}

#[test]
fn variables_override_the_file() {
    let env = Environment::from_iter([
        ("WALHOOK_SOURCE__SLOT", "other"),
        ("WALHOOK_STATE", "/there.db"),
        ("WALHOOK_SPOOL__FULL", "disable"),
        ("WALHOOK_ENDPOINTS__A__TIMEOUT", "3s"),
        ("WALHOOK_ENDPOINTS__A__HEADERS__X_TEAM", "${NOT_FILLED}"),
        ("WALHOOK_LOG", "debug"),
        ("WALHOOK_CONFIG", "x"),
        ("WALHOOK_PORT", "tcp://10.0.0.1:80"),
    ]);
    let text = config_with("    timeout: ${NOT_SET}", "    events: { insert: t.made }");
    let config = loaded(&text, &env);
    assert_eq!(config.source.slot, "other");
    assert_eq!(config.source.publication, "other");
    assert_eq!(config.state, Path::new("/there.db"));
    let target = &config.endpoints[0].target;
    assert_eq!(target.timeout, std::time::Duration::from_secs(3));
    assert_eq!(target.headers["x-team"], "${NOT_FILLED}");
}

#[test]
fn the_order_of_the_file_stays() {
    let env = Environment::from_iter([("WALHOOK_ENDPOINTS__Z__TIMEOUT", "3s")]);
    let text = config_with("", "    events: { insert: t.made }").replace(
        "endpoints:\n",
        "endpoints:\n  z: { url: 'http://[::1]/', secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw }\n",
    );
    let config = loaded(&text, &env);
    let names: Vec<&str> = config.endpoints.iter().map(|e| &*e.name).collect();
    assert_eq!(names, ["z", "a"]);
    assert_eq!(config.tables[0].rules[0].endpoints[0].0, 1);
}

#[test]
fn problems_of_variables_are_named_by_them_and_show_no_value() {
    let env = Environment::from_iter([
        ("WALHOOK_SOURCE__URL", "CANARY=x host=y"),
        ("WALHOOK_SOURCE__SLOTT", "CANARY"),
        ("WALHOOK_SPOOL__MAX_BYTES", "CANARY"),
        ("WALHOOK_MEMORY", "CANARY"),
        ("WALHOOK_ENDPOINTS__B__TIMEOUT", "CANARY"),
        ("WALHOOK__X", "CANARY"),
        ("TIMEOUT", "CANARY"),
        ("TYPE", "CANARY{CANARY}"),
        ("WHEN", "CANARY >"),
        ("TO", "CANARY"),
    ]);
    let text = config_with(
        "    timeout: ${TIMEOUT}",
        "    events: { insert: { type: '${TYPE}', when: '${WHEN}', to: ['${TO}'], payload: '{{${WHEN}}}' } }",
    );
    let shown = problems_with(&text, &env);
    assert!(!shown.contains(CANARY), "{shown}");
    insta::assert_snapshot!(shown, @r#"
    config.yaml:6:14: endpoints.a.timeout: the value of ${TIMEOUT} is not a duration
        hint: write a number and a unit, for example 15s, 5ms or 3d
    config.yaml:10:31: tables."public.t".events.insert.type: the value of ${TYPE} is not an event type
        hint: write for example order.created or {table}.{operation}
    config.yaml:10:48: tables."public.t".events.insert.when: the value of ${WHEN} is not a condition
        hint: write CEL over new, old, operation, schema, table and changed("column")
    config.yaml:10:64: tables."public.t".events.insert.to[0]: the value of ${TO} is not an endpoint
        hint: endpoints are a
    config.yaml:10:83: tables."public.t".events.insert.payload: the value of a variable makes no template
        hint: write CEL between {{ and }}: "{{new.title}} ({{new.severity}})"
    WALHOOK_ENDPOINTS__B__TIMEOUT: it names endpoint "b", which the file does not have
        hint: write the endpoint into the file; a variable can only set what is there
    WALHOOK_MEMORY: memory: a single value where a mapping belongs
        hint: write the key max_bytes
    WALHOOK_SOURCE__SLOTT: source.slott: unknown key
        hint: did you mean "slot"?
    WALHOOK_SOURCE__URL: source.url: not a connection string: unknown keyword (a value with spaces stands in single quotes, and "?" in a URL's password is %3F)
        hint: write a URL (postgres://user@host/database) or keywords (host=... dbname=...)
    WALHOOK_SPOOL__MAX_BYTES: spool.max_bytes: its value is not a size
        hint: write a number and a unit, for example 24MiB or 10GiB
    WALHOOK__X: _x: unknown key
        hint: known here: source, state, spool, memory, admin, alerts, endpoints, tables, messages, ignore_origins
    11 problems in config.yaml
    "#);
}
