//! A database with a table, and a daemon that sends its inserts.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Client;

use crate::backlog::Way;
use crate::harness::{Cluster, Daemon, Database, verify};

/// About 600 bytes of JSON a row.
const TABLE: &str = "CREATE TABLE orders (id bigint PRIMARY KEY, status text, total numeric(10,2), \
     customer uuid DEFAULT gen_random_uuid(), placed timestamptz DEFAULT now(), note text, paid bool)";

pub struct Setting {
    pub db: Database,
    client: Client,
    rows: u64,
}

impl Setting {
    pub async fn new(cluster: &Arc<Cluster>) -> Setting {
        let db = cluster.database().await;
        db.sql(TABLE).await;
        let client = db.client().await;
        Setting {
            db,
            client,
            rows: 0,
        }
    }

    /// A daemon with these endpoints, each with lines of YAML of its own; it streams.
    pub async fn daemon(&self, endpoints: &[(&str, String, &str)]) -> Daemon {
        self.daemon_by(Way::Tcp, endpoints).await
    }

    pub async fn daemon_by(&self, way: Way, endpoints: &[(&str, String, &str)]) -> Daemon {
        let mut daemon = match way {
            Way::Tcp => Daemon::of(&self.db),
            Way::UnixSocket => Daemon::of(&self.db).url(&self.db.keywords()),
        };
        let names: Vec<&str> = endpoints.iter().map(|(name, ..)| *name).collect();
        for (name, url, options) in endpoints {
            let secret = verify::random_secret();
            let yaml = format!("url: {url}\nsecret: {secret}\n{options}");
            daemon = daemon.endpoint_as_written(name, &yaml);
        }
        let table = format!(
            "to: [{}]\nevents: {{insert: order.created}}",
            names.join(", ")
        );
        daemon.table("public.orders", &table).start().await
    }

    /// One transaction of so many rows.
    pub async fn insert(&mut self, rows: u64) {
        let (first, last) = (self.rows + 1, self.rows + rows);
        self.rows = last;
        let sql = format!(
            "INSERT INTO orders (id, status, total, note, paid) \
             SELECT g, 'new', g % 1000, repeat('x', 100), false FROM generate_series({first}, {last}) g"
        );
        self.client.batch_execute(&sql).await.unwrap();
    }

    /// Inserts at this rate, 20 transactions a second.
    pub async fn offer(&mut self, rows_per_second: f64, during: Duration) {
        let began = Instant::now();
        let mut inserted = 0;
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        while began.elapsed() < during {
            tick.tick().await;
            let due = (began.elapsed().as_secs_f64() * rows_per_second) as u64;
            if due > inserted {
                self.insert(due - inserted).await;
                inserted = due;
            }
        }
    }

    /// How long until less than 1 MiB of WAL is not confirmed.
    pub async fn lag_returns(&self) -> Duration {
        let began = Instant::now();
        let lag = format!(
            "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), confirmed_flush_lsn)::int8 < 1048576 \
             FROM pg_replication_slots WHERE slot_name = '{}'",
            self.db.slot
        );
        while !self.db.value::<bool>(&lag).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        began.elapsed()
    }
}

/// The most memory that the daemon ever had, in MiB.
pub fn peak_mib(daemon: &Daemon) -> f64 {
    daemon.peak_memory() as f64 / f64::from(1 << 20)
}
