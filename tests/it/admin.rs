//! The admin port: health, readiness, and metrics that add up.

use crate::harness::metrics::{
    CHANGES_FILTERED, CHANGES_MATCHED, CHANGES_READ, DEAD_LETTERS, EVENTS_DEAD, EVENTS_DELIVERED,
    EVENTS_MADE, EVENTS_RETRIED, EVENTS_WAITING, EVENTS_WAITING_AT_START, Metrics,
};
use crate::harness::{
    ALL_EVENTS, Answer, Cluster, Daemon, ORDERS, Receiver, SOON, eventually, http,
};

#[tokio::test]
async fn readiness_follows_the_stream() {
    let cluster = Cluster::own().start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint("r", &receiver);
    let daemon = daemon.table("public.orders", ALL_EVENTS).start().await;
    assert_eq!(daemon.get("/healthz").await.0, 200);
    assert!(cluster.stop_fast(SOON).await);
    eventually("not ready", || async {
        daemon.readiness().await == Some(503)
    })
    .await;
    assert_eq!(daemon.get("/healthz").await.0, 200, "it lives, and waits");
    cluster.start().await;
    daemon.ready().await;
}

#[tokio::test]
async fn it_only_reads() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint("r", &receiver);
    let daemon = daemon.table("public.orders", ALL_EVENTS).start().await;
    for method in ["POST", "PUT", "DELETE"] {
        let (status, _) = http::request(daemon.admin(), method, "/metrics", &[], b"")
            .await
            .unwrap();
        assert_eq!(status, 405, "{method}");
    }
    assert_eq!(daemon.get("/nothing").await.0, 404);
}

/// P7, for one table and one endpoint.
#[track_caller]
fn assert_adds_up(metrics: &Metrics, endpoint: &str, table: &str) {
    let of_table = |name| metrics.sum(name, &[("table", table)]);
    let of_both = |name| metrics.sum(name, &[("endpoint", endpoint), ("table", table)]);
    assert_eq!(
        of_table(CHANGES_READ),
        of_table(CHANGES_FILTERED) + of_table(CHANGES_MATCHED),
        "{table}: {metrics:#?}"
    );
    assert_eq!(
        of_both(EVENTS_MADE) + of_both(EVENTS_WAITING_AT_START) + of_both(EVENTS_RETRIED),
        of_both(EVENTS_DELIVERED) + of_both(EVENTS_DEAD) + of_both(EVENTS_WAITING),
        "{table} {endpoint}: {metrics:#?}"
    );
}

#[tokio::test]
async fn the_metrics_add_up() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    db.sql("CREATE TABLE items (id int PRIMARY KEY)").await;
    let (a, b) = (Receiver::start().await, Receiver::start().await);
    let options = "retry: {max: 100ms, park_statuses: [422]}";
    let mut daemon = Daemon::of(&db)
        .endpoint_with("a", &a, options)
        .endpoint_with("b", &b, options)
        .table("public.orders", "to: [a, b]\nevents: {insert: [order.created, {type: order.large, when: new.total > 5.0}]}")
        .table("public.items", "to: a\nevents: {insert: item.created}")
        .start()
        .await;
    for _ in 0..3 {
        a.next(Answer::status(422));
    }
    b.refuse().await;
    db.sql("INSERT INTO orders (id, total) SELECT g, g FROM generate_series(1, 10) g; UPDATE orders SET note = 'x'").await;
    db.sql("INSERT INTO items VALUES (1), (2)").await;
    a.wait_for(15 + 2 - 3, SOON).await;
    let check = |metrics: &Metrics| {
        for (endpoint, table) in [
            ("a", "public.orders"),
            ("b", "public.orders"),
            ("a", "public.items"),
        ] {
            assert_adds_up(metrics, endpoint, table);
        }
    };
    eventually("all counted", || async {
        daemon
            .metrics()
            .await
            .sum(EVENTS_DELIVERED, &[("endpoint", "a")])
            == 14.0
    })
    .await;
    let metrics = daemon.metrics().await;
    check(&metrics);
    assert_eq!(
        metrics.sum(CHANGES_READ, &[("table", "public.orders")]),
        20.0
    );
    assert_eq!(
        metrics.sum(CHANGES_MATCHED, &[("table", "public.orders")]),
        10.0
    );
    assert_eq!(
        metrics.sum(
            EVENTS_MADE,
            &[("endpoint", "a"), ("table", "public.orders")]
        ),
        15.0
    );
    assert_eq!(metrics.sum(EVENTS_DEAD, &[("endpoint", "a")]), 3.0);
    // The state file is asked for its counts once a second.
    eventually("three dead letters", || async {
        daemon.metrics().await.sum(DEAD_LETTERS, &[]) == 3.0
    })
    .await;
    assert_eq!(metrics.sum(EVENTS_WAITING, &[("endpoint", "b")]), 15.0);
    assert_eq!(metrics.sum(EVENTS_DELIVERED, &[("endpoint", "b")]), 0.0);

    // What waits in memory is read again: of `a` the positions know it, for `b` it is made anew.
    daemon.restart().await;
    eventually("made anew", || async {
        let metrics = daemon.metrics().await;
        metrics.sum(EVENTS_WAITING, &[("endpoint", "b")]) == 15.0
    })
    .await;
    let metrics = daemon.metrics().await;
    check(&metrics);
    assert_eq!(metrics.sum(EVENTS_MADE, &[("endpoint", "a")]), 0.0);
    let dead = daemon.dead_letters().await;
    daemon
        .cli(&["dead", "retry", "--id", &dead[0].number()])
        .await
        .expect_code(0);
    b.accept_again().await;
    b.wait_for(15, SOON).await;
    eventually("all counted", || async {
        let metrics = daemon.metrics().await;
        metrics.sum(EVENTS_DELIVERED, &[]) == 16.0 && metrics.sum(EVENTS_WAITING, &[]) == 0.0
    })
    .await;
    let metrics = daemon.metrics().await;
    check(&metrics);
    assert_eq!(metrics.sum(EVENTS_RETRIED, &[]), 1.0);
    eventually("two dead letters", || async {
        daemon.metrics().await.sum(DEAD_LETTERS, &[]) == 2.0
    })
    .await;
    assert!(!metrics.has("nothing_of_this_name"));
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_that_says_what_to_set() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let receiver = Receiver::start().await;
    let mut daemon = Daemon::without_database()
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .env("WALHOOK_ADMIN__LISTEN", &address)
        .launch();
    assert_eq!(daemon.exit_code().await, 1);
    let output = daemon.output();
    let wanted = format!("failed to listen on {address} for the admin port");
    assert!(output.contains(&wanted), "{output}");
    assert!(output.contains("\"admin.listen\""), "{output}");
}
