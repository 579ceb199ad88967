//! Every problem of a config at once, each with its place, and nothing secret in them.

use std::path::Path;

use crate::harness::daemon::walhook;
use crate::harness::verify::random_secret;
use crate::harness::{ALL_EVENTS, Daemon};

const WRONG: &str = r#"source:
  url: ${NOT_SET_ANYWHERE}
  slott: walhook
state: state.db
endpoints:
  ftp: { url: "ftp://example.com/hooks", secret: whsec_c2hvcnRjYW5hcnk= }
  plain: { url: "http://example.com/canarypath?q=canaryquery", secret: canarysecret, timeout: soon }
  odd:
    url: https://example.com/canarypath
    secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAAAAAAAAAAA=
    order: sideways
    headers: { "x-line": "canary\r\nheader: value" }
tables:
  public.orders:
    to: nowhere
    events: { inserted: order.created }
  public.items:
    to: odd
    events:
      update: { type: item.changed, when: "new.price >" }
      insert:
        - item.made
        - { type: item.made }
"#;

/// Line of the file, and what the message about it names.
const PROBLEMS: &[(usize, &str)] = &[
    (2, "NOT_SET_ANYWHERE"),
    (3, "slott"),
    (6, "url"),
    (6, "secret"),
    (7, "insecure_http"),
    (7, "secret"),
    (7, "timeout"),
    (11, "order"),
    (12, "x-line"),
    (15, "nowhere"),
    (16, "inserted"),
    (20, "when"),
    (23, "events.insert[1]"),
];

#[tokio::test]
async fn all_problems_come_at_once_with_their_places() {
    let daemon = Daemon::without_database().prepare();
    daemon.set_config(WRONG);
    for command in [&["run"][..], &["check"], &["check", "--offline"]] {
        let ran = daemon.cli(command).await.expect_code(64);
        let text = ran.stderr;
        for (line, part) in PROBLEMS {
            let place = format!("config.yaml:{line}");
            let named = text.match_indices(&place).any(|(at, _)| {
                let after = &text[at + place.len()..];
                // Not line 70 in place of 7; the message goes on to the next place.
                let message = after.split("config.yaml:").next().unwrap_or("");
                !after.starts_with(|c: char| c.is_ascii_digit()) && message.contains(part)
            });
            assert!(named, "nothing about {part:?} at {place}:\n{text}");
        }
        assert!(
            !text.contains("canary") && !text.contains("c2hvcnRjYW5hcnk"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_file_that_is_no_yaml_or_not_there_is_a_wrong_config() {
    let daemon = Daemon::without_database().prepare();
    daemon.set_config("source: [\n  url: x\n");
    let ran = daemon.cli(&["run"]).await.expect_code(64);
    assert!(ran.stderr.contains("config.yaml:"), "{}", ran.stderr);
    std::fs::remove_file(daemon.config_path()).unwrap();
    let ran = daemon.cli(&["run"]).await.expect_code(64);
    assert!(ran.stderr.contains("config.yaml"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_name_may_not_stand_twice() {
    let daemon = Daemon::without_database().prepare();
    let config = daemon.config().replace(
        "endpoints:\n",
        "endpoints:\n  r: {url: \"http://127.0.0.1:1/\"}\n  r: {url: \"http://127.0.0.1:2/\"}\n",
    );
    daemon.set_config(&config);
    let ran = daemon.cli(&["check", "--offline"]).await.expect_code(64);
    let told = "config.yaml:8:3: endpoints.r: the name stands twice, first in line 7";
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
}

#[tokio::test]
async fn two_patterns_that_tie_are_an_error() {
    let entry = "to: r\nevents: {insert: made}";
    let daemon = Daemon::without_database()
        .endpoint_as_written("r", "url: http://127.0.0.1:1/\nsecret: ${R_SECRET}")
        .env(
            "R_SECRET",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAAAAAAAAAAA=",
        )
        .table("public.a*", entry)
        .table("public.*a", entry)
        .prepare();
    let ran = daemon
        .cli_with_secrets(&["check", "--offline"])
        .await
        .expect_code(64);
    assert!(
        ran.stderr.contains("public.a*") && ran.stderr.contains("public.*a"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn a_good_config_passes_offline() {
    let daemon = Daemon::without_database()
        .endpoint_as_written("r", "url: http://127.0.0.1:1/\nsecret: ${R_SECRET}")
        .env(
            "R_SECRET",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAAAAAAAAAAA=",
        )
        .table("public.orders", ALL_EVENTS)
        .prepare();
    daemon
        .cli_with_secrets(&["check", "--offline"])
        .await
        .expect_code(0);
    let ran = daemon.cli(&["check", "--offline"]).await.expect_code(64);
    assert!(ran.stderr.contains("R_SECRET"), "{}", ran.stderr);
}

#[tokio::test]
async fn the_reference_config_passes_offline() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.yaml");
    let reference = std::fs::read_to_string(reference).unwrap();
    let mut daemon = Daemon::without_database();
    // Each endpoint has a secret of its own.
    for name in [
        "BILLING_SECRET",
        "CHAT_SECRET",
        "ARCHIVE_SECRET",
        "CRM_SECRET",
        "CRM_SECRET_OLD",
    ] {
        daemon = daemon.env(name, &random_secret());
    }
    let daemon = daemon
        .env("BILLING_TOKEN", "token")
        .env("DATABASE_URL", "postgres://walhook@localhost/app")
        .prepare();
    daemon.set_config(&reference);
    let ran = daemon.cli_with_secrets(&["check", "--offline"]).await;
    let ran = ran.expect_code(0);
    assert!(!ran.text().contains("warning"), "{}", ran.text());
}

#[tokio::test]
async fn help_and_version_are_no_errors() {
    let version = walhook(&["--version"]).await.expect_code(0);
    assert_eq!(
        version.stdout,
        concat!("walhook ", env!("CARGO_PKG_VERSION"), "\n")
    );
    let help = walhook(&["--help"]).await.expect_code(0).stdout;
    for command in [
        "run", "check", "status", "dead", "endpoint", "adopt", "teardown",
    ] {
        assert!(help.contains(command), "{command} is not in\n{help}");
    }
    walhook(&["nonsense"]).await.expect_code(64);
}
