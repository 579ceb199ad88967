//! The state file: never shared, never guessed, never lost from sight.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::daemon::Builder;
use crate::harness::metrics::{SPOOL_BYTES, SPOOL_BYTES_MAX};
use crate::harness::{
    ALL_EVENTS, Answer, Cluster, Daemon, Database, ORDERS, Receiver, SOON, eventually, oracle,
};

async fn orders() -> (Database, Receiver, Builder) {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint("r", &receiver);
    (db, receiver, daemon.table("public.orders", ALL_EVENTS))
}

#[tokio::test]
async fn a_path_that_cannot_be_written_is_named_before_the_database_is_touched() {
    let (db, _receiver, daemon) = orders().await;
    let path = Path::new("/proc/no/such/directory/state.db");
    let mut daemon = daemon.state(path).launch();
    assert_eq!(daemon.exit_code().await, 69, "{}", daemon.output());
    assert!(
        daemon.output().contains(&path.display().to_string()),
        "{}",
        daemon.output()
    );
    assert!(!db.has_slot().await);
}

#[tokio::test]
async fn a_path_too_long_for_its_socket_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let receiver = Receiver::start().await;
    let mut daemon = Daemon::without_database()
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .state(&deep.join("state.db"))
        .launch();
    assert_eq!(daemon.exit_code().await, 69);
    let output = daemon.output();
    assert!(
        output.contains("too long") && output.contains("shorter path"),
        "{output}"
    );
}

#[tokio::test]
async fn it_and_its_socket_are_for_the_owner_alone() {
    let (_db, _receiver, daemon) = orders().await;
    let daemon = daemon.start().await;
    let directory = daemon.state_path().parent().unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.path() != daemon.config_path() {
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(
                mode & 0o077,
                0,
                "{} has mode {mode:o}",
                entry.path().display()
            );
            seen += 1;
        }
    }
    assert!(seen >= 2, "a state file and a socket");
}

#[tokio::test]
async fn a_second_daemon_on_it_is_refused() {
    let (db, receiver, daemon) = orders().await;
    let first = daemon.start().await;
    let second = Daemon::of(&db)
        .state(first.state_path())
        .endpoint("r", &receiver);
    let mut second = second.table("public.orders", ALL_EVENTS).launch();
    assert_eq!(second.exit_code().await, 69, "{}", second.output());
    let path = first.state_path().display().to_string();
    assert!(second.output().contains(&path), "{}", second.output());
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    assert!(first.is_running());
}

#[tokio::test]
async fn a_corrupt_one_is_not_overwritten() {
    let (db, _receiver, daemon) = orders().await;
    let mut daemon = daemon.prepare();
    let garbage = b"this is not a database, whatever it may be ".repeat(200);
    std::fs::write(daemon.state_path(), &garbage).unwrap();
    daemon.launch();
    assert_eq!(daemon.exit_code().await, 69, "{}", daemon.output());
    let path = daemon.state_path().display().to_string();
    assert!(daemon.output().contains(&path), "{}", daemon.output());
    assert_eq!(std::fs::read(daemon.state_path()).unwrap(), garbage);
    assert!(!db.has_slot().await);
}

/// A file system of a few MB, unmounted on drop.
struct Tiny(PathBuf);

impl Tiny {
    /// `None` where we may not mount.
    fn mount(directory: &Path, size: &str) -> Option<Tiny> {
        let status = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size},mode=0700"),
                "tmpfs",
            ])
            .arg(directory)
            .stderr(std::process::Stdio::null())
            .status();
        status
            .is_ok_and(|status| status.success())
            .then(|| Tiny(directory.to_owned()))
    }

    fn grow(&self, size: &str) {
        let grown = Command::new("mount")
            .args(["-o", &format!("remount,size={size}")])
            .arg(&self.0)
            .status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

/// Logs often go to the disk that fills first.
#[tokio::test]
async fn a_log_on_a_full_disk_stops_nothing() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let mut daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, "retry: {max: 50ms}")
        .table("public.orders", ALL_EVENTS)
        .prepare();
    daemon.launch_unheard();
    daemon.ready().await;
    // Failures and what follows are told.
    receiver.next(Answer::status(500));
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    assert_eq!(daemon.stop().await, 0);
    daemon.edit_config("public.orders", "public.nobody");
    daemon.launch_unheard();
    assert_eq!(daemon.exit_code().await, 69);
    assert_eq!(daemon.cli_unheard(&["teardown"]).await, 0);
    assert!(!db.has_slot().await);
    assert_eq!(db.publications().await, [""; 0]);
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_confirmed_that_is_not_stored() {
    let directory = tempfile::tempdir().unwrap();
    let Some(tiny) = Tiny::mount(directory.path(), "2m") else {
        eprintln!("not tested: only root may mount a file system of 2 MB");
        return;
    };
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let mut daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, "retry: {max: 200ms, park_statuses: [422]}")
        .table("public.orders", ALL_EVENTS)
        .state(&directory.path().join("state.db"))
        .start()
        .await;
    // Dead letters fill it.
    receiver.always(Answer::status(422));
    db.sql(
        "INSERT INTO orders (id, note) SELECT g, repeat('x', 1000) FROM generate_series(1, 8000) g",
    )
    .await;
    let written = db.lsn().await;
    // A service manager starts it again: room may have been made.
    assert_eq!(daemon.exit_code().await, 1, "{}", daemon.output());
    let path = directory.path().display().to_string();
    assert!(daemon.output().contains(&path), "{}", daemon.output());
    assert!(!db.has_confirmed(&written).await);
    tiny.grow("100m");
    receiver.always(Answer::Accept);
    daemon.launch();
    daemon.ready().await;
    db.confirmed(3 * SOON).await;
    // Each is a dead letter or delivered.
    let dead = daemon.dead_events().await;
    let events = oracle::without_repeats(&receiver.events());
    let delivered = events.iter().map(|event| event.id.clone());
    let all: HashSet<String> = delivered.chain(dead).collect();
    assert_eq!(all.len(), 8000);
    oracle::assert_in_order_per_table(&events);
    drop(daemon);
}

