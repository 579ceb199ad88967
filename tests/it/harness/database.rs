//! A database of one test, with a slot name of its own; both go with it.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::types::FromSqlOwned;

use super::block_on;
use super::cluster::Cluster;
use super::installation::client_program;
use super::process::Process;

pub struct Database {
    pub cluster: Arc<Cluster>,
    pub name: String,
    /// Slots are named over the whole cluster. The publication bears the same name.
    pub slot: String,
}

impl Database {
    pub(super) async fn create(cluster: Arc<Cluster>, number: usize, encoding: &str) -> Database {
        let name = format!("test_{number}");
        cluster
            .admin(&format!(
                "CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}'"
            ))
            .await;
        Database {
            cluster,
            slot: format!("walhook_{number}"),
            name,
        }
    }

    /// Where the daemon connects: TCP, the superuser.
    pub fn url(&self) -> String {
        self.url_as("postgres")
    }

    /// `user` may be `user:password`.
    pub fn url_as(&self, user: &str) -> String {
        format!(
            "postgres://{user}@127.0.0.1:{}/{}",
            self.cluster.port, self.name
        )
    }

    /// The same by the unix socket, as keywords.
    pub fn keywords(&self) -> String {
        let socket = self.cluster.socket_directory();
        let (port, name) = (self.cluster.port, &self.name);
        format!(
            "host={} port={port} dbname={name} user=postgres",
            socket.display()
        )
    }

    /// A connection of its own, for a transaction that stays open.
    pub async fn client(&self) -> Client {
        self.cluster
            .connect(&self.name)
            .await
            .expect("a connection")
    }

    /// Runs statements, separated by `;`. They are one transaction, unless they say otherwise.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> impl Future<Output = ()> + Send {
        let caller = std::panic::Location::caller();
        async move {
            if let Err(error) = self.client().await.batch_execute(sql).await {
                panic!("{caller}: {sql}: {error:?}");
            }
        }
    }

    /// The one value that a query gives.
    pub async fn value<T: FromSqlOwned>(&self, sql: &str) -> T {
        let row = self.client().await.query_one(sql, &[]).await;
        row.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
            .get(0)
    }

    /// The first column of all rows.
    pub async fn column<T: FromSqlOwned>(&self, sql: &str) -> Vec<T> {
        let rows = self.client().await.query(sql, &[]).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// A table's rows as `to_jsonb` has them, by the text of their column `id`.
    pub async fn rows(&self, table: &str) -> BTreeMap<String, Value> {
        let sql = format!("SELECT id::text, to_jsonb(t)::text FROM {table} t");
        let rows = self.client().await.query(&sql, &[]).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let pair = |row: &tokio_postgres::Row| {
            let json: String = row.get(1);
            (row.get(0), serde_json::from_str(&json).expect("json"))
        };
        rows.iter().map(pair).collect()
    }

    /// Whether our slot is in use.
    pub async fn slot_is_active(&self) -> bool {
        let sql = "SELECT coalesce(bool_or(active), false) FROM pg_replication_slots \
                   WHERE slot_name = ";
        self.value(&format!("{sql}'{}'", self.slot)).await
    }

    /// Where the WAL ends now.
    pub async fn lsn(&self) -> String {
        self.value("SELECT pg_current_wal_insert_lsn()::text").await
    }

    /// What our slot has confirmed, once it is made.
    pub async fn slot_position(&self) -> Option<u64> {
        let sql = "SELECT max(confirmed_flush_lsn) - '0/0' FROM pg_replication_slots \
                   WHERE slot_name = ";
        let position: Option<String> = self
            .value(&format!("SELECT ({sql}'{}')::text", self.slot))
            .await;
        position.map(|text| text.parse().expect("a number"))
    }

    /// Whether our slot has confirmed everything before this LSN.
    pub async fn has_confirmed(&self, lsn: &str) -> bool {
        let slot = &self.slot;
        self.value(&format!(
            "SELECT coalesce(bool_or(confirmed_flush_lsn >= '{lsn}'), false) \
             FROM pg_replication_slots WHERE slot_name = '{slot}'"
        ))
        .await
    }

    /// Waits until our slot has confirmed all that is written now.
    #[track_caller]
    pub fn confirmed(&self, within: Duration) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let lsn = self.lsn().await;
            let deadline = Instant::now() + within;
            while !self.has_confirmed(&lsn).await {
                assert!(
                    Instant::now() < deadline,
                    "{caller}: {lsn} is never confirmed"
                );
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        }
    }

    pub async fn has_slot(&self) -> bool {
        let sql = "SELECT count(*) > 0 FROM pg_replication_slots WHERE slot_name = ";
        self.value(&format!("{sql}'{}'", self.slot)).await
    }

    /// Drops our slot, whatever it has become.
    pub async fn drop_slot(&self) {
        let slot = &self.slot;
        self.sql(&format!("SELECT pg_drop_replication_slot('{slot}')"))
            .await;
    }

    pub async fn publications(&self) -> Vec<String> {
        self.column("SELECT pubname::text FROM pg_publication ORDER BY 1")
            .await
    }

    /// Starts `pgbench` with this script, over the unix socket.
    pub fn pgbench(&self, script: &str, clients: usize, transactions: usize) -> Process {
        let file = self
            .cluster
            .socket_directory()
            .join(format!("{}.sql", self.name));
        std::fs::write(&file, script).expect("the script");
        let file = file.to_str().expect("a path in UTF-8");
        let (clients, transactions) = (clients.to_string(), transactions.to_string());
        self.pgbench_with(&["-n", "-f", file, "-c", &clients, "-t", &transactions])
    }

    /// Starts `pgbench` with these arguments, over the unix socket.
    pub fn pgbench_with(&self, arguments: &[&str]) -> Process {
        let mut command = Command::new(client_program("pgbench"));
        command
            .args(arguments)
            .arg("-h")
            .arg(self.cluster.socket_directory())
            .args(["-p", &self.cluster.port.to_string(), "-U", "postgres"])
            .arg(&self.name);
        Process::spawn(command, None)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (cluster, name) = (&self.cluster, &self.name);
        block_on(async move {
            // A test may have left the server stopped.
            let Ok(client) = cluster.connect("postgres").await else {
                return;
            };
            let statements = [
                format!(
                    "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots \
                     WHERE database = '{name}' AND active"
                ),
                format!(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
                     WHERE database = '{name}'"
                ),
                format!("DROP DATABASE {name} WITH (FORCE)"),
            ];
            for statement in statements {
                if let Err(error) = client.batch_execute(&statement).await {
                    eprintln!("leaving {name}: {statement}: {error}");
                }
            }
        });
    }
}
