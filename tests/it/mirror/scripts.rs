//! `scripts/*.sql`, statement by statement: after each that ends a transaction the copy equals the
//! source.
//!
//! ```text
//! -- The daemon starts.   above it is what is there before
//! -- Joins: m.name        the next statement runs once the table is published
//! -- From 15.             the next statement is for this major and later ones
//! -- Fails.               the next statement does
//! ```

use std::collections::BTreeSet;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_postgres::Client;

use super::subscriber::{ALL, INSERTS, Subscriber, daemon};
use crate::harness::{Cluster, Database, Receiver, eventually};

const START: &str = "-- The daemon starts.\n";

struct Statement {
    sql: String,
    joins: Option<String>,
    from: i32,
    fails: bool,
}

/// A statement ends with a line that ends with `;`, outside of `$$`.
fn statements(script: &str) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut lines = Vec::new();
    for line in script.lines() {
        lines.push(line);
        let sql = lines.join("\n");
        if line.ends_with(';') && sql.matches("$$").count().is_multiple_of(2) {
            let after = |what: &str| {
                let mut found = lines.iter().filter_map(|line| line.strip_prefix(what));
                found
                    .next()
                    .map(|rest| rest.trim_end_matches('.').to_owned())
            };
            statements.push(Statement {
                joins: after("-- Joins: "),
                from: after("-- From ").map_or(0, |major| major.parse().expect("a major")),
                fails: after("-- Fails").is_some(),
                sql,
            });
            lines.clear();
        }
    }
    assert!(
        lines.iter().all(|line| line.is_empty()),
        "no end: {lines:?}"
    );
    statements
}

/// Whether a transaction is open after the statement.
fn is_open(statement: &str, before: bool) -> bool {
    let mut lines = statement.lines();
    let first = lines.find(|line| !line.is_empty() && !line.starts_with("--"));
    match first.unwrap_or_default() {
        "BEGIN;" => true,
        "COMMIT;" | "ROLLBACK;" => false,
        line if line.starts_with("PREPARE TRANSACTION") => false,
        _ => before,
    }
}

async fn joins(db: &Database, table: &str) {
    let sql = format!(
        "SELECT count(*) > 0 FROM pg_publication_tables \
         WHERE pubname LIKE '{}%' AND format('%s.%s', schemaname, tablename) = '{table}'",
        db.slot
    );
    eventually("published", || db.value::<bool>(&sql)).await;
}

async fn run(client: &Client, statement: &Statement) {
    let done = client.batch_execute(&statement.sql).await;
    match done {
        Ok(()) => assert!(!statement.fails, "does not fail: {}", statement.sql),
        Err(error) => assert!(statement.fails, "{}: {error:?}", statement.sql),
    }
}

fn path(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mirror/scripts");
    directory.join(name)
}

async fn is_mirrored(cluster: Arc<Cluster>, name: &str) {
    let db = cluster.database().await;
    let text = std::fs::read_to_string(path(name)).expect("a script");
    let (before, script) = text.split_once(START).expect(START);
    db.sql(before).await;
    let receiver = Receiver::start().await;
    let tables = [("m.*", ALL), ("m.inserts_*", INSERTS)];
    let _daemon = daemon(&db, &receiver, &tables).start().await;
    let mut subscriber = Subscriber::new(&db).await;
    let client = db.client().await;
    let major: i32 = db
        .value("SELECT current_setting('server_version_num')::int / 10000")
        .await;
    let mut open = false;
    for statement in statements(script).iter().filter(|one| one.from <= major) {
        if let Some(table) = &statement.joins {
            joins(&db, table).await;
        }
        eprintln!("{name}: {}", statement.sql);
        run(&client, statement).await;
        open = is_open(&statement.sql, open);
        if !open {
            subscriber.catches_up(&db, &receiver).await;
        }
    }
    assert!(!open, "{name} ends inside a transaction");
    assert!(subscriber.count() > 10, "{name}");
}

/// A test a script, and one that none is forgotten.
macro_rules! scripts {
    ($($test:ident: $name:literal on $cluster:expr;)*) => {
        $(#[tokio::test]
        async fn $test() {
            is_mirrored($cluster.await, $name).await;
        })*

        #[test]
        fn every_script_has_a_test() {
            let named = BTreeSet::from([$($name.to_owned()),*]);
            let entries = std::fs::read_dir(path("")).expect("the scripts");
            let name = |entry: DirEntry| entry.file_name().into_string().expect("UTF-8");
            let found = entries.map(|entry| name(entry.expect("a script"))).collect();
            assert_eq!(named, found);
        }
    };
}

scripts! {
    keys_that_change_are_mirrored: "keys.sql" on Cluster::shared();
    partitions_and_children_are_mirrored: "partitions.sql" on Cluster::shared();
    changes_of_the_schema_are_mirrored: "schema_changes.sql" on Cluster::shared();
    every_statement_is_mirrored: "statements.sql" on Cluster::shared();
    values_stored_apart_are_mirrored: "toast.sql" on Cluster::shared();
    transactions_of_every_end_are_mirrored: "transactions.sql" on preparing();
    types_that_change_are_mirrored: "values.sql" on Cluster::shared();
}

async fn preparing() -> Arc<Cluster> {
    let cluster = Cluster::own().setting("max_prepared_transactions", "10");
    cluster.start().await
}
