//! What an operator asks for at a shell, with a daemon running and without.

use crate::harness::daemon::{DeadLetter, walhook};
use crate::harness::{
    ALL_EVENTS, Answer, Cluster, Daemon, Database, ORDERS, Receiver, SOON, eventually,
};

async fn start(options: &str) -> (Database, Receiver, Daemon) {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint_with("r", &receiver, options);
    let daemon = daemon.table("public.orders", ALL_EVENTS).start().await;
    (db, receiver, daemon)
}

/// Three dead letters of the rows 1 to 3.
async fn three_dead(receiver: &Receiver, db: &Database, daemon: &Daemon) -> Vec<DeadLetter> {
    for _ in 0..3 {
        receiver.next(Answer::Status(
            422,
            Vec::new(),
            "no \x1b[31mred\r\nline".to_owned(),
        ));
    }
    db.sql("INSERT INTO orders (id) VALUES (1), (2), (3)").await;
    eventually("three dead letters", || async {
        daemon.dead_letters().await.len() == 3
    })
    .await;
    daemon.dead_letters().await
}

const PARK: &str = "retry: {max: 200ms, park_statuses: [422]}";

#[tokio::test]
async fn status_tells_of_endpoints_slot_and_position() {
    let (db, receiver, mut daemon) = start("").await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    for _ in 0..2 {
        let text = daemon.cli(&["status"]).await.expect_code(0).stdout;
        assert!(text.contains(&db.slot), "{text}");
        let json = daemon.status().await;
        assert!(json.to_string().contains(&db.slot), "{json}");
        // The second time without a daemon.
        if daemon.is_running() {
            assert_eq!(daemon.stop().await, 0);
        }
    }
}

#[tokio::test]
async fn dead_letters_are_listed_shown_retried_and_dropped() {
    let (db, receiver, daemon) = start(PARK).await;
    let dead = three_dead(&receiver, &db, &daemon).await;
    let attempts = receiver.attempts();
    let ids: Vec<_> = attempts
        .iter()
        .take(3)
        .map(|attempt| attempt.id())
        .collect();
    assert_eq!(
        daemon.dead_events().await,
        ids,
        "in the order of their making"
    );

    let listed = daemon.cli(&["dead", "list"]).await.expect_code(0).stdout;
    assert!(
        listed.contains("order.created") && listed.contains("public.orders"),
        "{listed}"
    );
    let shown = daemon
        .cli(&["dead", "show", &dead[1].number()])
        .await
        .expect_code(0)
        .stdout;
    assert!(
        shown.contains("422") && shown.contains(&dead[1].event_id),
        "{shown}"
    );
    assert!(
        shown.contains("no ") && !shown.contains('\x1b'),
        "escaped: {shown:?}"
    );

    let retry = ["dead", "retry", "--id", &dead[1].number()];
    daemon.cli(&retry).await.expect_code(0);
    let events = receiver.wait_for(1, SOON).await;
    assert_eq!(events[0].id, dead[1].event_id);
    eventually("two left", || async {
        daemon.dead_letters().await.len() == 2
    })
    .await;
    let drop = ["dead", "drop", "--id", &dead[0].number()];
    daemon.cli(&drop).await.expect_code(0);
    assert_eq!(daemon.dead_events().await, [dead[2].event_id.as_str()]);
    assert_ne!(daemon.cli(&["dead", "show", "999999"]).await.code, 0);
    assert_ne!(
        daemon.cli(&["dead", "drop"]).await.code,
        0,
        "nothing says which"
    );
}

#[tokio::test]
async fn dead_letters_can_be_retried_while_no_daemon_runs() {
    let (db, receiver, mut daemon) = start(PARK).await;
    let dead = three_dead(&receiver, &db, &daemon).await;
    assert_eq!(daemon.stop().await, 0);
    assert_eq!(daemon.dead_letters().await.len(), 3);
    for letter in &dead {
        let retry = ["dead", "retry", "--id", &letter.number()];
        daemon.cli(&retry).await.expect_code(0);
    }
    daemon.launch();
    let events = receiver.wait_for(3, SOON).await;
    let ids: Vec<_> = events.iter().map(|event| &event.id).collect();
    let expected: Vec<_> = dead.iter().map(|letter| &letter.event_id).collect();
    assert_eq!(ids, expected, "among their like by position");
    db.sql("INSERT INTO orders (id) VALUES (4)").await;
    receiver.wait_for(4, SOON).await;
}

