//! What somebody does to tables, publications and the slot while it runs: named within
//! moments, with what mends it, in the log, on /readyz, in `status` and as a metric.

use std::time::Duration;

use crate::harness::installation::major;
use crate::harness::metrics::{OLDEST_TRANSACTION, PROBLEMS, SAFE_WAL, WAL_STATUS};
use crate::harness::{ALL_EVENTS, Cluster, Daemon, Database, ORDERS, Receiver, SOON, eventually};

async fn start_in(db: Database, top: &str) -> (Database, Receiver, Daemon) {
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .top(top)
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    (db, receiver, daemon)
}

async fn start() -> (Database, Receiver, Daemon) {
    start_in(Cluster::shared().await.database().await, "").await
}

/// It is told everywhere, with this word as its kind.
async fn is_told(daemon: &Daemon, kind: &str, parts: &[&str]) {
    eventually("a problem of that kind", || async {
        daemon.metrics().await.sum(PROBLEMS, &[("kind", kind)]) >= 1.0
    })
    .await;
    let (status, page) = daemon.get("/readyz").await;
    assert_eq!(status, 200, "the stream goes on: {page}");
    let shown = daemon.cli(&["status"]).await.text();
    let log = daemon.output();
    for part in parts {
        for (place, text) in [("/readyz", &page), ("status", &shown), ("log", &log)] {
            // On the terminal an escape is an escape.
            assert!(text.contains(part), "{place}: no {part:?} in\n{text}");
        }
    }
}

/// It is gone everywhere, and the log says so.
async fn is_gone(daemon: &Daemon, headline: &str) {
    let mended = format!("no longer: {headline}");
    daemon.lines().line_with(&mended, SOON).await;
    eventually("no problem", || async {
        daemon.metrics().await.sum(PROBLEMS, &[]) == 0.0
    })
    .await;
    assert_eq!(daemon.get("/readyz").await, (200, "streaming\n".into()));
}

/// The daemon took everything up that is missing, and goes on.
async fn goes_on(db: &Database, receiver: &Receiver) {
    let before = receiver.count();
    db.sql("INSERT INTO orders (id) VALUES (1000)").await;
    receiver.wait_for(before + 1, SOON).await;
}

/// Waits for the gap between what was published and what is again.
async fn leaves_a_gap(daemon: &Daemon) {
    eventually("a gap", || async {
        daemon.gaps().contains(&"not_published".to_owned())
    })
    .await;
}

#[tokio::test]
async fn a_table_that_is_dropped_and_created_anew_joins_again_and_the_gap_is_on_record() {
    let (db, receiver, daemon) = start().await;
    db.sql("DROP TABLE orders").await;
    is_told(
        &daemon,
        "table_missing",
        &["table public.orders does not exist"],
    )
    .await;
    daemon
        .lines()
        .line_with("table public.orders was dropped", SOON)
        .await;
    db.sql(ORDERS).await;
    is_gone(
        &daemon,
        "tables.\"public.orders\": table public.orders does not exist",
    )
    .await;
    eventually("published", || async { is_published(&db, "orders").await }).await;
    leaves_a_gap(&daemon).await;
    goes_on(&db, &receiver).await;
}

#[tokio::test]
async fn a_table_that_is_swapped_for_another_of_its_name_is_named() {
    let (db, receiver, daemon) = start().await;
    db.sql(&format!(
        "DROP TABLE orders; {ORDERS}; INSERT INTO orders VALUES (1)"
    ))
    .await;
    daemon
        .lines()
        .line_with("was dropped and created anew", SOON)
        .await;
    leaves_a_gap(&daemon).await;
    goes_on(&db, &receiver).await;
    db.sql(&format!("ALTER TABLE orders RENAME TO old_orders; ALTER TABLE old_orders RENAME CONSTRAINT orders_pkey TO old_pkey; {ORDERS}")).await;
    let line =
        "table public.orders is called public.old_orders now, and another table has its name";
    daemon.lines().line_with(line, SOON).await;
    eventually("published", || async { is_published(&db, "orders").await }).await;
    goes_on(&db, &receiver).await;
}

async fn is_published(db: &Database, table: &str) -> bool {
    db.value(&format!(
        "SELECT count(*) > 0 FROM pg_publication_tables WHERE tablename = '{table}'"
    ))
    .await
}

