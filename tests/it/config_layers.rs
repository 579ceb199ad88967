//! Variables over the file.

use crate::harness::{ALL_EVENTS, Cluster, Daemon, ORDERS, Receiver, SOON};

#[tokio::test]
async fn a_variable_overrides_the_file() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let _daemon = Daemon::of(&db)
        .source("slot: of_the_file")
        .url("postgres://nobody@127.0.0.1:1/nowhere")
        .env("WALHOOK_SOURCE__URL", &db.url())
        .env("WALHOOK_SOURCE__SLOT", &db.slot)
        .env("WALHOOK_TEAM", "some other program's variable")
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    assert!(db.has_slot().await);
    assert_eq!(
        db.publications().await,
        [db.slot.clone(), format!("{}_insert", db.slot)]
    );
}

#[tokio::test]
async fn a_problem_of_a_variable_is_named_by_the_variable() {
    let daemon = Daemon::without_database()
        .endpoint_as_written("r", "url: http://127.0.0.1:1/\nsecret: ${R_SECRET}")
        .env("R_SECRET", "canary")
        .env("WALHOOK_SPOOL__MAX_BYTES", "plenty")
        .table("public.orders", ALL_EVENTS)
        .prepare();
    let ran = daemon
        .cli_with_secrets(&["check", "--offline"])
        .await
        .expect_code(64);
    assert!(
        ran.stderr.contains("WALHOOK_SPOOL__MAX_BYTES"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("R_SECRET"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("canary"), "{}", ran.stderr);
}
