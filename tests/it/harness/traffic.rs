//! Traffic: writers on two tables, and a record of what they committed.
//!
//! ```text
//! writers: single rows, many rows, COPY, savepoints, rollbacks   -> orders, items -> changes
//! one more: transactions that stay open for long                      (a trigger)
//! ```
//!
//! What they do follows from a seed; when they do it does not. A server that is away stops
//! no writer: it comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Error};
use tokio_util::sync::CancellationToken;

use super::daemon::Builder;
use super::database::Database;
use super::receiver::Event;
use super::{oracle, runtime};

pub const TABLES: [&str; 2] = ["public.orders", "public.items"];

/// `changes` has a row for every change that was committed. `items` sends whole old rows.
const SCHEMA: &str = "\
CREATE TABLE orders (id bigint PRIMARY KEY, status text, note text);
CREATE TABLE items (id bigint PRIMARY KEY, qty int, label text);
ALTER TABLE items REPLICA IDENTITY FULL;
CREATE TABLE changes (table_name text, operation text, id bigint);
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO changes VALUES ('public.' || TG_TABLE_NAME, lower(TG_OP), coalesce(NEW.id, OLD.id));
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON orders
    FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON items
    FOR EACH ROW EXECUTE FUNCTION note_change();
";

/// Each writer has rows of its own, so that none waits for another.
const ROWS_APART: i64 = 100_000_000;

pub struct Traffic {
    stop: CancellationToken,
    writers: Vec<JoinHandle<()>>,
}

/// Makes the tables. What is written before the slot is there makes no events.
pub async fn prepare(database: &Database) {
    database.sql(SCHEMA).await;
}

/// Sends every change of the tables to these endpoints.
pub fn to(daemon: Builder, endpoints: &str) -> Builder {
    let events = "events: {insert: made, update: changed, delete: gone}";
    TABLES.iter().fold(daemon, |daemon, table| {
        daemon.table(table, &format!("to: [{endpoints}]\n{events}"))
    })
}

impl Traffic {
    /// Starts `writers` and one with long transactions. `pause` is between their transactions.
    pub fn start(database: &Database, seed: u64, writers: u64, pause: Duration) -> Traffic {
        let stop = CancellationToken::new();
        let spawn = |number: u64| {
            let writer = Writer {
                cluster: std::sync::Arc::clone(&database.cluster),
                database: database.name.clone(),
                chance: fastrand::Rng::with_seed(seed.wrapping_add(number)),
                first: (number as i64 + 1) * ROWS_APART,
                next: (number as i64 + 1) * ROWS_APART,
                pause,
                is_long: number == writers,
            };
            runtime().spawn(writer.run(stop.clone()))
        };
        Traffic {
            writers: (0..=writers).map(spawn).collect(),
            stop,
        }
    }

    /// Lets the writers end what they are at.
    pub async fn end(self) {
        self.stop.cancel();
        for writer in self.writers {
            writer.await.expect("a writer that does not panic");
        }
    }
}

struct Writer {
    cluster: std::sync::Arc<super::Cluster>,
    database: String,
    chance: fastrand::Rng,
    first: i64,
    next: i64,
    pause: Duration,
    is_long: bool,
}