#[tokio::test]
async fn a_table_that_is_renamed_is_named_with_the_way_back() {
    let (db, receiver, daemon) = start().await;
    db.sql("ALTER TABLE orders RENAME TO purchases").await;
    let back = r#"ALTER TABLE "public"."purchases" RENAME TO "orders";"#;
    is_told(
        &daemon,
        "table_renamed",
        &["public.orders is called public.purchases", back],
    )
    .await;
    db.sql(back).await;
    is_gone(
        &daemon,
        "table public.orders is called public.purchases now",
    )
    .await;
    goes_on(&db, &receiver).await;
}

#[tokio::test]
async fn a_table_in_another_schema_and_a_schema_with_another_name_are_told_apart() {
    let (db, receiver, daemon) = start().await;
    db.sql("CREATE SCHEMA other; ALTER TABLE orders SET SCHEMA other")
        .await;
    let back = r#"ALTER TABLE "other"."orders" SET SCHEMA "public";"#;
    is_told(
        &daemon,
        "table_renamed",
        &["public.orders is called other.orders", back],
    )
    .await;
    db.sql(back).await;
    is_gone(&daemon, "table public.orders is called other.orders now").await;

    db.sql("ALTER SCHEMA public RENAME TO old").await;
    let back = r#"ALTER SCHEMA "old" RENAME TO "public";"#;
    is_told(
        &daemon,
        "table_renamed",
        &["public.orders is called old.orders", back],
    )
    .await;
    db.sql(back).await;
    is_gone(&daemon, "table public.orders is called old.orders now").await;
    goes_on(&db, &receiver).await;
}

/// Up to 15 the server does not tell a schema's new name by itself.
#[tokio::test]
async fn a_schema_that_has_its_name_again_is_sent_from_then_on() {
    let (db, receiver, daemon) = start().await;
    goes_on(&db, &receiver).await;
    db.sql("ALTER SCHEMA public RENAME TO old").await;
    is_told(&daemon, "table_renamed", &["called old.orders"]).await;
    // Something that makes the server look at the table once more, as an autovacuum does.
    db.sql("ALTER TABLE old.orders ALTER note SET STATISTICS 10")
        .await;
    db.sql("INSERT INTO old.orders VALUES (1)").await;
    db.sql("ALTER SCHEMA old RENAME TO public").await;
    is_gone(&daemon, "table public.orders is called old.orders now").await;
    leaves_a_gap(&daemon).await;
    db.sql("UPDATE orders SET status = 'here again' WHERE id = 1000")
        .await;
    let event = &receiver.wait_for(2, SOON).await[1];
    assert_eq!(event.data("status"), "here again");
}

#[tokio::test]
async fn a_table_taken_out_of_the_publication_is_put_back_and_the_gap_is_on_record() {
    let (db, receiver, daemon) = start().await;
    let slot = &db.slot;
    db.sql(&format!(
        "ALTER PUBLICATION {slot} DROP TABLE orders; INSERT INTO orders VALUES (1)"
    ))
    .await;
    daemon
        .lines()
        .line_with("did not send all that they should", SOON)
        .await;
    leaves_a_gap(&daemon).await;
    goes_on(&db, &receiver).await;
    assert_eq!(
        receiver.count(),
        1,
        "what was committed meanwhile is not sent"
    );
    let status = daemon.cli(&["status"]).await.text();
    assert!(status.contains("not_published"), "{status}");
}

#[tokio::test]
async fn a_publication_that_sends_less_is_widened_again_and_the_gap_is_on_record() {
    let (db, receiver, daemon) = start().await;
    db.sql(&format!(
        "ALTER PUBLICATION {} SET (publish = 'insert')",
        db.slot
    ))
    .await;
    daemon
        .lines()
        .line_with("did not send all that they should", SOON)
        .await;
    leaves_a_gap(&daemon).await;
    db.sql("INSERT INTO orders VALUES (1); UPDATE orders SET status = 'x'")
        .await;
    receiver.wait_for(2, SOON).await;
}

