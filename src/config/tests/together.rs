//! One problem hides no other, and brings no second one with it.

use super::{SECRET, config_with, endpoint, loaded, problems, table};
use crate::config::Environment;

#[test]
fn what_stands_twice_is_told_beside_what_is_wrong() {
    insta::assert_snapshot!(endpoint(
        "    headers: { host: a, X-A: a, x-a: \"b\\n\" }
    retry: { park_statuses: [200, 404, 404] }"
    ), @r#"
    config.yaml:6:22: endpoints.a.headers.host: the header is set by walhook or by HTTP itself
        hint: take it out, or give it another name
    config.yaml:6:38: endpoints.a.headers.x-a: the header stands twice
        hint: leave one of the two: names of headers have no case
    config.yaml:6:38: endpoints.a.headers.x-a: the value holds a line break
        hint: a header's value is printable ASCII; does it end in a newline?
    config.yaml:7:30: endpoints.a.retry.park_statuses[0]: "200" means that the event was delivered
        hint: write statuses from 100 to 599 other than 2xx, 410 and 429
    config.yaml:7:40: endpoints.a.retry.park_statuses[2]: "404" stands twice
        hint: leave one of the two
    5 problems in config.yaml
    "#);
    insta::assert_snapshot!(table(
        "    columns: { include: [[], b, b] }
    events: { insert: { type: t.made, to: [nowhere, a, a] } }"
    ), @r#"
    config.yaml:10:26: tables."public.t".columns.include[0]: a list where a single value belongs
        hint: write the name of a column
    config.yaml:10:33: tables."public.t".columns.include[2]: "b" stands twice
        hint: leave one of the two
    config.yaml:11:44: tables."public.t".events.insert.to[0]: "nowhere" is not an endpoint
        hint: endpoints are a
    config.yaml:11:56: tables."public.t".events.insert.to[2]: "a" stands twice
        hint: leave one of the two
    4 problems in config.yaml
    "#);
}

#[test]
fn all_of_a_payload_is_read() {
    insta::assert_snapshot!(table(
        "    events: { insert: { type: t.made, payload: { a: .nan, b: [\"{{new.}}\"], c: { d.e: \"{{old.id\" } } } }"
    ), @r#"
    config.yaml:10:53: tables."public.t".events.insert.payload.a: ".nan" is no number in JSON
        hint: write it in quotes, as text
    config.yaml:10:63: tables."public.t".events.insert.payload.b[0]: not a template: unexpected '.' at column 5
        hint: write CEL between {{ and }}: "{{new.title}} ({{new.severity}})"
    config.yaml:10:86: tables."public.t".events.insert.payload.c."d.e": not a template: {{ without the }} that ends it
        hint: write CEL between {{ and }}: "{{new.title}} ({{new.severity}})"
    3 problems in config.yaml
    "#);
}

#[test]
fn the_problem_of_an_endpoint_is_none_of_the_rules() {
    let text = config_with("", "    events: { insert: t.made }").replacen(SECRET, "weak", 1);
    let told = problems(&text);
    assert!(told.ends_with("\n1 problem in config.yaml"), "{told}");
}

#[test]
fn a_type_is_compared_as_it_is_rendered() {
    let text = config_with("", "    events: { insert: [\"{table}\", a_b] }");
    insta::assert_snapshot!(problems(&text.replacen("public.t", "public.a-b", 1)), @r#"
    config.yaml:10:35: tables."public.a-b".events.insert[1]: "a_b" is the event type of another rule to a too
        detail: tables."public.a-b".events.insert[0] can make it of the same change; the two events would share an id
        hint: give one of them another type or endpoint, or make one rule of them: when: (...) || (...)
    1 problem in config.yaml
    "#);
}

#[test]
fn an_insert_may_be_asked_whether_it_changed_a_column() {
    let rule = "    events: { insert: { type: t.made, when: 'changed(\"a\")' } }";
    loaded(&config_with("", rule), &Environment::default());
}

#[test]
fn rows_that_an_operation_has_not_are_told() {
    insta::assert_snapshot!(table(
        "    events:
      insert: { type: a, when: size(old) > 0 }
      delete: { type: a, payload: \"{{new}}\" }
      truncate: { type: a, when: 'changed(\"a\")' }"
    ), @r#"
    config.yaml:11:32: tables."public.t".events.insert.when: it reads the old row, and an insert has none
        hint: read columns of new
    config.yaml:12:35: tables."public.t".events.delete.payload: it reads the new row, and a delete has none
        hint: read columns of old
    config.yaml:13:34: tables."public.t".events.truncate.when: it reads a row, and a truncate has none
        hint: read operation, schema and table alone
    3 problems in config.yaml
    "#);
}

#[test]
fn who_gets_alerts_is_told_as_any_other_endpoint() {
    let alerts = |to: &str| {
        let text = config_with("", "    events: { insert: t.made }");
        problems(&format!("alerts: {to}\n{text}"))
    };
    insta::assert_snapshot!(alerts("{ to: [a, b, a] }"), @r#"
    config.yaml:1:19: alerts.to[1]: "b" is not an endpoint
        hint: endpoints are a
    config.yaml:1:22: alerts.to[2]: "a" stands twice
        hint: leave one of the two
    2 problems in config.yaml
    "#);
    insta::assert_snapshot!(alerts("{ to: [] }"), @r#"
    config.yaml:1:11: alerts.to: an empty list
        hint: name at least one endpoint
    1 problem in config.yaml
    "#);
    insta::assert_snapshot!(alerts("{}"), @r#"
    config.yaml:1:1: alerts.to: is missing
        hint: name at least one endpoint
    1 problem in config.yaml
    "#);
    insta::assert_snapshot!(alerts("[a]"), @r#"
    config.yaml:1:1: alerts: a list where a mapping belongs
        hint: write the key to
    1 problem in config.yaml
    "#);
}

#[test]
fn an_endpoint_for_alerts_alone_is_used() {
    let text = config_with("", "    events: { insert: t.made }");
    let ops = "\n  ops:\n    url: https://ops.example.com/\n    secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\ntables:";
    let text = format!(
        "alerts: {{ to: ops }}\n{}",
        text.replacen("\ntables:", ops, 1)
    );
    let config = loaded(&text, &Environment::default());
    assert_eq!(config.alerts.len(), 1);
    assert_eq!(&*config.endpoints[config.alerts[0].0].name, "ops");
}
