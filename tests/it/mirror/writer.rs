//! A writer: transactions at random, of whatever the catalog says that the tables are now.

use std::collections::BTreeMap;

use fastrand::Rng;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::literals::{KEYS, key, value};
use crate::harness::Database;

/// What a writer may write to: not what triggers fill, nor what comes and goes.
const TARGETS: &str = "\
SELECT c.oid::regclass::text AS name, c.relname IN ('log', 'silent') AS only_inserts,
       (SELECT json_agg(json_build_array(quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
            EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey)),
            EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND a.attnum = ANY (i.indkey)))
            ORDER BY a.attnum)
        FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')::text AS columns
FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'm'::regnamespace
  AND c.relname NOT IN ('audit', 'phoenix')
ORDER BY 1";

struct Target {
    name: String,
    only_inserts: bool,
    columns: Vec<Column>,
}

struct Column {
    name: String,
    kind: String,
    in_primary_key: bool,
    in_key: bool,
}

pub struct Writer {
    client: Client,
    chance: Rng,
    major: i32,
    name: String,
    /// Keys that no other has, for COPY.
    next: u32,
    prepared: u32,
    pub committed: u64,
    /// By SQLSTATE.
    pub failed: BTreeMap<String, u64>,
}

impl Target {
    fn primary_key(&self) -> Vec<&Column> {
        let columns = self.columns.iter();
        columns.filter(|column| column.in_primary_key).collect()
    }

    /// The column that a row is looked for by.
    fn looked_by(&self) -> &Column {
        let key = self.primary_key();
        key.first().copied().unwrap_or(&self.columns[0])
    }
}

impl Writer {
    pub async fn new(db: &Database, seed: u64, number: u64) -> Writer {
        let client = db.client().await;
        let mut chance = Rng::with_seed(seed.wrapping_add(number));
        let settings = format!("SET lock_timeout = '3s'; SELECT setseed({})", chance.f64());
        client.batch_execute(&settings).await.expect("the settings");
        let version = client.query_one("SELECT current_setting('server_version_num')::int", &[]);
        Writer {
            major: version.await.expect("the version").get::<_, i32>(0) / 10_000,
            client,
            chance,
            name: format!("writer {number}"),
            next: 1_000_000 * (u32::try_from(number).expect("few writers") + 1),
            prepared: 0,
            committed: 0,
            failed: BTreeMap::new(),
        }
    }

    pub async fn transactions(&mut self, count: u64) {
        for _ in 0..count {
            self.transaction().await;
        }
    }

    async fn targets(&self) -> Vec<Target> {
        let rows = self.client.query(TARGETS, &[]).await.expect("the tables");
        let target = |row: &tokio_postgres::Row| {
            let columns: Vec<(String, String, bool, bool)> =
                serde_json::from_str(row.get("columns")).expect("json");
            let column = |(name, kind, in_primary_key, in_key)| Column {
                name,
                kind,
                in_primary_key,
                in_key,
            };
            Target {
                name: row.get("name"),
                only_inserts: row.get("only_inserts"),
                columns: columns.into_iter().map(column).collect(),
            }
        };
        rows.iter().map(target).collect()
    }

    async fn transaction(&mut self) {
        let targets = self.targets().await;
        let mut sql = vec!["BEGIN".to_owned()];
        for _ in 0..self.chance.u32(1..6) {
            let target = &targets[self.chance.usize(..targets.len())];
            let statement = self.statement(target);
            match self.chance.u8(..8) {
                0 => sql.extend(["SAVEPOINT s".into(), statement, "ROLLBACK TO s".into()]),
                1 => sql.extend(["SAVEPOINT s".into(), statement, "RELEASE s".into()]),
                _ => sql.push(statement),
            }
        }
        match self.chance.u8(..12) {
            0 => {
                sql.push("ROLLBACK".to_owned());
                self.run(&sql.join(";\n")).await;
            }
            1 => self.prepared(sql).await,
            _ => {
                sql.push("COMMIT".to_owned());
                self.committed += u64::from(self.run(&sql.join(";\n")).await);
            }
        }
    }

