//! Replication origins: where a change was made, and how a receiver that writes back makes
//! no loop.

use crate::harness::metrics::{CHANGES_FILTERED, CHANGES_MATCHED, CHANGES_READ};
use crate::harness::{ALL_EVENTS, Cluster, Daemon, Database, ORDERS, Receiver, SOON};

/// Runs it in a transaction of that origin.
async fn write_as(db: &Database, origin: &str, sql: &str) {
    let known = format!(
        "SELECT pg_replication_origin_create('{origin}')
         WHERE NOT EXISTS (SELECT FROM pg_replication_origin WHERE roname = '{origin}')"
    );
    db.sql(&known).await;
    let client = db.client().await;
    let session = format!("SELECT pg_replication_origin_session_setup('{origin}')");
    client.batch_execute(&session).await.unwrap();
    client.batch_execute(sql).await.unwrap();
    let done = "SELECT pg_replication_origin_session_reset()";
    client.batch_execute(done).await.unwrap();
}

/// Origins belong to the cluster: each test has names of its own.
async fn forget(db: &Database, origins: &[&str]) {
    for origin in origins {
        db.sql(&format!("SELECT pg_replication_origin_drop('{origin}')"))
            .await;
    }
}

#[tokio::test]
async fn changes_of_an_origin_that_is_ignored_make_no_event_and_those_of_others_name_it() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let mut daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, "order: endpoint")
        .table("public.orders", ALL_EVENTS)
        .top("messages: { ping: { to: r, events: ping } }")
        .top("ignore_origins: [write_back, \"odd 'name\"]")
        .start()
        .await;
    let work = |id: u32| {
        format!(
            "BEGIN; INSERT INTO orders VALUES ({id}); UPDATE orders SET status = 'x' WHERE id = {id};
             SELECT pg_logical_emit_message(true, 'ping', '{id}'); COMMIT;"
        )
    };
    write_as(&db, "write_back", &work(1)).await;
    db.sql(&work(2)).await;
    write_as(&db, "odd ''name", &work(3)).await;
    write_as(&db, "write_back2", &work(4)).await;
    // A message that is not transactional tells of no origin.
    write_as(
        &db,
        "write_back",
        "SELECT pg_logical_emit_message(false, 'ping', '5')",
    )
    .await;
    db.sql("TRUNCATE orders").await;
    let events = receiver.wait_for(8, SOON).await;
    let origins: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event.operation.clone(),
                event.json()["source"]["origin"].clone(),
            )
        })
        .collect();
    let expected = [
        ("insert", None),
        ("update", None),
        ("message", None),
        ("insert", Some("write_back2")),
        ("update", Some("write_back2")),
        ("message", Some("write_back2")),
        ("message", None),
        ("truncate", None),
    ];
    let expected = expected.map(|(operation, origin)| (operation.to_owned(), origin.into()));
    assert_eq!(origins, expected);
    // The changes that were left out have their ordinals.
    let of_table = [("table", "public.orders")];
    let of_messages = [("table", "message ping")];
    let metrics = daemon.metrics().await;
    assert_eq!(metrics.sum(CHANGES_READ, &of_table), 9.0);
    assert_eq!(metrics.sum(CHANGES_FILTERED, &of_table), 4.0);
    assert_eq!(metrics.sum(CHANGES_MATCHED, &of_table), 5.0);
    assert_eq!(metrics.sum(CHANGES_READ, &of_messages), 5.0);
    assert_eq!(metrics.sum(CHANGES_FILTERED, &of_messages), 2.0);
    db.confirmed(SOON).await;

    // Without the key all of them come.
    assert_eq!(daemon.stop().await, 0);
    daemon.edit_config("ignore_origins: [write_back, \"odd 'name\"]", "");
    daemon.launch();
    daemon.ready().await;
    write_as(&db, "write_back", "INSERT INTO orders VALUES (6)").await;
    let events = receiver.wait_for(9, SOON).await;
    assert_eq!(events[8].json()["source"]["origin"], "write_back");
    assert_eq!(events[8].data("id"), 6);
    forget(&db, &["write_back", "odd ''name", "write_back2"]).await;
}
