//! `messages`, `outbox` and `ignore_origins`.

use super::{CANARY, config_with, loaded, problems, table};
use crate::change::Operation;
use crate::config::Environment;
use crate::mapping::rule::WhenError;

fn with(top: &str) -> String {
    format!(
        "{}{top}\n",
        config_with("", "    events: { insert: t.made }")
    )
}

#[test]
fn a_message_has_a_prefix_a_key_and_rules() {
    let text = with(
        r#"messages:
  order.paid: { to: a, key: [customer], events: order.paid }
  '"a*b"': { to: a, events: [{ type: "x.{prefix}", when: "new.data.n > 1" }, y] }
  "*": { events: { type: "{prefix}", to: a, payload: { n: "{{new.data_base64}}" } } }
ignore_origins: here
"#,
    );
    let config = loaded(&text, &Environment::default());
    let entries: Vec<_> = config
        .messages
        .iter()
        .map(|entry| (&*entry.name, entry.rules.len(), entry.pattern.is_exact()))
        .collect();
    assert_eq!(
        entries,
        [
            ("order.paid", 1, true),
            ("\"a*b\"", 2, true),
            ("*", 1, false)
        ]
    );
    assert_eq!(
        config.messages[0].key.as_deref(),
        Some(&["customer".to_owned()][..])
    );
    assert_eq!(config.messages[0].rules[0].operation, Operation::Message);
    assert_eq!(*config.ignore_origins, ["here"]);
}

#[test]
fn a_config_may_have_messages_alone() {
    let text = with("messages: { a: { to: a, events: b } }");
    let (before, rest) = text.split_once("tables:").unwrap();
    let (_, after) = rest.split_once("messages:").unwrap();
    let config = loaded(
        &format!("{before}messages:{after}"),
        &Environment::default(),
    );
    assert!(config.tables.is_empty());
}