    /// Its rows are older than the transaction that comes between.
    async fn prepared(&mut self, mut sql: Vec<String>) {
        self.prepared += 1;
        let name = format!("'{} {}'", self.name, self.prepared);
        sql.push(format!("PREPARE TRANSACTION {name}"));
        if !self.run(&sql.join(";\n")).await {
            return;
        }
        self.run("INSERT INTO m.log VALUES ('between')").await;
        let end = if self.chance.u8(..4) == 0 {
            "ROLLBACK"
        } else {
            "COMMIT"
        };
        assert!(self.run(&format!("{end} PREPARED {name}")).await);
    }

    /// Whether it was done. Writers may stand in each other's way, and in that of a change
    /// of the schema; what they write is to be SQL in any case.
    async fn run(&mut self, sql: &str) -> bool {
        let Err(error) = self.client.batch_execute(sql).await else {
            return true;
        };
        let state = error.code().expect("an error of the server's").clone();
        assert_ne!(state, SqlState::SYNTAX_ERROR, "{sql}: {error:?}");
        *self.failed.entry(state.code().to_owned()).or_default() += 1;
        self.client
            .batch_execute("ROLLBACK")
            .await
            .expect("a rollback");
        false
    }

    // ---- one statement -----------------------------------------------------------------------

    fn statement(&mut self, target: &Target) -> String {
        let table = &target.name;
        let with_key = !target.primary_key().is_empty();
        match self.chance.u8(..24) {
            0 => self.copy(target),
            1 if self.chance.u8(..4) == 0 => self.truncate(table),
            _ if target.only_inserts => self.insert(target),
            2..=8 => self.insert(target),
            9 | 10 if with_key => self.upsert(target),
            11 | 12 if with_key && self.major >= 15 => self.merge(target),
            13 | 14 if with_key => self.update_key(target),
            15..=17 => format!("DELETE FROM {table} WHERE {}", self.some(target)),
            18 => format!(
                "WITH gone AS (DELETE FROM {table} WHERE {} RETURNING *) INSERT INTO m.log \
                 SELECT md5(gone::text), 1.50 FROM gone",
                self.some(target)
            ),
            _ => self.update(target),
        }
    }

    fn key_value(&mut self, column: &Column) -> String {
        let last = if column.name == "region" && column.kind == "integer" {
            90
        } else {
            KEYS
        };
        key(&column.kind, self.chance.u32(..last))
    }

    fn value(&mut self, column: &Column) -> String {
        if column.in_key {
            return self.key_value(column);
        }
        value(&mut self.chance, &column.name, &column.kind)
    }

    /// A condition that a few rows meet.
    fn some(&mut self, target: &Target) -> String {
        let column = target.looked_by();
        let count = self.chance.usize(1..4);
        let keys: Vec<_> = (0..count).map(|_| self.key_value(column)).collect();
        match self.chance.u8(..8) {
            0 if column.kind == "integer" => format!("{} >= 1000", column.name),
            _ => format!("{} IN ({})", column.name, keys.join(", ")),
        }
    }

    fn rows(&mut self, target: &Target) -> String {
        let names: Vec<_> = target.columns.iter().map(|c| c.name.as_str()).collect();
        let rows: Vec<_> = (0..self.chance.u32(1..4))
            .map(|_| {
                let values: Vec<_> = target.columns.iter().map(|c| self.value(c)).collect();
                format!("({})", values.join(", "))
            })
            .collect();
        format!(
            "INSERT INTO {} ({}) VALUES {}",
            target.name,
            names.join(", "),
            rows.join(", ")
        )
    }

    fn insert(&mut self, target: &Target) -> String {
        format!("{} ON CONFLICT DO NOTHING", self.rows(target))
    }

