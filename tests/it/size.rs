//! Bodies that are larger than an endpoint takes, and rows that are larger than anything else.

use crate::harness::metrics::EVENTS_DELIVERED;
use crate::harness::{ALL_EVENTS, Cluster, Daemon, Database, ORDERS, Receiver, SOON, eventually};

const MIB: u64 = 1 << 20;

async fn orders() -> (Database, Receiver) {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    (db, Receiver::start().await)
}

/// The first, a large one, the third.
async fn insert_three(db: &Database, large: &str) {
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    db.sql(&format!(
        "INSERT INTO orders (id, note) VALUES (2, {large})"
    ))
    .await;
    db.sql("INSERT INTO orders (id) VALUES (3)").await;
}

#[tokio::test]
async fn in_the_place_of_a_body_that_is_too_large_goes_a_reference_and_the_lane_goes_on() {
    let (db, receiver) = orders().await;
    let _daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    insert_three(&db, "repeat('x', 2000000)").await;
    let events = receiver.wait_for(3, SOON).await;
    let ids: Vec<_> = events.iter().map(|event| event.data("id")).collect();
    assert_eq!(ids, [1, 2, 3]);
    let reference: serde_json::Value = events[1].json();
    assert_eq!(reference["data"], serde_json::json!({ "id": 2 }));
    assert_eq!(reference["oversize"], true);
    let size = reference["size"].as_u64().unwrap();
    assert!((2_000_000..2_001_000).contains(&size), "{size}");
    assert!(events[0].json()["oversize"].is_null());
}

#[tokio::test]
async fn it_can_be_a_dead_letter_that_is_sent_whole_when_somebody_wants_it() {
    let (db, receiver) = orders().await;
    let daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, "max_body: 1KiB\noversize: dead_letter")
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    insert_three(&db, "repeat('x', 3000)").await;
    receiver.wait_for(2, SOON).await;
    eventually("dead", || async { daemon.dead_letters().await.len() == 1 }).await;
    let listed = daemon.cli(&["dead", "list"]).await.expect_code(0);
    assert!(listed.stdout.contains("too_large"), "{}", listed.stdout);
    daemon.cli(&["dead", "retry", "--all"]).await.expect_code(0);
    let events = receiver.wait_for(3, SOON).await;
    let ids: Vec<_> = events.iter().map(|event| event.data("id")).collect();
    assert_eq!(ids, [1, 3, 2]);
    assert_eq!(events[2].data("note"), "x".repeat(3000));
}

/// Sent, it would be refused as the whole body would be, and its lane would wait all the while.
#[tokio::test]
async fn a_reference_that_is_too_large_itself_is_a_dead_letter_and_the_lane_goes_on() {
    let (db, receiver) = orders().await;
    let daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, "max_body: 1KiB")
        .table(
            "public.orders",
            "to: r\nkey: [note]\nevents: {insert: order.created}",
        )
        .start()
        .await;
    insert_three(&db, "repeat('x', 3000)").await;
    let events = receiver.wait_for(2, SOON).await;
    let ids: Vec<_> = events.iter().map(|event| event.data("id")).collect();
    assert_eq!(ids, [1, 3]);
    eventually("dead", || async { daemon.dead_letters().await.len() == 1 }).await;
    daemon.cli(&["dead", "retry", "--all"]).await.expect_code(0);
    let events = receiver.wait_for(3, SOON).await;
    assert_eq!(events[2].data("note"), "x".repeat(3000));
}

#[tokio::test]
async fn an_endpoint_that_takes_large_bodies_gets_them_whole_beside_one_that_does_not() {
    let (db, small) = orders().await;
    let large = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint_with("large", &large, "max_body: 16MiB\nlarge_numbers: string")
        .endpoint_with("small", &small, "")
        .table(
            "public.orders",
            "to: [large, small]\nevents: {insert: order.created}",
        )
        .start()
        .await;
    db.sql("INSERT INTO orders VALUES (1, 'new', 10.50, repeat('x', 5000000))")
        .await;
    let whole = &large.wait_for(1, SOON).await[0];
    assert_eq!(whole.data("note").as_str().map(str::len), Some(5_000_000));
    assert_eq!(whole.data("total"), "10.50");
    let reference = &small.wait_for(1, SOON).await[0];
    assert_eq!(reference.json()["oversize"], true);
    assert_eq!(whole.id, reference.id);
    assert_eq!(daemon.metrics().await.sum(EVENTS_DELIVERED, &[]), 2.0);
}

/// Of the row in Postgres' message and of its JSON there is one copy each.
#[tokio::test]
async fn a_row_of_100_mb_takes_a_few_times_its_size_and_the_next_one_no_more() {
    let (db, receiver) = orders().await;
    let daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    for row in 1..=3 {
        db.sql(&format!(
            "INSERT INTO orders (id, note) VALUES ({row}, repeat('x', 100 * 1024 * 1024))"
        ))
        .await;
    }
    let events = receiver.wait_for(3, 3 * SOON).await;
    assert!(events.iter().all(|event| event.json()["oversize"] == true));
    let peak = daemon.peak_memory();
    assert!(peak < 400 * MIB, "{} MiB at the peak", peak / MIB);
}

#[tokio::test]
async fn names_of_63_bytes_with_anything_in_them_and_1600_columns_or_none() {
    let db = Cluster::shared().await.database().await;
    let long = format!("{}\".é*", "n".repeat(63 - 5));
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns: Vec<_> = (0..1600).map(|at| format!("c{at} int")).collect();
    let values: Vec<_> = (0..1600).map(|at| at.to_string()).collect();
    for statement in [
        format!("CREATE TABLE {0} ({0} int PRIMARY KEY)", quoted(&long)),
        "CREATE TABLE \"Case\" (id int PRIMARY KEY, \"A\" int, a int)".to_owned(),
        "CREATE TABLE \"case\" (id int PRIMARY KEY)".to_owned(),
        format!("CREATE TABLE wide ({})", columns.join(", ")),
        "CREATE TABLE nothing ()".to_owned(),
    ] {
        db.sql(&statement).await;
    }
    let receiver = Receiver::start().await;
    let insert = "to: r\nevents: {insert: \"row.made\"}";
    let _daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.*", insert)
        .start()
        .await;
    for statement in [
        format!("INSERT INTO {} VALUES (1)", quoted(&long)),
        "INSERT INTO \"Case\" VALUES (2, 3, 4)".to_owned(),
        "INSERT INTO \"case\" VALUES (5)".to_owned(),
        format!("INSERT INTO wide VALUES ({})", values.join(", ")),
        "INSERT INTO nothing DEFAULT VALUES".to_owned(),
    ] {
        db.sql(&statement).await;
    }
    let events = receiver.wait_for(5, SOON).await;
    let of = |table: &str| {
        let event = events
            .iter()
            .find(|event| event.json()["source"]["table"] == table);
        event
            .unwrap_or_else(|| panic!("no event of {table}"))
            .json()["data"]
            .clone()
    };
    assert_eq!(of(&long), serde_json::json!({ long.as_str(): 1 }));
    assert_eq!(of("Case"), serde_json::json!({ "id": 2, "A": 3, "a": 4 }));
    assert_eq!(of("case"), serde_json::json!({ "id": 5 }));
    let wide = of("wide");
    assert_eq!(wide.as_object().unwrap().len(), 1600);
    assert_eq!(wide["c1599"], 1599);
    assert_eq!(of("nothing"), serde_json::json!({}));
}
