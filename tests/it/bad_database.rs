//! A database that is not as it should be: what is wrong is named, with what mends it.

use std::process::Command;

use crate::harness::daemon::Builder;
use crate::harness::installation::client_program;
use crate::harness::process::Process;
use crate::harness::{ALL_EVENTS, Cluster, Daemon, Database, ORDERS, Receiver, SOON, eventually};

async fn orders() -> (Database, Receiver, Builder) {
    orders_in(Cluster::shared().await.database().await).await
}

async fn orders_in(db: Database) -> (Database, Receiver, Builder) {
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint("r", &receiver);
    (db, receiver, daemon.table("public.orders", ALL_EVENTS))
}

/// The daemon ends with 69, and so does `check`; both say all of these.
#[track_caller]
fn is_refused(daemon: Builder, parts: &[&str]) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let mut daemon = daemon.prepare();
        let checked = daemon.cli_with_secrets(&["check"]).await;
        assert_eq!(checked.code, 69, "{caller}: {}", checked.text());
        daemon.launch();
        let code = daemon.exit_code().await;
        assert_eq!(code, 69, "{caller}: {}", daemon.output());
        for part in parts {
            assert!(
                checked.text().contains(part),
                "{caller}: check: no {part:?} in\n{}",
                checked.text()
            );
            assert!(
                daemon.output().contains(part),
                "{caller}: run: no {part:?} in\n{}",
                daemon.output()
            );
        }
    }
}