#[tokio::test]
async fn where_the_role_may_not_mend_it_the_statement_is_told_and_then_the_gap_recorded() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let slot = db.slot.clone();
    db.sql(&format!("CREATE PUBLICATION {slot} FOR TABLE orders"))
        .await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    db.sql(&format!("ALTER PUBLICATION {slot} DROP TABLE orders"))
        .await;
    let back = format!(r#"ALTER PUBLICATION "{slot}" ADD TABLE "public"."orders";"#);
    is_told(
        &daemon,
        "publication",
        &["does not send table public.orders", &back],
    )
    .await;
    assert_eq!(daemon.gaps(), [""; 0], "it is not over");
    db.sql(&back).await;
    is_gone(&daemon, "source.publication").await;
    leaves_a_gap(&daemon).await;

    db.sql(&format!(
        "ALTER PUBLICATION {slot} SET (publish = 'insert, delete')"
    ))
    .await;
    let back = format!(
        r#"ALTER PUBLICATION "{slot}" SET (publish = 'insert, update, delete, truncate');"#
    );
    is_told(
        &daemon,
        "publication",
        &["does not send update, truncate", &back],
    )
    .await;
    db.sql(&back).await;
    is_gone(&daemon, "source.publication").await;
    goes_on(&db, &receiver).await;
}

#[tokio::test]
async fn a_publication_that_is_renamed_is_named() {
    let (db, receiver, daemon) = start().await;
    let slot = &db.slot;
    db.sql(&format!("ALTER PUBLICATION {slot} RENAME TO elsewhere"))
        .await;
    let missing = format!("publication \"{slot}\" does not exist");
    is_told(&daemon, "publication", &[&missing, "rename it back"]).await;
    db.sql(&format!("ALTER PUBLICATION elsewhere RENAME TO {slot}"))
        .await;
    is_gone(&daemon, "source.publication").await;
    goes_on(&db, &receiver).await;
}

