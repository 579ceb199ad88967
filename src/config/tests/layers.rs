//! Variables over the file.

use super::{good_with, table};

fn text() -> String {
    table("{ to: e, events: { insert: b.made } }")
        .replacen("  f:", "  F-2:", 1)
        .replacen("[e, f]", "[e, F-2]", 1)
}

#[test]
fn a_variable_stands_over_the_file() {
    let config = good_with(
        &text(),
        &[
            ("WALHOOK_SOURCE__SLOT", "other"),
            ("WALHOOK_STATE", "/tmp/s.db"),
            ("WALHOOK_ADMIN__LISTEN", "0.0.0.0:80"),
            ("WALHOOK_ENDPOINTS__E__CONCURRENCY", "3"),
            ("WALHOOK_ENDPOINTS__E__HEADERS__X_TEAM", "a b"),
            // Names have neither case nor hyphens.
            ("WALHOOK_ENDPOINTS__F_2__TIMEOUT", "1s"),
        ],
    );
    assert_eq!(config.source.slot, "other");
    assert_eq!(config.state.to_str(), Some("/tmp/s.db"));
    assert_eq!(config.admin.unwrap().port(), 80);
    assert_eq!(config.endpoints[0].lanes.concurrency, 3);
    assert_eq!(config.endpoints[0].target.headers["x-team"], "a b");
    assert_eq!(config.endpoints[1].target.timeout.as_secs(), 1);
    assert_eq!(&*config.endpoints[1].name, "F-2");
}

#[test]
fn other_variables_are_left_alone() {
    good_with(
        &text(),
        &[
            ("WALHOOK_CONFIG", "x"),
            ("WALHOOK_LOG", "debug"),
            ("WALHOOK_SERVICE_HOST", "10.0.0.1"),
            ("walhook_source__slott", "x"),
            ("SOURCE__SLOTT", "x"),
        ],
    );
}

#[test]
fn the_value_of_a_variable_is_not_filled() {
    let config = good_with(
        &text(),
        &[("WALHOOK_ENDPOINTS__E__HEADERS__X_A", "${HOME}")],
    );
    assert_eq!(config.endpoints[0].target.headers["x-a"], "${HOME}");
}

#[test]
fn a_variable_alone_can_name_the_database() {
    let without = text().replacen("source: { url: postgres://w@localhost/app }\n", "", 1);
    let config = good_with(&without, &[("WALHOOK_SOURCE__URL", "postgres://w@h/db")]);
    assert_eq!(config.source.conninfo.dbname, "db");
}

#[test]
fn the_order_of_the_file_stays() {
    let config = good_with(
        &text()
            .replacen("  e:", "  z:", 1)
            .replace("to: e", "to: z")
            .replace("[e,", "[z,"),
        &[("WALHOOK_ENDPOINTS__Z__TIMEOUT", "1s")],
    );
    let names: Vec<&str> = config
        .endpoints
        .iter()
        .map(|endpoint| &*endpoint.name)
        .collect();
    assert_eq!(names, ["z", "F-2"]);
    let tables: Vec<&str> = config.tables.iter().map(|table| &*table.name).collect();
    assert_eq!(tables, ["a.b", "a.c"]);
}
