//! `examples/`: every one from end to end, and its page against what arrives.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::cluster::free_port;
use crate::harness::installation::client_program;
use crate::harness::process::Process;
use crate::harness::{Cluster, Database, Receiver, SOON, eventually};

const EXAMPLES: [(&str, &[&str]); 5] = [
    ("chat", &["CHAT"]),
    ("marketing", &["MAIL"]),
    ("project-management", &["PLANNER", "NOTIFIER"]),
    ("payments", &["LEDGER"]),
    ("ci-cd", &["PIPELINES"]),
];

/// Of the one that rotates.
const OLD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn directory(example: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(example)
}

fn read(example: &str, file: &str) -> String {
    let path = directory(example).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The example's own config; only what its page tells to set, and the places of files, is set.
fn walhook(
    example: &str,
    endpoints: &[&str],
    arguments: &[&str],
    db: &Database,
    receivers: &[Receiver],
    state: &TempDir,
) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_walhook"));
    command
        .args(arguments)
        .current_dir(directory(example))
        .env("DATABASE_URL", db.url())
        .env("WALHOOK_SOURCE__SLOT", &db.slot)
        .env("WALHOOK_STATE", state.path().join("state.db"))
        .env("WALHOOK_ADMIN__LISTEN", "off");
    for (endpoint, receiver) in endpoints.iter().zip(receivers) {
        command
            .env(format!("{endpoint}_URL"), receiver.url())
            .env(format!("{endpoint}_SECRET"), receiver.secret())
            .env(format!("{endpoint}_SECRET_OLD"), OLD_SECRET);
    }
    command
}

async fn run(example: &str, endpoints: &[&str]) {
    let db = Cluster::shared().await.database().await;
    db.sql(&read(example, "schema.sql")).await;
    let mut receivers = Vec::new();
    for _ in endpoints {
        receivers.push(Receiver::start().await);
    }
    let state = TempDir::new().expect("a directory");
    let command =
        |arguments: &[&str]| walhook(example, endpoints, arguments, &db, &receivers, &state);
    let checked = command(&["check"]).output().expect("the binary");
    let text = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(0), "{example}: {text}");
    // Of the server, not of the example.
    let of_server = |line: &&str| line.contains("max_slot_wal_keep_size");
    let warnings: Vec<&str> = text.lines().filter(|line| !of_server(line)).collect();
    assert!(warnings.is_empty(), "{example}: {warnings:?}");

    let daemon = Process::spawn(command(&["run"]), None);
    daemon.output().line_with("streaming", SOON).await;
    // As psql runs a file: a transaction a statement.
    for statement in read(example, "try.sql").split_inclusive(";\n") {
        db.sql(statement).await;
    }
    let expected = bodies_of_the_page(example);
    eventually("as many webhooks as the page shows", || async {
        receivers.iter().map(Receiver::count).sum::<usize>() >= expected.len()
    })
    .await;
    daemon.signal("TERM");
    let ended = daemon.exited(SOON).await.and_then(|status| status.code());
    assert_eq!(ended, Some(0), "{example}: {}", daemon.output().text());
    if example == "payments" {
        // A comparison of JSON values would take the digits for a float's.
        let text: String = receivers[0]
            .events()
            .iter()
            .map(|e| e.text.clone())
            .collect();
        assert!(text.contains("\"amount\":12345678901234.5600"), "{text}");
    }
    let mut came: Vec<String> = receivers
        .iter()
        .flat_map(Receiver::events)
        .map(|event| normal(serde_json::from_str(&event.text).expect("JSON")))
        .collect();
    came.sort();
    assert_eq!(came, expected, "{example}: its page shows something else");
}

