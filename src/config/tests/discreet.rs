//! What nobody may read.

use super::{CANARY, config_with, loaded, problems};
use crate::config::Environment;

#[test]
fn no_spelling_of_a_connection_string_is_shown() {
    for url in [
        "postgres://u:CANARY@h:x/d",
        "postgres://u:p?CANARY=x@h/d",
        "postgres://u:p%zzCANARY@h/d",
        "host=h password=two CANARY=x",
        "host=h password=two CANARY",
        "host=h port=CANARY",
        "mysql://u:CANARY@h/d",
        "CANARY",
    ] {
        let text = config_with("", "    events: { insert: t.made }")
            .replace("'host=/tmp dbname=app user=walhook'", &format!("'{url}'"));
        let shown = problems(&text);
        assert!(!shown.contains(CANARY), "{url}: {shown}");
    }
}

#[test]
fn the_debug_of_a_config_shows_no_secret() {
    let env = Environment::from_iter([("TOKEN", CANARY)]);
    let text = config_with(
        "    headers: { authorization: 'Bearer ${TOKEN}', x-b: CANARY }",
        "    events: { insert: t.made }",
    )
    .replace("https://a.example.com/", "https://a.example.com/CANARY")
    .replace("user=walhook", "user=walhook password=CANARY");
    let config = loaded(&text, &env);
    let shown = format!("{config:?} {env:?}");
    assert!(!shown.contains(CANARY), "{shown}");
    assert!(!shown.contains("C2FVsBQIhrsc"), "{shown}");
}