/// What the watch does, without its pauses: the catalog changes under a statement that reads it,
/// the longer the more publications it reads.
#[tokio::test]
async fn a_publication_that_is_renamed_while_it_is_looked_at_is_there_or_not() {
    let db = Cluster::shared().await.database().await;
    let names: Vec<String> = (0..500).map(|number| format!("p{number}")).collect();
    db.sql(ORDERS).await;
    let create = names.iter();
    let create = create.map(|name| format!("CREATE PUBLICATION {name} FOR TABLE orders;"));
    db.sql(&create.collect::<String>()).await;
    let (renames, reads) = (db.client().await, db.client().await);
    let renaming = async {
        for _ in 0..20 {
            for (from, to) in [("p499", "other"), ("other", "p499")] {
                let rename = format!("ALTER PUBLICATION {from} RENAME TO {to}");
                renames.batch_execute(&rename).await.unwrap();
                // A person needs longer.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    let reading = async {
        loop {
            let found = walhook::postgres::publication::existing(&reads, &names, major()).await;
            let found = found.unwrap().len();
            assert!((499..=500).contains(&found), "{found}");
        }
    };
    tokio::select! {
        () = renaming => {}
        () = reading => {}
    }
}

#[tokio::test]
async fn a_table_that_loses_its_identity_is_named_with_what_gives_it_back() {
    let (db, receiver, daemon) = start().await;
    db.sql("INSERT INTO orders VALUES (1); ALTER TABLE orders DROP CONSTRAINT orders_pkey")
        .await;
    let back = r#"ALTER TABLE "public"."orders" REPLICA IDENTITY FULL;"#;
    is_told(
        &daemon,
        "identity",
        &["tables.\"public.orders\": rules want update", back],
    )
    .await;
    db.sql(back).await;
    is_gone(&daemon, "tables.\"public.orders\": rules want update").await;
    db.sql("UPDATE orders SET status = 'x'").await;
    receiver.wait_for(2, SOON).await;
}

#[tokio::test]
async fn an_open_transaction_that_keeps_wal_is_named() {
    let cluster = Cluster::own().start().await;
    let (db, _receiver, daemon) = start_in(cluster.database().await, "").await;
    let writer = db.client().await;
    writer
        .batch_execute("BEGIN; CREATE TABLE open (id int)")
        .await
        .unwrap();
    let pid: i32 = writer
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    write(&db, 80).await;
    let held = format!("pid {pid} of \"walhook tests\" by user \"postgres\"");
    daemon.lines().line_with(&held, 3 * SOON).await;
    let end = format!("SELECT pg_terminate_backend({pid});");
    is_told(&daemon, "open_transaction", &[&held, &end]).await;
    let age = daemon.metrics().await.sum(OLDEST_TRANSACTION, &[]);
    assert!(age >= 15.0, "{age}");
    writer.batch_execute("ROLLBACK").await.unwrap();
    is_gone(&daemon, "the server keeps").await;
}

#[tokio::test]
async fn a_slot_that_nears_its_limit_is_told_with_a_higher_one() {
    let cluster = Cluster::own()
        .setting("max_slot_wal_keep_size", "64MB")
        .start()
        .await;
    let (db, receiver, daemon) = start_in(
        cluster.database().await,
        "spool: {max_bytes: 64KiB}\nmemory: {max_bytes: 64KiB}",
    )
    .await;
    let status = |word| [("status", word)];
    eventually("a status", || async {
        daemon.metrics().await.sum(WAL_STATUS, &status("reserved")) == 1.0
    })
    .await;
    let safe = daemon.metrics().await.sum(SAFE_WAL, &[]);
    assert!(safe > f64::from(48 << 20), "{safe}");
    receiver.refuse().await;
    db.sql(
        "INSERT INTO orders (id, note) SELECT g, repeat('x', 1000) FROM generate_series(1, 2000) g",
    )
    .await;
    write(&db, 60).await;
    let sql = "ALTER SYSTEM SET max_slot_wal_keep_size = '1024MB';";
    is_told_unready(&daemon, "wal_at_risk", &["may be lost", sql]).await;
    cluster
        .admin("ALTER SYSTEM SET max_slot_wal_keep_size = '1024MB'")
        .await;
    cluster.admin("SELECT pg_reload_conf()").await;
    daemon
        .lines()
        .line_with("no longer: replication slot", SOON)
        .await;
    receiver.accept_again().await;
    receiver.wait_for(2000, 2 * SOON).await;
}

#[tokio::test]
async fn a_slot_that_is_lost_while_it_runs_ends_it_with_the_gap_and_what_to_run() {
    let cluster = Cluster::own().setting("max_slot_wal_keep_size", "32MB");
    let top = "spool: {max_bytes: 64KiB}\nmemory: {max_bytes: 64KiB}";
    let db = cluster.start().await.database().await;
    let (db, receiver, mut daemon) = start_in(db, top).await;
    receiver.refuse().await;
    db.sql(
        "INSERT INTO orders (id, note) SELECT g, repeat('x', 1000) FROM generate_series(1, 2000) g",
    )
    .await;
    for _ in 0..4 {
        write(&db, 20).await;
        db.value::<String>("SELECT pg_switch_wal()::text").await;
        db.cluster.admin("CHECKPOINT").await;
    }
    assert_eq!(daemon.exit_code().await, 69, "{}", daemon.output());
    let said = daemon.output();
    for part in [
        "was invalidated (wal_removed)",
        "walhook adopt",
        "the gap, [0/",
    ] {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
}

/// As `is_told`, of a daemon that reads no more.
async fn is_told_unready(daemon: &Daemon, kind: &str, parts: &[&str]) {
    eventually("a problem of that kind", || async {
        daemon.metrics().await.sum(PROBLEMS, &[("kind", kind)]) >= 1.0
    })
    .await;
    let (_, page) = daemon.get("/readyz").await;
    for part in parts {
        assert!(page.contains(part), "no {part:?} in\n{page}");
    }
}

/// Writes so many MiB of WAL, to a table that nobody watches.
async fn write(db: &Database, mib: u32) {
    db.sql(&format!(
        "CREATE TABLE noise AS SELECT repeat('x', 1000) AS x FROM generate_series(1, {}); DROP TABLE noise",
        mib * 1000
    ))
    .await;
}

#[tokio::test]
async fn a_table_that_matches_a_pattern_joins_and_leaves_without_ado() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.*", "to: r\nevents: {insert: '{table}.made'}")
        .start()
        .await;
    db.sql("CREATE TABLE fresh (id int PRIMARY KEY)").await;
    eventually("published", || async { is_published(&db, "fresh").await }).await;
    db.sql("INSERT INTO fresh VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    db.sql("ALTER TABLE fresh RENAME TO newer").await;
    daemon
        .lines()
        .line_with("table public.fresh is called public.newer now", SOON)
        .await;
    db.sql("INSERT INTO newer VALUES (2)").await;
    let events = receiver.wait_for(2, SOON).await;
    assert_eq!(events[1].kind, "newer.made");
    db.sql("DROP TABLE newer").await;
    daemon
        .lines()
        .line_with("table public.newer was dropped", SOON)
        .await;
    assert_eq!(daemon.metrics().await.sum(PROBLEMS, &[]), 0.0);
    assert_eq!(daemon.gaps(), [""; 0]);
    tokio::time::timeout(Duration::from_secs(1), daemon.ready())
        .await
        .unwrap();
}