/// What the page's blocks of JSON say that arrives, in no order.
fn bodies_of_the_page(example: &str) -> Vec<String> {
    let page = read(example, "README.md");
    let blocks = page.split("```json\n").skip(1);
    let mut bodies: Vec<String> = blocks
        .flat_map(|block| {
            let (json, _) = block.split_once("```").expect("the block's end");
            match serde_json::from_str(json).expect("JSON on the page") {
                Value::Array(batch) => batch,
                one => vec![one],
            }
        })
        .map(normal)
        .collect();
    assert!(!bodies.is_empty(), "{example}: its page shows no webhook");
    bodies.sort();
    bodies
}

/// Without what is another one each time.
fn normal(mut body: Value) -> String {
    let blank = |value: Option<&mut Value>| {
        if let Some(value) = value {
            *value = Value::from("...");
        }
    };
    if body.get("source").is_some() {
        blank(body.get_mut("id"));
        blank(body.get_mut("timestamp"));
        for part in ["database", "lsn", "xid"] {
            blank(body.pointer_mut(&format!("/source/{part}")));
        }
    }
    body.to_string()
}

#[tokio::test]
async fn every_example_does_what_its_page_shows() {
    for (example, endpoints) in EXAMPLES {
        run(example, endpoints).await;
    }
}

/// The page's commands as a script; before each block but the first it waits for a file.
fn script(example: &str) -> String {
    let page = read(example, "README.md");
    let blocks = page.split("```sh\n").skip(1);
    let mut script = String::from(
        "trap 'kill $(jobs -p) 2>/dev/null; exit 1' QUIT TERM\npsql() { command \"$PSQL\" \"$@\"; }\n",
    );
    for (number, block) in blocks.enumerate() {
        if number > 0 {
            script.push_str(&format!(
                "until [ -e \"$GO/{number}\" ]; do sleep 0.05; done\n"
            ));
        }
        script.push_str(block.split_once("```").expect("the block's end").0);
    }
    script
}

#[tokio::test]
async fn the_commands_of_every_page_work_as_they_stand_there() {
    for (example, endpoints) in EXAMPLES {
        let db = Cluster::shared().await.database().await;
        let go = TempDir::new().expect("a directory");
        let port = free_port();
        // The port is the only word that is not the page's.
        let text = script(example).replace("listen ", &format!("listen --port {port} "));
        let mut bash = std::process::Command::new("bash");
        bash.args(["-c", &text]).current_dir(directory(example));
        let walhook = Path::new(env!("CARGO_BIN_EXE_walhook"))
            .parent()
            .expect("a directory");
        let path = std::env::var("PATH").expect("PATH");
        bash.env("PATH", format!("{}:{path}", walhook.display()))
            .env("PSQL", client_program("psql"))
            .env("GO", go.path())
            .env("DATABASE_URL", db.url())
            .env("WALHOOK_SOURCE__SLOT", &db.slot)
            .env("WALHOOK_STATE", go.path().join("state.db"))
            .env("WALHOOK_ADMIN__LISTEN", "off");
        for endpoint in endpoints {
            let url = format!("http://127.0.0.1:{port}/");
            bash.env(format!("{endpoint}_URL"), url);
        }
        let bash = Process::spawn(bash, None);
        bash.output().line_with("streaming", SOON).await;
        std::fs::write(go.path().join("1"), "").expect("written");
        let expected = bodies_of_the_page(example).len();
        eventually("what the page shows, verified", || async {
            let text = bash.output().text();
            text.matches(" verified").count() - text.matches("are verified").count() == expected
        })
        .await;
        std::fs::write(go.path().join("2"), "").expect("written");
        let ended = bash.exited(SOON).await.and_then(|status| status.code());
        let text = bash.output().text();
        assert_eq!(ended, Some(0), "{example}: {text}");
        assert!(!db.has_slot().await, "{example}: {text}");
    }
}

#[test]
fn no_example_is_left_out() {
    let entries = std::fs::read_dir(directory("")).expect("examples");
    let mut found: Vec<String> = entries
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("UTF-8"))
        .collect();
    found.sort();
    let mut known = EXAMPLES.map(|(name, _)| name.to_owned());
    known.sort();
    assert_eq!(found, known);
}