    /// Of columns that are no key: `None` where there are no such.
    fn sets(&mut self, target: &Target) -> Option<String> {
        let mut columns: Vec<_> = target.columns.iter().filter(|c| !c.in_key).collect();
        self.chance.shuffle(&mut columns);
        columns.truncate(self.chance.usize(1..4));
        let sets = columns.iter();
        let sets: Vec<_> = sets
            .map(|c| format!("{} = {}", c.name, self.value(c)))
            .collect();
        (!sets.is_empty()).then(|| sets.join(", "))
    }

    fn update(&mut self, target: &Target) -> String {
        let Some(sets) = self.sets(target) else {
            return self.insert(target);
        };
        format!(
            "UPDATE {} SET {sets} WHERE {}",
            target.name,
            self.some(target)
        )
    }

    fn update_key(&mut self, target: &Target) -> String {
        let keys: Vec<_> = target.columns.iter().filter(|c| c.in_key).collect();
        let column = keys[self.chance.usize(..keys.len())];
        let (from, to) = (self.key_value(target.looked_by()), self.key_value(column));
        format!(
            "UPDATE {0} SET {1} = {to} WHERE {2} = {from} \
             AND NOT EXISTS (SELECT FROM {0} WHERE {1} = {to})",
            target.name,
            column.name,
            target.looked_by().name
        )
    }

    fn upsert(&mut self, target: &Target) -> String {
        let keys: Vec<_> = target
            .primary_key()
            .iter()
            .map(|c| c.name.clone())
            .collect();
        let Some(sets) = self.sets(target) else {
            return self.insert(target);
        };
        let rows = self.rows(target);
        format!(
            "{rows} ON CONFLICT ({}) DO UPDATE SET {sets}",
            keys.join(", ")
        )
    }

    fn merge(&mut self, target: &Target) -> String {
        let by = target.looked_by();
        let keys: Vec<_> = target.columns.iter().filter(|c| c.in_key).collect();
        let names: Vec<_> = keys.iter().map(|c| c.name.as_str()).collect();
        let values: Vec<_> = keys
            .iter()
            .map(|c| {
                if c.name == by.name {
                    "s.k".to_owned()
                } else {
                    self.key_value(c)
                }
            })
            .collect();
        let (first, second) = (self.key_value(by), self.key_value(by));
        let update = self.sets(target).map_or_else(
            || "DO NOTHING".to_owned(),
            |sets| format!("UPDATE SET {sets}"),
        );
        format!(
            "MERGE INTO {} t USING (SELECT {first} UNION SELECT {second}) s(k) ON t.{} = s.k \
             WHEN MATCHED AND random() < 0.3 THEN DELETE WHEN MATCHED THEN {update} \
             WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})",
            target.name,
            by.name,
            names.join(", "),
            values.join(", ")
        )
    }

    /// Its rows share one LSN.
    fn copy(&mut self, target: &Target) -> String {
        let (first, last) = (self.next, self.next + self.chance.u32(1..15));
        let table = &target.name;
        let key: Vec<_> = target.columns.iter().filter(|c| c.in_key).collect();
        if key.iter().any(|c| c.kind != "integer") {
            return self.insert(target);
        }
        self.next = last + 1;
        let (names, more) = match key[..] {
            [] => (target.columns[0].name.clone(), String::new()),
            [one] => (one.name.clone(), String::new()),
            _ => {
                let names: Vec<_> = key.iter().map(|c| c.name.as_str()).collect();
                (
                    names.join(", "),
                    format!(" | sed s/$/,{}/", self.chance.u32(..90)),
                )
            }
        };
        format!("COPY {table} ({names}) FROM PROGRAM 'seq {first} {last}{more}' (FORMAT csv)")
    }

    fn truncate(&mut self, table: &str) -> String {
        match self.chance.u8(..4) {
            0 => format!("TRUNCATE {table}, m.log RESTART IDENTITY CASCADE"),
            1 => format!("TRUNCATE ONLY m.base, {table} CASCADE"),
            _ => format!("TRUNCATE {table} CASCADE"),
        }
    }
}