#[tokio::test]
async fn a_postgres_that_comes_later_is_waited_for() {
    let cluster = Cluster::own().start().await;
    let (db, receiver, daemon) = orders_in(cluster.database().await).await;
    assert!(cluster.stop_fast(SOON).await);
    let daemon = daemon.launch();
    eventually("not ready", || async {
        daemon.readiness().await == Some(503)
    })
    .await;
    cluster.start().await;
    daemon.ready().await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_shown() {
    let (db, _receiver, daemon) = orders().await;
    let role = format!("wrong_{}", db.name);
    db.sql(&format!(
        "CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'right'; GRANT by_password TO {role}"
    ))
    .await;
    let daemon = daemon
        .url(&db.url_as(&format!("{role}:canarypassword")))
        .launch();
    let said = format!("password authentication failed for user \"{role}\"");
    daemon
        .lines()
        .line_with("password authentication failed", SOON)
        .await;
    let checked = daemon
        .cli_with_secrets(&["check"])
        .await
        .expect_code(69)
        .text();
    assert!(checked.contains(&said), "{checked}");
    assert!(!checked.contains("canary") && !daemon.output().contains("canary"));
    db.sql(&format!("DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_role_without_replication_is_refused() {
    let (db, _receiver, daemon) = orders().await;
    let role = format!("plain_{}", db.name);
    db.sql(&format!("CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE {} TO {role}; ALTER TABLE orders OWNER TO {role}", db.name)).await;
    let remedy = format!("ALTER ROLE \"{role}\" REPLICATION;");
    is_refused(daemon.url(&db.url_as(&role)), &[&remedy]).await;
    db.sql(&format!(
        "REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}"
    ))
    .await;
}

#[tokio::test]
async fn wal_level_must_be_logical() {
    let cluster = Cluster::own().setting("wal_level", "replica").start().await;
    let (_db, _receiver, daemon) = orders_in(cluster.database().await).await;
    is_refused(daemon, &["wal_level", "logical"]).await;
}

#[tokio::test]
async fn without_a_free_slot_it_says_so_and_waits() {
    let cluster = Cluster::own()
        .setting("max_replication_slots", "1")
        .start()
        .await;
    let (db, receiver, daemon) = orders_in(cluster.database().await).await;
    db.sql("SELECT pg_create_physical_replication_slot('taken')")
        .await;
    let daemon = daemon.launch();
    daemon
        .lines()
        .line_with("max_replication_slots", SOON)
        .await;
    assert_ne!(daemon.readiness().await, Some(200));
    db.sql("SELECT pg_drop_replication_slot('taken')").await;
    daemon.ready().await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
}

#[tokio::test]
async fn a_slot_in_use_is_waited_for_and_its_user_is_named() {
    let (db, receiver, daemon) = orders().await;
    let mut daemon = daemon.start().await;
    assert_eq!(daemon.stop().await, 0);

    // It sends no status, so the slot stays where it is.
    let mut other = Command::new(client_program("pg_recvlogical"));
    other
        .args([
            "--start",
            "--status-interval=0",
            "--no-loop",
            "-f",
            "-",
            "-U",
            "postgres",
        ])
        .args([
            "-S",
            &db.slot,
            "-d",
            &db.name,
            "-p",
            &db.cluster.port.to_string(),
        ])
        .arg("-h")
        .arg(db.cluster.socket_directory())
        .args([
            "-o",
            "proto_version=1",
            "-o",
            &format!("publication_names={}", db.slot),
        ]);
    let other = Process::spawn(other, None);
    eventually("in use", || db.slot_is_active()).await;
    let pid = format!(
        "SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{}'",
        db.slot
    );
    let pid: i32 = db.value(&pid).await;

    daemon.launch();
    daemon.lines().line_with(&pid.to_string(), SOON).await;
    assert_ne!(daemon.readiness().await, Some(200));
    drop(other);
    daemon.ready().await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
}

#[tokio::test]
async fn a_table_that_is_not_there_is_named() {
    let (db, _receiver, daemon) = orders().await;
    let daemon = daemon.table("public.missing", "to: r\nevents: {insert: m}");
    let daemon = daemon.table("public.gone", "to: r\nevents: {insert: g}");
    is_refused(daemon, &["public.missing", "public.gone"]).await;
    assert!(!db.has_slot().await);
}

#[tokio::test]
async fn a_column_that_is_not_there_is_named() {
    let (db, _receiver, daemon) = orders().await;
    db.sql("CREATE TABLE items (id int PRIMARY KEY)").await;
    let rule = "to: r\nevents: {insert: {type: m, when: 'new.nowhere == 1'}}";
    let mut daemon = daemon.table("public.items", rule).prepare();
    let checked = daemon.cli_with_secrets(&["check"]).await;
    assert!(matches!(checked.code, 64 | 69), "{}", checked.text());
    assert!(checked.text().contains("nowhere"), "{}", checked.text());
    daemon.launch();
    assert_eq!(
        daemon.exit_code().await,
        checked.code,
        "{}",
        daemon.output()
    );
    assert!(!db.has_slot().await);
}

#[tokio::test]
async fn tables_without_identity_are_refused_before_anything_is_touched() {
    let (db, _receiver, daemon) = orders().await;
    db.sql(
        "CREATE TABLE keyless (a int); CREATE TABLE nothing (id int PRIMARY KEY); \
         ALTER TABLE nothing REPLICA IDENTITY NOTHING; INSERT INTO keyless VALUES (1)",
    )
    .await;
    let daemon = daemon
        .table("public.keyless", "to: r\nevents: {insert: k, update: ku}")
        .table("public.nothing", "to: r\nevents: {insert: n, delete: nd}");
    let remedies = [
        r#"ALTER TABLE "public"."keyless" REPLICA IDENTITY FULL;"#,
        r#"ALTER TABLE "public"."nothing" REPLICA IDENTITY DEFAULT;"#,
    ];
    is_refused(daemon, &remedies).await;
    assert_eq!(db.publications().await, [""; 0]);
    assert!(!db.has_slot().await);
    db.sql("UPDATE keyless SET a = 2; DELETE FROM keyless")
        .await;
}

#[tokio::test]
async fn a_keyless_table_may_be_watched_for_inserts_and_its_updates_still_work() {
    let (db, receiver, daemon) = orders().await;
    db.sql("CREATE TABLE keyless (a int)").await;
    let daemon = daemon.table(
        "public.keyless",
        "to: r\nevents: {insert: logged, truncate: emptied}",
    );
    let _daemon = daemon.start().await;
    db.sql("INSERT INTO keyless VALUES (1); UPDATE keyless SET a = 2; DELETE FROM keyless; TRUNCATE keyless").await;
    db.sql("INSERT INTO orders VALUES (1); UPDATE orders SET status = 'x'")
        .await;
    let events = receiver.wait_for(4, SOON).await;
    let mut kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        ["emptied", "logged", "order.created", "order.updated"]
    );
    assert_eq!(
        db.publications().await,
        [db.slot.clone(), format!("{}_insert", db.slot)]
    );
}

#[tokio::test]
async fn a_condition_that_needs_the_old_row_needs_full_identity() {
    let (db, _receiver, daemon) = orders().await;
    db.sql("CREATE TABLE items (id int PRIMARY KEY, status text)")
        .await;
    let daemon = daemon.table(
        "public.items",
        "to: r\nevents: {update: {type: paid, when: 'old.status != new.status'}}",
    );
    let mut daemon = daemon.prepare();
    let checked = daemon.cli_with_secrets(&["check"]).await;
    assert!(matches!(checked.code, 64 | 69), "{}", checked.text());
    let remedy = r#"ALTER TABLE "public"."items" REPLICA IDENTITY FULL;"#;
    assert!(checked.text().contains(remedy), "{}", checked.text());
    daemon.launch();
    assert_eq!(
        daemon.exit_code().await,
        checked.code,
        "{}",
        daemon.output()
    );
    assert!(!db.has_slot().await);
}

#[tokio::test]
async fn a_publication_of_somebody_else_is_never_altered() {
    let (db, _receiver, daemon) = orders().await;
    db.sql(&format!(
        "CREATE TABLE theirs (id int PRIMARY KEY); CREATE PUBLICATION {} FOR TABLE theirs",
        db.slot
    ))
    .await;
    is_refused(daemon, &["publication", &db.slot]).await;
    let tables: Vec<String> = db
        .column("SELECT tablename::text FROM pg_publication_tables")
        .await;
    assert_eq!(tables, ["theirs"]);
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let (db, _receiver, daemon) = orders().await;
    let daemon = daemon
        .url(&format!(
            "postgres://postgres@127.0.0.1:{}/absent",
            db.cluster.port
        ))
        .prepare();
    let checked = daemon.cli_with_secrets(&["check"]).await.expect_code(69);
    assert!(checked.text().contains("absent"), "{}", checked.text());
}

#[tokio::test]
async fn a_terminated_walsender_is_replaced_and_nothing_comes_twice() {
    let (db, receiver, daemon) = orders().await;
    let _daemon = daemon.start().await;
    for round in 1..=3 {
        db.sql(&format!("INSERT INTO orders VALUES ({round})"))
            .await;
        receiver.wait_for(round, SOON).await;
        db.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active AND database = current_database()").await;
    }
    db.sql("INSERT INTO orders VALUES (4)").await;
    let events = receiver.wait_for(4, SOON).await;
    crate::harness::oracle::assert_no_repeats(&events);
}

#[tokio::test]
async fn a_crash_of_postgres_loses_and_repeats_nothing() {
    let cluster = Cluster::own().start().await;
    let (db, receiver, daemon) = orders_in(cluster.database().await).await;
    let mut daemon = daemon.start().await;
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 50)")
        .await;
    receiver.wait_for(50, SOON).await;
    cluster.kill_9().await;
    cluster.start().await;
    db.sql("INSERT INTO orders (id) SELECT generate_series(51, 60)")
        .await;
    receiver.wait_for(60, SOON).await;
    // The slot's own position may have gone back: what it sends again is known.
    assert_eq!(daemon.stop().await, 0);
    cluster.stop_immediate().await;
    cluster.start().await;
    daemon.launch();
    db.sql("INSERT INTO orders (id) VALUES (61)").await;
    let events = receiver.wait_for(61, SOON).await;
    crate::harness::oracle::assert_no_repeats(&events);
    crate::harness::oracle::assert_replay(&events, &db, "public.orders").await;
}
