//! `walhook listen` and `walhook send`: what a subscriber's developer tries things with.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::process::Process;
use crate::harness::{ALL_EVENTS, Answer, Cluster, Daemon, ORDERS, Receiver, SOON};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A listener on a free port, and its address.
async fn listen(arguments: &[&str]) -> (Process, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walhook"));
    command.args(["listen", "--port", "0"]).args(arguments);
    let process = Process::spawn(command, None);
    let line = process.output().line_with("listening on ", SOON).await;
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"));
    let url = url.expect("an address").to_owned();
    (process, url)
}

fn endpoint(url: &str, secret: &str) -> String {
    format!("url: {url}/hooks\nsecret: {secret}\nretry: {{max: 200ms}}\n")
}

#[tokio::test]
async fn a_listener_verifies_and_shows_what_a_daemon_sends() {
    let directory = TempDir::new().expect("a directory");
    let saved = directory.path().join("requests.jsonl");
    let save = saved.to_str().expect("UTF-8");
    let (listener, url) = listen(&["--secret", OTHER, "--secret", SECRET, "--save", save]).await;
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let daemon = Daemon::of(&db).endpoint_as_written("r", &endpoint(&url, SECRET));
    let mut daemon = daemon.table("public.orders", ALL_EVENTS).start().await;
    db.sql("INSERT INTO orders (id) VALUES (7)").await;
    let line = listener.output().line_with(" orders ", SOON).await;
    assert!(
        line.contains("\"id\":7") && line.contains(" verified"),
        "{line}"
    );
    assert!(line.ends_with(" ms") && !line.contains('\u{1b}'), "{line}");
    assert_eq!(daemon.stop().await, 0);
    listener.signal("INT");
    let ended = listener.exited(SOON).await;
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
    let output = listener.output().text();
    assert!(
        output.contains("1 requests: 1 events accepted, 0 repeats, 0 out of order; 0 requests failed as told, 0 refused"),
        "{output}"
    );
    let text = std::fs::read_to_string(&saved).expect("the saved requests");
    let request: Value = serde_json::from_str(&text).expect("one line of JSON");
    assert_eq!(request["verdict"], "verified");
    assert_eq!(request["path"], "/hooks");
    let body: Value = serde_json::from_str(request["body"].as_str().expect("text")).expect("JSON");
    assert_eq!(request["headers"]["webhook-id"], body["id"]);
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&saved)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_listener_refuses_another_secret_and_fails_when_told_to() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let (refusing, refusing_url) = listen(&["--secret", OTHER]).await;
    let (failing, failing_url) = listen(&["--fail", "100%", "--delay", "10ms"]).await;
    let daemon = Daemon::of(&db)
        .endpoint_as_written("a", &endpoint(&refusing_url, SECRET))
        .endpoint_as_written("b", &endpoint(&failing_url, SECRET));
    let events = ALL_EVENTS.replace("to: r", "to: [a, b]");
    let daemon = daemon.table("public.orders", &events).start().await;
    db.sql("INSERT INTO orders (id) VALUES (7)").await;
    let line = refusing.output().line_with("refused with 401", SOON).await;
    assert!(line.contains("no signature of it matches"), "{line}");
    let line = failing.output().line_with("500 to attempt 2", SOON).await;
    assert!(line.contains("not verified"), "{line}");
    drop(daemon);
}

#[tokio::test]
async fn a_repeat_and_a_change_that_was_overtaken_are_told() {
    let (listener, url) = listen(&[]).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::without_database()
        .endpoint_as_written("r", &endpoint(&url, SECRET))
        .endpoint("x", &receiver)
        .table("public.orders", "to: r\nevents: {insert: a}\n")
        .prepare();
    let event = |id: &str, lsn: &str| {
        format!(
            r#"{{"id":"{id}","type":"t","timestamp":null,"data":{{}},"source":{{"schema":"s","table":"t","lsn":"{lsn}","index":1}}}}"#
        )
    };
    for (id, lsn, said) in [
        ("a", "0/2", "not verified"),
        ("a", "0/2", "a repeat"),
        ("b", "0/1", "out of order"),
    ] {
        let body = event(id, lsn);
        daemon
            .cli_with_secrets(&["send", "r", "--body", &body])
            .await
            .expect_code(0);
        listener.output().line_with(said, SOON).await;
    }
}

#[tokio::test]
async fn send_shows_the_exchange_and_what_came_of_it() {
    let receiver = Receiver::start().await;
    let daemon = Daemon::without_database()
        .endpoint_with("one", &receiver, "headers: {authorization: hidden-token}\n")
        .endpoint_with("many", &receiver, "batch: {events: 10}\n")
        .table("public.orders", "to: [one, many]\nevents: {insert: a}\n")
        .prepare();
    let sent = daemon
        .cli_with_secrets(&[
            "send",
            "one",
            "--type",
            "order.paid",
            "--data",
            r#"{"total":1.50}"#,
        ])
        .await
        .expect_code(0);
    let text = sent.text();
    assert!(
        text.contains(r#""data":{"total":1.50}"#) && text.contains("delivered"),
        "{text}"
    );
    assert!(
        !text.contains("hidden-token") && !text.contains("whsec_"),
        "{text}"
    );
    daemon
        .cli_with_secrets(&["send", "many"])
        .await
        .expect_code(0);
    // It accepts what verifies.
    receiver.wait_for(2, SOON).await;
    receiver.next(Answer::Status(503, Vec::new(), "no \x1b[31mred".to_owned()));
    let failed = daemon
        .cli_with_secrets(&["send", "one"])
        .await
        .expect_code(1)
        .text();
    assert!(
        failed.contains("answered 503") && failed.contains("not delivered"),
        "{failed}"
    );
    assert!(failed.contains("no \\u{1b}[31mred"), "{failed}");
    let unknown = daemon
        .cli_with_secrets(&["send", "none"])
        .await
        .expect_code(1)
        .text();
    assert!(
        unknown.contains("no endpoint \"none\"") && unknown.contains("one, many"),
        "{unknown}"
    );
    let wrong = daemon
        .cli_with_secrets(&["send", "one", "--data", "{"])
        .await
        .expect_code(1)
        .text();
    assert!(wrong.contains("--data is no JSON"), "{wrong}");
}