#[tokio::test]
async fn only_an_endpoint_that_is_disabled_can_be_enabled() {
    let (_db, _receiver, daemon) = start("").await;
    assert_ne!(daemon.cli(&["endpoint", "enable", "r"]).await.code, 0);
    assert_ne!(daemon.cli(&["endpoint", "enable", "nobody"]).await.code, 0);
}

#[tokio::test]
async fn only_an_endpoint_that_the_config_has_no_more_can_be_dropped() {
    let (db, receiver, mut daemon) = start(PARK).await;
    three_dead(&receiver, &db, &daemon).await;
    let drop = async |daemon: &Daemon, name: &str| {
        let ran = daemon.cli(&["endpoint", "drop", name]).await;
        (ran.code, ran.text())
    };
    for _ in 0..2 {
        let (code, text) = drop(&daemon, "r").await;
        assert_eq!(code, 1, "{text}");
        assert!(
            text.contains("in the config") && text.contains("\n  hint: "),
            "{text}"
        );
        let (code, text) = drop(&daemon, "nobody").await;
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("\"nobody\""), "{text}");
        assert_eq!(daemon.dead_letters().await.len(), 3);
        // The second time without a daemon.
        if daemon.is_running() {
            assert_eq!(daemon.stop().await, 0);
        }
    }
    daemon.edit_config("  'r':\n", "  's':\n");
    let (code, text) = drop(&daemon, "r").await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("3 dead letters"), "{text}");
    assert_eq!(drop(&daemon, "r").await.0, 1, "there is nothing left");
}

#[tokio::test]
async fn teardown_leaves_nothing_in_the_database() {
    let (db, receiver, mut daemon) = start("").await;
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    assert_ne!(
        daemon.cli_with_secrets(&["teardown"]).await.code,
        0,
        "a daemon is running"
    );
    assert!(db.has_slot().await);
    assert_eq!(daemon.stop().await, 0);
    daemon.cli_with_secrets(&["teardown"]).await.expect_code(0);
    assert!(!db.has_slot().await);
    assert_eq!(db.publications().await, [""; 0]);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM orders").await, 1);
}

#[tokio::test]
async fn teardown_drops_no_slot_that_nothing_says_is_walhooks() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let create = format!(
        "SELECT pg_create_logical_replication_slot('{}', 'pgoutput')",
        db.slot
    );
    db.sql(&create).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint("r", &receiver);
    let daemon = daemon.table("public.orders", ALL_EVENTS).prepare();
    for arguments in [&["teardown", "--dry-run"][..], &["teardown"]] {
        let ran = daemon.cli_with_secrets(arguments).await.expect_code(69);
        let text = ran.text();
        assert!(text.contains("pg_drop_replication_slot"), "{text}");
        assert!(db.has_slot().await);
    }
}

#[tokio::test]
async fn teardown_needs_no_state_file_where_the_publication_is_walhooks() {
    let (db, _receiver, mut daemon) = start("").await;
    assert_eq!(daemon.stop().await, 0);
    std::fs::remove_file(daemon.state_path()).unwrap();
    daemon.cli_with_secrets(&["teardown"]).await.expect_code(0);
    assert!(!db.has_slot().await);
}

#[tokio::test]
async fn check_says_that_all_is_well() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint("r", &receiver);
    let daemon = daemon.table("public.orders", ALL_EVENTS).prepare();
    daemon.cli_with_secrets(&["check"]).await.expect_code(0);
    assert!(!db.has_slot().await, "a check changes nothing");
    assert_eq!(db.publications().await, [""; 0]);
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn the_schema_is_printed_without_a_config() {
    let printed = walhook(&["schema"]).await.expect_code(0).stdout;
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/config.schema.json");
    assert_eq!(printed, std::fs::read_to_string(path).expect("the schema"));
}