/// That no more fits on the disk is said everywhere.
async fn is_told(daemon: &Daemon, said: &str) {
    let (_, page) = daemon.get("/readyz").await;
    let status = daemon.cli(&["status"]).await.text();
    let log = daemon.output();
    for (place, text) in [("/readyz", page), ("status", status), ("log", log)] {
        assert!(text.contains(said), "{place}: no {said:?} in\n{text}");
    }
    let metrics = daemon.metrics().await;
    let [used, limit] = [SPOOL_BYTES, SPOOL_BYTES_MAX].map(|name| metrics.sum(name, &[]));
    assert!(used >= limit, "{used} of {limit}");
}

#[tokio::test]
async fn while_the_spool_does_not_fit_on_its_disk_status_updates_go_on_and_then_all_arrives() {
    let directory = tempfile::tempdir().unwrap();
    let Some(tiny) = Tiny::mount(directory.path(), "3m") else {
        eprintln!("not tested: only root may mount a file system of 3 MB");
        return;
    };
    let cluster = Cluster::own().setting("wal_sender_timeout", "'2s'");
    let cluster = cluster.start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .top("memory: {max_bytes: 1MiB}")
        .table("public.orders", ALL_EVENTS)
        .state(&directory.path().join("state.db"))
        .start()
        .await;
    receiver.refuse().await;
    db.sql(
        "INSERT INTO orders (id, note) SELECT g, repeat('x', 1000) FROM generate_series(1, 8000) g",
    )
    .await;
    let written = db.lsn().await;
    eventually("full", || async { daemon.readiness().await == Some(503) }).await;
    is_told(&daemon, "reading stops for all").await;
    let walsender = format!(
        "SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{}'",
        db.slot
    );
    let before: Option<i32> = db.value(&walsender).await;
    // Without status updates the server would have cut it by then.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(daemon.is_running(), "{}", daemon.output());
    assert_eq!(db.value::<Option<i32>>(&walsender).await, before);
    assert!(before.is_some());
    assert!(!db.has_confirmed(&written).await);
    assert!(daemon.durable() >= db.slot_position().await);
    tiny.grow("100m");
    receiver.accept_again().await;
    let events = receiver.wait_for(8000, 3 * SOON).await;
    db.confirmed(SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    drop(daemon);
}

#[tokio::test]
async fn while_a_checkpoint_does_not_fit_on_its_disk_nothing_is_confirmed_and_it_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let Some(_tiny) = Tiny::mount(directory.path(), "3m") else {
        eprintln!("not tested: only root may mount a file system of 3 MB");
        return;
    };
    let (db, receiver, daemon) = orders().await;
    let daemon = daemon.state(&directory.path().join("state.db"));
    let mut daemon = daemon.start().await;
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    db.confirmed(SOON).await;
    // Somebody else fills the disk.
    let filler = directory.path().join("filler");
    std::fs::write(&filler, vec![0; 4 << 20]).unwrap_err();
    let said = "the disk of the state file is full";
    eventually("full", || async {
        db.sql("INSERT INTO orders SELECT max(id) + 1 FROM orders")
            .await;
        let (status, page) = daemon.get("/readyz").await;
        status == 503 && page.contains(said)
    })
    .await;
    is_told(&daemon, said).await;
    // Endpoints get what is committed meanwhile.
    db.sql("INSERT INTO orders (id) VALUES (1000)").await;
    let written = db.lsn().await;
    receiver
        .wait_until(
            |events| events.iter().any(|event| event.data("id") == 1000),
            SOON,
        )
        .await;
    assert!(!db.has_confirmed(&written).await);
    assert!(daemon.durable() >= db.slot_position().await);
    std::fs::remove_file(filler).unwrap();
    db.confirmed(SOON).await;
    eventually("ready", || async { daemon.readiness().await == Some(200) }).await;
    assert_eq!(daemon.stop().await, 0);
    oracle::assert_no_repeats(&receiver.events());
}

#[tokio::test]
async fn a_spool_that_its_disk_has_no_room_for_drains_without_more_room() {
    let directory = tempfile::tempdir().unwrap();
    let Some(_tiny) = Tiny::mount(directory.path(), "16m") else {
        return;
    };
    let (db, receiver, daemon) = orders().await;
    let daemon = daemon.state(&directory.path().join("state.db"));
    let daemon = daemon.start().await;
    receiver.refuse().await;
    db.sql(
        "INSERT INTO orders (id, note) SELECT g, repeat('x', 5000) FROM generate_series(1, 6000) g",
    )
    .await;
    eventually("full", || async { daemon.readiness().await == Some(503) }).await;
    receiver.accept_again().await;
    let events = receiver.wait_for(6000, 3 * SOON).await;
    db.confirmed(SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
}