impl Writer {
    async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Ok(client) = self.cluster.connect(&self.database).await {
                // An error is the server's end, or a test's that broke the connection.
                let _ = self.write(&client, &stop).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn write(&mut self, client: &Client, stop: &CancellationToken) -> Result<(), Error> {
        while !stop.is_cancelled() {
            if self.is_long {
                self.long(client).await?;
            } else {
                let sql = self.transaction();
                client.batch_execute(&sql).await?;
            }
            let share = self.chance.u32(1..=20);
            tokio::time::sleep(self.pause * share / 10).await;
        }
        Ok(())
    }

    /// A transaction that others overtake.
    async fn long(&mut self, client: &Client) -> Result<(), Error> {
        client.batch_execute("BEGIN").await?;
        for _ in 0..self.chance.u32(2..8) {
            let sql = format!("{};{}", self.insert("orders"), self.insert("items"));
            client.batch_execute(&sql).await?;
            tokio::time::sleep(self.pause * self.chance.u32(1..10)).await;
        }
        let end = if self.chance.u8(..4) == 0 {
            "ROLLBACK"
        } else {
            "COMMIT"
        };
        client.batch_execute(end).await
    }

    fn transaction(&mut self) -> String {
        match self.chance.u8(..12) {
            0..=2 => self.insert("orders"),
            3 | 4 => format!(
                "UPDATE orders SET status = status || '.' WHERE id = {}",
                self.any()
            ),
            5 => format!("DELETE FROM orders WHERE id = {}", self.any()),
            6 => format!("DELETE FROM items WHERE id = {}", self.any()),
            7 => format!(
                "BEGIN; {}; UPDATE items SET qty = qty + 1 WHERE id >= {} AND id < {}; COMMIT",
                self.insert_many(10),
                self.next - 8,
                self.next
            ),
            8 => self.copy(15),
            9 => format!(
                "BEGIN; {}; SAVEPOINT s; {}; {}; ROLLBACK TO s; {}; COMMIT",
                self.insert("orders"),
                self.insert("orders"),
                self.insert_many(5),
                self.insert("items")
            ),
            10 => format!(
                "BEGIN; {}; {}; ROLLBACK",
                self.insert("orders"),
                self.insert_many(5)
            ),
            _ => {
                let row = self.any();
                format!(
                    "BEGIN; {}; UPDATE orders SET status = 'seen' WHERE id = {row}; {}; \
                     DELETE FROM items WHERE id = {row}; COMMIT",
                    self.insert("items"),
                    self.insert("orders")
                )
            }
        }
    }

    fn insert(&mut self, table: &str) -> String {
        let id = self.take(1);
        // Some are large enough to be stored apart, and are then left out of updates.
        let long = if self.chance.u8(..10) == 0 { 150 } else { 1 };
        format!(
            "INSERT INTO {table} SELECT {id}, {}, string_agg(md5(random()::text), '') \
             FROM generate_series(1, {long})",
            if table == "orders" { "'new'" } else { "1" }
        )
    }

    fn insert_many(&mut self, rows: i64) -> String {
        let first = self.take(rows);
        format!(
            "INSERT INTO items SELECT g, 0, 'many' FROM generate_series({first}, {}) g",
            first + rows - 1
        )
    }

    /// The rows of a COPY share one LSN.
    fn copy(&mut self, rows: i64) -> String {
        let first = self.take(rows);
        format!(
            "COPY orders (id, status) FROM PROGRAM 'seq -f \"%.0f,copied\" {first} {}' (FORMAT csv)",
            first + rows - 1
        )
    }

    fn take(&mut self, rows: i64) -> i64 {
        let first = self.next;
        self.next += rows;
        first
    }

    /// A row that was written lately, and may be gone.
    fn any(&mut self) -> i64 {
        let first = self.first.max(self.next - 50);
        self.chance.i64(first..=self.next)
    }
}

/// How many changes of the tables were committed.
pub async fn changes(database: &Database) -> usize {
    let count: i64 = database.value("SELECT count(*) FROM changes").await;
    usize::try_from(count).expect("a count")
}

/// P1 and P4: these events, each by its first arrival, are exactly the changes that were
/// committed, and a table made of them is the table.
#[track_caller]
pub fn assert_complete(database: &Database, events: &[Event]) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    let mut seen: BTreeMap<(String, String, String), i64> = BTreeMap::new();
    for event in events {
        let row = oracle::row(event);
        let id = row.rsplit(' ').next().expect("an id").to_owned();
        let change = (event.table.clone(), event.operation.clone(), id);
        *seen.entry(change).or_default() += 1;
    }
    async move {
        let sql = "SELECT table_name, operation, id::text, count(*) FROM changes GROUP BY 1, 2, 3";
        let rows = database.client().await.query(sql, &[]).await;
        let rows = rows.expect("the changes");
        let committed: BTreeMap<_, _> = rows
            .iter()
            .map(|row| ((row.get(0), row.get(1), row.get(2)), row.get(3)))
            .collect();
        let differs = |(change, count): &(&(String, String, String), &i64),
                       other: &BTreeMap<_, i64>| {
            other.get(*change) != Some(*count)
        };
        let lost: Vec<_> = committed.iter().filter(|c| differs(c, &seen)).collect();
        let invented: Vec<_> = seen.iter().filter(|c| differs(c, &committed)).collect();
        assert!(
            lost.is_empty() && invented.is_empty(),
            "{caller}: {} changes lost {:?}, {} events too many {:?}",
            lost.len(),
            &lost[..lost.len().min(5)],
            invented.len(),
            &invented[..invented.len().min(5)]
        );
        for table in TABLES {
            oracle::assert_replay(events, database, table).await;
        }
    }
}
