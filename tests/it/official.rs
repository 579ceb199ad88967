//! The official Standard Webhooks libraries verify what the daemon really sends.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::receiver::Attempt;
use crate::harness::verify::random_secret;
use crate::harness::{ALL_EVENTS, Answer, Cluster, Daemon, ORDERS, Receiver, SOON};

/// Where the libraries are; installed once, which needs the network.
pub fn libraries() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("verifiers");
        let installed = Command::new("sh")
            .arg(script("install.sh"))
            .arg(&directory)
            .output();
        let installed = installed.expect("sh");
        assert!(
            installed.status.success(),
            "cannot install the official verifiers (python3-venv and npm are needed, and a network \
             the first time): {}",
            String::from_utf8_lossy(&installed.stderr)
        );
        directory
    })
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/verify")
        .join(name)
}

/// A verdict for each request from the library of each language.
fn verdicts(requests: &[Value]) -> [Vec<String>; 2] {
    let mut python = Command::new(libraries().join("python/bin/python"));
    python.arg(script("verify.py"));
    let mut node = Command::new("node");
    node.arg(script("verify.mjs")).arg(libraries());
    [python, node].map(|mut command| {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python and node");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin
            .write_all(json!(requests).to_string().as_bytes())
            .expect("a reader");
        drop(stdin);
        let output = child.wait_with_output().expect("an output");
        assert!(output.status.success());
        String::from_utf8(output.stdout)
            .expect("UTF-8")
            .lines()
            .map(str::to_owned)
            .collect()
    })
}

fn request(attempt: &Attempt, secret: &str) -> Value {
    let headers: serde_json::Map<String, Value> = attempt
        .request
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    json!({
        "secret": secret,
        "headers": headers,
        "body": STANDARD.encode(&attempt.request.body),
    })
}

#[tokio::test]
async fn they_verify_every_kind_of_delivery() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let (single, batched) = (Receiver::start().await, Receiver::start().await);
    let old = random_secret();
    let _daemon = Daemon::of(&db)
        .endpoint_with("r", &single, "secret: [\"${R_SECRET}\", \"${OLD}\"]")
        .env("OLD", &old)
        .endpoint_with("b", &batched, "batch: {events: 10, wait: 5ms}")
        .table("public.orders", &ALL_EVENTS.replace("to: r", "to: [r, b]"))
        .start()
        .await;
    single.next(Answer::status(500));
    db.sql("INSERT INTO orders VALUES (1, 'é 😀 \u{2028}', 1.10, E'\\x01 \"')")
        .await;
    db.sql("UPDATE orders SET status = 'x'; DELETE FROM orders; TRUNCATE orders")
        .await;
    single.wait_for(4, SOON).await;
    batched.wait_for(4, SOON).await;

    let mut requests = Vec::new();
    for attempt in single.attempts() {
        requests.push(request(&attempt, &single.secret()));
        requests.push(request(&attempt, &old));
    }
    for attempt in batched.attempts() {
        requests.push(request(&attempt, &batched.secret()));
    }
    assert!(requests.len() > 10);
    for verdicts in verdicts(&requests) {
        assert_eq!(verdicts, vec!["ok"; requests.len()]);
    }
}

#[tokio::test]
async fn they_are_no_rubber_stamp() {
    let receiver = Receiver::start().await;
    crate::harness_itself::send(&receiver, "evt", "{\"a\":1}")
        .await
        .unwrap();
    receiver.take_problems();
    let attempt = &receiver.attempts()[0];
    let good = request(attempt, &receiver.secret());
    let wrong_secret = request(attempt, &random_secret());
    let mut wrong_body = good.clone();
    wrong_body["body"] = json!(STANDARD.encode("{\"a\":2}"));
    for verdicts in verdicts(&[good, wrong_secret, wrong_body]) {
        assert_eq!(
            verdicts,
            ["ok", "WebhookVerificationError", "WebhookVerificationError"]
        );
    }
}
