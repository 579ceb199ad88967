//! Single values: endpoints, URLs, secrets, rules.

use super::{CANARY, SECRET, config_with, endpoint, loaded, problems, table};
use crate::config::Environment;
use crate::config::load::config_of;

#[test]
fn values_of_an_endpoint_are_checked() {
    insta::assert_snapshot!(endpoint("    key_lanes: 8"), @r#"
    config.yaml:6:16: endpoints.a.key_lanes: it means nothing without "order: key"
        hint: write "order: key" beside it, or take it out
    1 problem in config.yaml
    "#);
    insta::assert_snapshot!(endpoint("    headers: {x-a: 1, X-A: 2, Content-Length: 3, x-b: 'é'}"), @r"
    config.yaml:6:28: endpoints.a.headers.X-A: the header stands twice
        hint: leave one of the two: names of headers have no case
    config.yaml:6:47: endpoints.a.headers.Content-Length: the header is set by walhook or by HTTP itself
        hint: take it out, or give it another name
    config.yaml:6:55: endpoints.a.headers.x-b: the value holds a character that is not ASCII
        hint: a header's value is printable ASCII; does it end in a newline?
    3 problems in config.yaml
    ");
    insta::assert_snapshot!(endpoint("    retry: {for: 4000d, max: 0s, park_statuses: [429, x]}"), @r#"
    config.yaml:6:18: endpoints.a.retry.for: "4000d" is out of range
        hint: write a duration from 0s to 10years
    config.yaml:6:30: endpoints.a.retry.max: "0s" is out of range
        hint: write a duration from 1ms to 1day
    config.yaml:6:50: endpoints.a.retry.park_statuses[0]: "429" means that the endpoint asks for a pause
        hint: write statuses from 100 to 599 other than 2xx, 410 and 429
    config.yaml:6:55: endpoints.a.retry.park_statuses[1]: "x" is not a whole number
        hint: write a whole number from 100 to 599
    4 problems in config.yaml
    "#);
    insta::assert_snapshot!(endpoint("    insecure_http: yes\n    timeout:"), @r#"
    config.yaml:6:20: endpoints.a.insecure_http: "yes" is neither true nor false
        hint: write true or false
    config.yaml:7:5: endpoints.a.timeout: has no value
        hint: write a number and a unit, for example 15s, 5ms or 3d, or take the key out
    2 problems in config.yaml
    "#);
}

#[test]
fn urls_are_checked_and_not_shown() {
    for (url, word) in [
        ("http://CANARY.example.com/", "plain http"),
        ("http://10.0.0.1/CANARY", "plain http"),
        ("https://u:CANARY@example.com/", "user and password"),
        ("https://example.com/#CANARY", "fragment"),
        ("https://example.com/{{CANARY}}", "no URL is a template"),
        ("CANARY", "not a URL"),
        ("unix:///CANARY", "scheme"),
        ("https://example.com/ CANARY", "white space"),
    ] {
        let text = config_with("", "    events: { insert: t.made }")
            .replace("https://a.example.com/", &format!("'{url}'"));
        let shown = problems(&text);
        assert!(shown.contains(word), "{url}: {shown}");
        assert!(!shown.contains(CANARY), "{shown}");
        assert!(shown.ends_with("1 problem in config.yaml"), "{shown}");
    }
    for url in ["http://127.0.0.1:1/", "http://[::1]/", "http://localhost/x"] {
        let text = config_with("", "    events: { insert: t.made }");
        loaded(
            &text.replace("https://a.example.com/", url),
            &Environment::default(),
        );
    }
    let text = config_with("    insecure_http: true", "    events: { insert: t.made }");
    loaded(
        &text.replace("https://a", "http://a"),
        &Environment::default(),
    );
}

#[test]
fn rules_are_checked() {
    insta::assert_snapshot!(table("    events: {}"), @r#"
    config.yaml:10:5: tables."public.t".events: there is no rule
        hint: name at least one event: { insert: order.created }
    1 problem in config.yaml
    "#);
    insta::assert_snapshot!(
        table("    events: { insert: [t.made, {type: '{table}.made', when: new.a == 1}] }"),
        @r#"
    config.yaml:10:32: tables."public.t".events.insert[1]: "{table}.made" is the event type of another rule to a too
        detail: tables."public.t".events.insert[0] can make it of the same change; the two events would share an id
        hint: give one of them another type or endpoint, or make one rule of them: when: (...) || (...)
    1 problem in config.yaml
    "#
    );
    insta::assert_snapshot!(
        table("    events: { delete: {type: a.b, when: new.a == 1}, truncate: {type: a.c, when: old.a == 1} }"),
        @r#"
    config.yaml:10:41: tables."public.t".events.delete.when: it reads the new row, and a delete has none
        hint: read columns of old
    config.yaml:10:82: tables."public.t".events.truncate.when: it reads a row, and a truncate has none
        hint: read operation, schema and table alone
    2 problems in config.yaml
    "#
    );
    insta::assert_snapshot!(
        table("    columns: {}\n    key: [a, a]\n    events: { insert: {type: a.b, payload: {x: [\"{{new.\"], \"{{new.a}}\": 1}} }"),
        @r#"
    config.yaml:10:5: tables."public.t".columns: neither include nor exclude
        hint: write one of the two, or take the key out
    config.yaml:11:14: tables."public.t".key[1]: "a" stands twice
        hint: leave one of the two
    config.yaml:12:49: tables."public.t".events.insert.payload.x[0]: not a template: {{ without the }} that ends it
        hint: write CEL between {{ and }}: "{{new.title}} ({{new.severity}})"
    config.yaml:12:73: tables."public.t".events.insert.payload."{{new.a}}": a key with {{ in it: keys are no templates
        hint: put the expression into a value
    4 problems in config.yaml
    "#
    );
}

#[test]
fn secrets_are_text_lists_or_files() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("good"), format!("{SECRET}\n")).unwrap();
    std::fs::write(directory.path().join("bad"), CANARY).unwrap();
    let with = |secret: &str, env: &Environment| {
        let text = config_with("", "    events: { insert: t.made }").replace(SECRET, secret);
        let (config, findings) = config_of(&text, directory.path().to_owned(), env);
        let problems = findings.into_problems("config.yaml");
        let shown = problems.to_string();
        assert!(!shown.contains(CANARY), "{shown}");
        match (config, problems.problems.is_empty()) {
            (Some(config), true) => Ok(config.endpoints[0].target.keys.len()),
            _ => Err(shown.replace(&directory.path().display().to_string(), "DIR")),
        }
    };
    let none = Environment::default();
    assert_eq!(with("{file: good}", &none), Ok(1));
    let two = "[{file: good}, whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw]";
    assert_eq!(with(two, &none), Ok(2));
    insta::assert_snapshot!(with("[{file: bad}, {file: gone}, {}, [x], '']", &none).unwrap_err(), @r#"
    config.yaml:5:14: endpoints.a.secret[0]: file "DIR/bad" cannot sign
        detail: it does not begin with "whsec_"
        hint: write whsec_ and the base64 of 24 to 64 random bytes, best as ${VARIABLE} or {file: path};
            to make one: echo "whsec_$(openssl rand -base64 32)"
    config.yaml:5:34: endpoints.a.secret[1].file: file "DIR/gone" cannot be read
        detail: no such file or directory
    config.yaml:5:41: endpoints.a.secret[2].file: is missing
        hint: write whsec_ and the base64 of 24 to 64 random bytes, best as ${VARIABLE} or {file: path};
            to make one: echo "whsec_$(openssl rand -base64 32)"
    config.yaml:5:45: endpoints.a.secret[3]: a list in a list
        hint: write whsec_ and the base64 of 24 to 64 random bytes, best as ${VARIABLE} or {file: path};
            to make one: echo "whsec_$(openssl rand -base64 32)"
    config.yaml:5:50: endpoints.a.secret[4]: the value is empty
        hint: write a secret (whsec_...)
    5 problems in config.yaml
    "#);
    insta::assert_snapshot!(with("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &none).unwrap_err(), @r#"
    config.yaml:5:13: endpoints.a.secret: the secret is weak: its bytes are not random
        hint: write whsec_ and the base64 of 24 to 64 random bytes, best as ${VARIABLE} or {file: path};
            to make one: echo "whsec_$(openssl rand -base64 32)"
    1 problem in config.yaml
    "#);
    insta::assert_snapshot!(with("{CANARY: CANARY}", &none).unwrap_err(), @r#"
    config.yaml:5:5: endpoints.a.secret.file: is missing
        hint: write whsec_ and the base64 of 24 to 64 random bytes, best as ${VARIABLE} or {file: path};
            to make one: echo "whsec_$(openssl rand -base64 32)"
    config.yaml:5:14: endpoints.a.secret: unknown key
        hint: known here: file
    2 problems in config.yaml
    "#);

    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("credential"), SECRET).unwrap();
    let systemd = Environment::from_iter([(
        "CREDENTIALS_DIRECTORY",
        elsewhere.path().display().to_string(),
    )]);
    assert_eq!(with("{file: credential}", &systemd), Ok(1));
}

#[test]
fn a_clash_is_told_beside_a_rule_that_is_wrong() {
    let shown = table("    events: { insert: [t.made, t.made], update: {} }");
    assert!(
        shown.contains("\"t.made\" is the event type of another rule"),
        "{shown}"
    );
    assert!(shown.ends_with("2 problems in config.yaml"), "{shown}");
}
