//! Whatever becomes of the tables while it streams: what arrives is the row as it was then.

mod columns;
mod generated;
mod identity;
mod joining;
mod partitions;
mod statements;
mod tables;
mod toast;
mod types;

use serde_json::Value;
use tokio_postgres::Client;

use crate::harness::receiver::Event;
use crate::harness::{ALL_EVENTS, Cluster, Daemon, Database, Receiver};

/// A database with tables that go to one receiver in the order of commits.
pub struct Watched {
    pub db: Database,
    pub receiver: Receiver,
    pub daemon: Daemon,
}

/// All changes of these tables.
pub async fn watch(ddl: &str, tables: &[&str]) -> Watched {
    let entries: Vec<_> = tables.iter().map(|table| (*table, ALL_EVENTS)).collect();
    watch_with(ddl, "order: endpoint", &entries).await
}

/// With options of the endpoint `r` and entries of `tables`.
pub async fn watch_with(ddl: &str, options: &str, tables: &[(&str, &str)]) -> Watched {
    watch_in(
        Cluster::shared().await.database().await,
        ddl,
        options,
        tables,
    )
    .await
}

pub async fn watch_in(db: Database, ddl: &str, options: &str, tables: &[(&str, &str)]) -> Watched {
    db.sql(ddl).await;
    let receiver = Receiver::start().await;
    let mut daemon = Daemon::of(&db).endpoint_with("r", &receiver, options);
    for (table, yaml) in tables {
        daemon = daemon.table(table, yaml);
    }
    let daemon = daemon.start().await;
    Watched {
        db,
        receiver,
        daemon,
    }
}

/// A session that takes a row as `to_jsonb` has it after each change, in the transaction of
/// the change.
pub struct Writer {
    pub client: Client,
    pub taken: Vec<Value>,
}

impl Writer {
    pub async fn of(db: &Database) -> Writer {
        Writer {
            client: db.client().await,
            taken: Vec::new(),
        }
    }

    #[track_caller]
    pub fn run<'a>(&'a self, sql: &'a str) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let done = self.client.batch_execute(sql).await;
            done.unwrap_or_else(|error| panic!("{caller}: {sql}: {error:?}"));
        }
    }

    /// Runs the statements, the last of which changes this one row.
    #[track_caller]
    pub fn change<'a>(&'a mut self, sql: &'a str, from: &'a str) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let done = self.client.batch_execute(sql).await;
            done.unwrap_or_else(|error| panic!("{caller}: {sql}: {error:?}"));
            let row = self.row(from).await;
            self.taken.push(row);
        }
    }

    /// A row as it is now. `from` names the table, with a WHERE that leaves one row.
    pub async fn row(&self, from: &str) -> Value {
        let (table, rest) = from.split_once(' ').unwrap_or((from, ""));
        let sql = format!("SELECT to_jsonb(t)::text FROM {table} t {rest}");
        let row = self.client.query_one(&sql, &[]).await;
        let row = row.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        serde_json::from_str(row.get(0)).expect("json")
    }

    /// Each event has the row that was taken after its change.
    #[track_caller]
    pub fn assert_taken(&self, events: &[Event]) {
        for (at, (event, taken)) in events.iter().zip(&self.taken).enumerate() {
            assert_eq!(event.json()["data"], *taken, "change {at}: {}", event.text);
        }
        assert_eq!(events.len(), self.taken.len());
    }
}

pub fn previous(event: &Event) -> Value {
    event.json()["previous"].take()
}

pub fn data(event: &Event) -> Value {
    event.json()["data"].take()
}

/// 15 of 15.18. What a major does not have is left out by this alone.
pub async fn major(db: &Database) -> i32 {
    let sql = "SELECT current_setting('server_version_num')::int / 10000";
    db.value(sql).await
}