#[test]
fn all_that_is_wrong_with_messages_is_told() {
    let shown = problems(&with(
        r#"messages:
  a: { to: b, events: "{table}.x" }
  "": { to: a, events: x }
  '"b': { to: a, events: x }
  c: { to: a }
  d: { events: x }
  e: { to: a, events: [], key: [], columns: { include: [a] } }
  f: { to: a, events: { insert: x } }
  g: { to: a, events: { type: x, when: "old.data == 1" } }
  h: { to: a, events: { type: x, when: "new.total > 1" } }
  i: { to: a, events: { type: x, payload: "{{changed('data')}}" } }
  "j.x": { to: a, events: ["{prefix}", j.x] }
  "k*": { to: a, events: x }
  "*k": { to: a, events: x }
  l: { to: a, events: CANARY }
  '"l"': { to: a, events: x }
ignore_origins: [o, o]
"#,
    ));
    insta::assert_snapshot!(shown, @r##"
    config.yaml:12:12: messages.a.to: "b" is not an endpoint
        hint: endpoints are a
    config.yaml:12:23: messages.a.events: "{table}.x" is not an event type
        detail: unknown placeholder {table}, expected {prefix}
        hint: write for example order.created or {prefix}
    config.yaml:13:3: messages."": the prefix is empty
        hint: write the first text of pg_logical_emit_message
    config.yaml:14:3: messages.'"b': a double quote without its other one, or in the middle of a prefix in quotes
        hint: quote the whole prefix, and write a quote in it twice: '"a*""b"'
    config.yaml:15:3: messages.c.events: is missing
        hint: write an event type, for example order.paid or {prefix}
    config.yaml:16:16: messages.d.events: the rule has no endpoint
        hint: write "to: <endpoint>" at the entry, or beside the rule's type
    config.yaml:17:15: messages.e.events: an empty list
        hint: write an event type, or take the key out
    config.yaml:17:27: messages.e.key: an empty list
        hint: name at least one, or take the key out
    config.yaml:17:36: messages.e.columns: unknown key
        hint: it belongs to a table
    config.yaml:18:15: messages.f.events.type: is missing
        hint: write an event type, for example order.created
    config.yaml:18:25: messages.f.events.insert: unknown key
        hint: it belongs to a table's events
    config.yaml:19:40: messages.g.events.when: it reads the old row, and a message has none
        hint: read new.data
    config.yaml:20:40: messages.h.events.when: it reads new.total, which no message has
        hint: a message has data, data_base64, prefix, transactional; what its content has is below new.data
    config.yaml:21:43: messages.i.events.payload: it reads the old row, and a message has none
        hint: read new.data
    config.yaml:22:40: messages."j.x".events[1]: "j.x" is the event type of another rule to a too
        detail: messages."j.x".events[0] can make it of the same change; the two events would share an id
        hint: give one of them another type or endpoint, or make one rule of them: when: (...) || (...)
    config.yaml:24:3: messages."*k": it can match the same message as k*
        detail: a message takes the pattern with the longest literal part, and these two are equally long
        hint: make one of the patterns more exact, or write an entry for each message
    config.yaml:26:3: messages.'"l"': the same message as l
        hint: make one entry of the two
    config.yaml:27:21: ignore_origins[1]: "o" stands twice
        hint: leave one of the two
    18 problems in config.yaml
    "##);
}

#[test]
fn an_outbox_names_columns_and_its_rows_are_never_lost_in_silence() {
    let text = config_with(
        "",
        "    outbox: { type: kind, payload: body, key: aggregate, id: id }",
    );
    let config = loaded(&text, &Environment::default());
    let entry = &config.tables[0];
    assert_eq!(entry.key.as_deref(), Some(&["aggregate".to_owned()][..]));
    let [rule] = &entry.rules[..] else {
        panic!("one rule");
    };
    assert_eq!(rule.operation, Operation::Insert);
    assert_eq!(rule.when_error, WhenError::DeadLetter);
    assert_eq!(&*rule.name, "tables.\"public.t\".outbox");
}

#[test]
fn all_that_is_wrong_with_an_outbox_is_told() {
    let shown = table(
        "    columns: { include: [a] }\n    key: [a]\n    events: { insert: a }\n    \
         outbox: { type: [a], paylaod: CANARY, id: 5 }",
    );
    assert!(!shown.contains(CANARY), "{shown}");
    insta::assert_snapshot!(shown, @r##"
    config.yaml:10:5: tables."public.t".columns: it means nothing beside "outbox"
        hint: an event has the payload's value alone: take it out
    config.yaml:11:5: tables."public.t".key: it means nothing beside "outbox"
        hint: name its column in the outbox: outbox: { key: ... }
    config.yaml:12:5: tables."public.t".events: it means nothing beside "outbox"
        hint: the rows of an outbox are its events: take it out
    config.yaml:13:5: tables."public.t".outbox.payload: is missing
        hint: write the name of a column
    config.yaml:13:15: tables."public.t".outbox.type: a list where a single value belongs
        hint: write the name of a column
    config.yaml:13:26: tables."public.t".outbox.paylaod: unknown key
        hint: did you mean "payload"?
    6 problems in config.yaml
    "##);
    insta::assert_snapshot!(
        problems("outbox: { type: a }\nsource: { ignore_origins: x, messages: {} }"),
        @r#"
        config.yaml: endpoints: is missing
            hint: name at least one endpoint, with its url and secret
        config.yaml: tables: is missing
            hint: name at least one table with an event:
                public.orders: { to: <endpoint>, events: { insert: order.created } }
        config.yaml:1:1: outbox: unknown key
            hint: it belongs to a table
        config.yaml:2:1: source.url: is missing
            hint: write the database's URL, for example ${DATABASE_URL}, or set WALHOOK_SOURCE__URL
        config.yaml:2:11: source.ignore_origins: unknown key
            hint: it belongs to the top level
        config.yaml:2:30: source.messages: unknown key
            hint: it belongs to the top level
        6 problems in config.yaml
        "#
    );
}
