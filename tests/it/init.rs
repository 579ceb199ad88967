//! `walhook init`: from a database that nobody described to a config that serves it.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::process::Process;
use crate::harness::{Cluster, Database, SOON};

const OWN_SLOTS: &str =
    "SELECT slot_name::text FROM pg_replication_slots WHERE database = current_database()";

fn walhook(directory: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walhook"));
    command.args(arguments).current_dir(directory.path());
    // As a shell of a newcomer, with nothing of the tester's.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("PG") || name.starts_with("WALHOOK_") || name == "DATABASE_URL" {
            command.env_remove(name.as_ref());
        }
    }
    command
}

#[track_caller]
fn ran(mut command: Command, code: i32) -> String {
    let output = command.output().expect("the binary");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

/// Thirty tables of all kinds, as an application has them.
async fn shop() -> Database {
    let db = Cluster::shared().await.database().await;
    let mut sql = String::from(
        "CREATE TABLE orders (id int PRIMARY KEY, status text);
         CREATE TABLE \"Odd.Name\" (\"Key\" int PRIMARY KEY, \"a:b\" text);
         CREATE TABLE log (line text);
         CREATE TABLE full_log (line text);
         ALTER TABLE full_log REPLICA IDENTITY FULL;
         CREATE TABLE parts (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
         CREATE TABLE parts_2026 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
         CREATE SCHEMA archive;
         CREATE TABLE archive.orders (id int PRIMARY KEY);
         CREATE VIEW recent AS SELECT * FROM orders;
         CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY);
         CREATE TABLE \"# a: b\" (id int PRIMARY KEY);
         CREATE TABLE \"${HOME}\" (id int PRIMARY KEY);
         CREATE TABLE \"new\nline\" (id int PRIMARY KEY, \"c\n- d\" text);
         CREATE TABLE \"null\" (id int PRIMARY KEY);
         CREATE TABLE \"quote\"\"d*\" (id int PRIMARY KEY);",
    );
    for number in 1..=19 {
        sql.push_str(&format!(
            "CREATE TABLE things_{number} (id bigint PRIMARY KEY, name text);"
        ));
    }
    db.sql(&sql).await;
    db
}

#[tokio::test]
async fn thirty_tables_become_a_config_that_check_passes_and_run_serves() {
    let db = shop().await;
    let directory = TempDir::new().expect("a directory");
    let told = ran(walhook(&directory, &["init", "--database", &db.url()]), 0);
    assert!(
        told.contains("30 tables, 1 of which can only send inserts"),
        "{told}"
    );
    let config = directory.path().join("config.yaml");
    let text = std::fs::read_to_string(&config).expect("a config");
    for part in [
        "update: public.order.updated",
        "insert: archive.order.created",
        "Only inserts: there is no primary key",
        "      # update: log.updated",
        "# key (id, day); replica identity",
        "      update: full_log.updated",
    ] {
        assert!(
            text.contains(part) || text.contains(&part.replace("# key", "# partitioned; key")),
            "no {part:?} in\n{text}"
        );
    }
    for absent in ["parts_2026", "recent", "scratch"] {
        assert!(!text.contains(absent), "{absent} in\n{text}");
    }
    for file in ["config.yaml", "webhooks.secret"] {
        let file = std::fs::metadata(directory.path().join(file)).expect("a file");
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }
    // The slot is the whole cluster's, the port may be taken: the rest is as it was written.
    let secret = std::fs::read_to_string(directory.path().join("webhooks.secret")).expect("it");
    let mut command = walhook(&directory, &["listen", "--port", "0", "--secret", &secret]);
    command.stdin(std::process::Stdio::null());
    let listener = Process::spawn(command, None);
    let line = listener.output().line_with("listening on ", SOON).await;
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"));
    let text = text
        .replace("slot: walhook\n", &format!("slot: {}\n", db.slot))
        .replace("http://127.0.0.1:8080", url.expect("an address"));
    std::fs::write(&config, format!("{text}\nadmin: {{listen: off}}\n")).expect("written");
    let checked = ran(walhook(&directory, &["check"]), 0);
    assert!(checked.contains("30 tables"), "{checked}");
    let daemon = Process::spawn(walhook(&directory, &["run"]), None);
    daemon.output().line_with("streaming", SOON).await;
    db.sql(
        "INSERT INTO orders VALUES (1, 'new'); INSERT INTO log VALUES ('x');
         INSERT INTO \"Odd.Name\" VALUES (7, 'y'); UPDATE full_log SET line = '';
         INSERT INTO full_log VALUES ('z'); UPDATE full_log SET line = 'zz';
         INSERT INTO parts VALUES (1, '2026-05-05');",
    )
    .await;
    for event in [
        "public.order.created",
        "log.created",
        "Odd_Name.created",
        "full_log.updated",
        "part.created",
    ] {
        let line = listener.output().line_with(event, SOON).await;
        assert!(line.contains(" verified"), "{line}");
    }
    // The server announces partitions beside their root; nothing is wrong with them.
    let log = daemon.output().text();
    assert!(!log.contains("parts_2026"), "{log}");
}

#[tokio::test]
async fn init_takes_some_tables_and_keeps_passwords_out() {
    let db = shop().await;
    let directory = TempDir::new().expect("a directory");
    let url = db.url_as("postgres:hunter2");
    let arguments = [
        "init",
        "--database",
        &url,
        "--tables",
        "public.orders",
        "archive.*",
        "--output",
        "a.yaml",
    ];
    let told = ran(walhook(&directory, &arguments), 0);
    assert!(
        told.contains("2 tables") && told.contains("export DATABASE_URL"),
        "{told}"
    );
    let text = std::fs::read_to_string(directory.path().join("a.yaml")).expect("a config");
    assert!(text.contains("url: ${DATABASE_URL}"), "{text}");
    assert!(!told.contains("hunter2") && !text.contains("hunter2") && !told.contains("whsec_"));
    let again = ran(walhook(&directory, &arguments), 1);
    assert!(again.contains("a.yaml is there already"), "{again}");
    let mut check = walhook(&directory, &["check", "--offline", "--config", "a.yaml"]);
    check.env("DATABASE_URL", &url);
    ran(check, 0);
}

#[tokio::test]
async fn init_says_what_is_wrong_and_writes_nothing() {
    let db = shop().await;
    let directory = TempDir::new().expect("a directory");
    let init = |arguments: &[&str], code| {
        let arguments = [&["init"], arguments].concat();
        ran(walhook(&directory, &arguments), code)
    };
    let nowhere = init(&["--database", "postgres://x@127.0.0.1:1/x"], 1);
    assert!(nowhere.contains("walhook: "), "{nowhere}");
    let none = init(&["--database", &db.url(), "--tables", "public.nothing"], 1);
    assert!(none.contains("has no such table"), "{none}");
    let pattern = init(&["--database", &db.url(), "--tables", "orders"], 1);
    assert!(pattern.contains("--tables orders"), "{pattern}");
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("it").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_second_database_of_a_server_gets_a_slot_of_its_own() {
    let cluster = Cluster::own().start().await;
    let mut running = Vec::new();
    for slot in ["walhook", "walhook_test_1"] {
        let db = cluster.database().await;
        db.sql("CREATE TABLE orders (id int PRIMARY KEY)").await;
        let directory = TempDir::new().expect("a directory");
        ran(walhook(&directory, &["init", "--database", &db.url()]), 0);
        let checked = ran(walhook(&directory, &["check"]), 0);
        assert!(checked.contains("ready for it: 1 table\n"), "{checked}");
        let mut run = walhook(&directory, &["run"]);
        run.env("WALHOOK_ADMIN__LISTEN", "off");
        let daemon = Process::spawn(run, None);
        daemon.output().line_with("streaming", SOON).await;
        let slots = db.column::<String>(OWN_SLOTS).await;
        assert_eq!(slots, [slot]);
        running.push((daemon, directory, db));
    }
}
