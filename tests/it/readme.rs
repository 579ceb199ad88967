//! What README.md tells people to copy, run as it stands there.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::cluster::free_port;
use crate::harness::process::Process;
use crate::harness::{ALL_EVENTS, Cluster, Daemon, ORDERS, Receiver, SOON, eventually};
use crate::official::libraries;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    std::fs::read_to_string(path).expect("README.md")
}

/// The one block of this language in the section.
fn block(section: &str, language: &str) -> String {
    let readme = readme();
    let (_, rest) = readme
        .split_once(&format!("\n## {section}\n"))
        .expect("the section");
    let (text, _) = rest.split_once("\n## ").expect("a section after it");
    let (_, rest) = text
        .split_once(&format!("```{language}\n"))
        .expect("a block");
    let (code, _) = rest.split_once("```").expect("the block's end");
    code.to_owned()
}

/// Beside the libraries, where both languages find them.
fn write(name: &str, code: &str) -> PathBuf {
    let directory = libraries().join("readme");
    std::fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join(name);
    std::fs::write(&path, code).expect("written");
    path
}

async fn takes_real_webhooks(mut program: Command) {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let port = free_port();
    program.env("PORT", port.to_string()).env("SECRET", SECRET);
    let receiver = Process::spawn(program, None);
    let endpoint = |secret: &str| {
        format!("url: http://127.0.0.1:{port}/hooks\nsecret: {secret}\nretry: {{max: 100ms}}\n")
    };
    db.sql("CREATE TABLE none (id int PRIMARY KEY)").await;
    let daemon = Daemon::of(&db)
        .endpoint_as_written("r", &endpoint(SECRET))
        .endpoint_as_written("forged", &endpoint(OTHER))
        .table("public.orders", ALL_EVENTS)
        .table("public.none", "to: forged\nevents: {insert: a}\n")
        .start()
        .await;
    db.sql("INSERT INTO orders (id) VALUES (7)").await;
    let line = receiver.output().line_with("order.created", SOON).await;
    assert!(
        line.contains("\"id\":7") || line.contains("\"id\": 7"),
        "{line}"
    );
    let forged = daemon
        .cli_with_secrets(&["send", "forged"])
        .await
        .expect_code(1);
    assert!(forged.stdout.contains("answered 401"), "{}", forged.text());
    // The same event twice, then another: the first is told once.
    let event = |id: &str| format!(r#"{{"id":"{id}","type":"again","data":"{id}"}}"#);
    for id in ["one", "one", "two"] {
        let sent = daemon
            .cli_with_secrets(&["send", "r", "--body", &event(id)])
            .await;
        sent.expect_code(0);
    }
    eventually("the other event", || async {
        receiver.output().text().contains("again \"two\"")
    })
    .await;
    let text = receiver.output().text();
    assert_eq!(text.matches("again \"one\"").count(), 1, "{text}");
}

#[tokio::test]
async fn the_receiver_for_node_works() {
    let file = write("receiver.mjs", &block("Verify a webhook", "js"));
    let mut node = Command::new("node");
    node.arg(file);
    takes_real_webhooks(node).await;
}

#[tokio::test]
async fn the_receiver_for_python_works() {
    let file = write("receiver.py", &block("Verify a webhook", "python"));
    let mut python = Command::new(libraries().join("python/bin/python"));
    python.arg(file);
    takes_real_webhooks(python).await;
}

/// "Run it": its statements, its config, its commands. `test` stands for the database `app`.
#[tokio::test]
async fn the_way_to_run_it_works_and_the_application_goes_on_as_before() {
    let cluster = Cluster::own().setting("wal_level", "replica").start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    db.sql("CREATE ROLE app; ALTER TABLE orders OWNER TO app")
        .await;
    let statements =
        block("Run it", "sql").replace("DATABASE app", &format!("DATABASE {}", db.name));
    for statement in statements.lines() {
        db.sql(statement).await;
    }
    assert!(cluster.stop_fast(SOON).await);
    cluster.start().await;

    let directory = TempDir::new().expect("a directory");
    let receiver = Receiver::start().await;
    let config = block("Run it", "yaml").replace("http://127.0.0.1:8080/hooks", &receiver.url());
    std::fs::write(directory.path().join("config.yaml"), config).expect("written");
    let walhook = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_walhook"));
        command.args(arguments).current_dir(directory.path());
        command.env("DATABASE_URL", db.url_as("walhook:..."));
        command.env("BILLING_SECRET", receiver.secret());
        command.env("WALHOOK_ADMIN__LISTEN", "off");
        command
    };
    let checked = walhook(&["check"]).output().expect("the binary");
    let text = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!((checked.status.code(), &text[..]), (Some(0), ""));
    let daemon = Process::spawn(walhook(&["run"]), None);
    daemon.output().line_with("streaming", SOON).await;
    // Were the table walhook's, its application would be locked out.
    db.sql("SET ROLE app; INSERT INTO orders (id) VALUES (7)")
        .await;
    receiver.wait_for(1, SOON).await;
    let sent = walhook(&["send", "billing"]).output().expect("the binary");
    assert_eq!(sent.status.code(), Some(0));
}

/// The help and the table of commands, and the statement that looks at slots.
#[tokio::test]
async fn every_command_is_in_the_readme_and_its_statement_runs() {
    let help = Command::new(env!("CARGO_BIN_EXE_walhook"))
        .arg("help")
        .output()
        .expect("the binary");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let (_, commands) = help.split_once("Commands:\n").expect("commands");
    let (commands, _) = commands.split_once("\n\n").expect("their end");
    let text = readme();
    // What goes on with a text is indented further.
    let names = commands.lines().filter(|line| !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()) {
        assert!(
            name == "help" || text.contains(&format!("`walhook {name}")),
            "{name} is not in the table of commands"
        );
    }
    let db = Cluster::shared().await.database().await;
    db.sql(&block("Operating", "sql")).await;
}
