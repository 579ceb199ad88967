//! Changes of the schema while others write, each in one transaction with a message that tells
//! subscribers what the stream does not: README, "Keep a copy of a table".

use fastrand::Rng;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::literals::quoted;
use crate::harness::{Database, eventually};

pub struct Changes {
    client: Client,
    chance: Rng,
    slot: String,
    /// For names that nothing had before.
    number: u32,
    shifting: String,
    /// Of `shifting`, that were added, with their types.
    columns: Vec<(String, &'static str)>,
    labels: Vec<String>,
    /// Numbers of added partitions.
    partitions: Vec<u32>,
    pub done: Vec<&'static str>,
}

/// A message that tells of these steps.
fn tell(steps: &[Value]) -> String {
    let content = json!({ "steps": steps }).to_string();
    format!(
        "SELECT pg_logical_emit_message(true, 'mirror.ddl', {})",
        quoted(&content)
    )
}

impl Changes {
    pub async fn new(db: &Database, seed: u64) -> Changes {
        let client = db.client().await;
        let settings = "SET lock_timeout = '1s'";
        client.batch_execute(settings).await.expect("the settings");
        Changes {
            client,
            chance: Rng::with_seed(seed),
            slot: db.slot.clone(),
            number: 0,
            shifting: "m.shifting".to_owned(),
            columns: Vec::new(),
            labels: ["sad", "so, so", "\"glad\""].map(str::to_owned).to_vec(),
            partitions: Vec::new(),
            done: Vec::new(),
        }
    }

    /// Writers may hold locks for longer than it waits, or a deadlock chooses it.
    async fn run(&mut self, what: &'static str, statements: &[String]) {
        let sql = format!("BEGIN;\n{};\nCOMMIT", statements.join(";\n"));
        for _ in 0..100 {
            let Err(error) = self.client.batch_execute(&sql).await else {
                self.done.push(what);
                return;
            };
            self.client
                .batch_execute("ROLLBACK")
                .await
                .expect("a rollback");
            let state = error.code().expect("an error of the server's").code();
            assert!(
                ["55P03", "40P01", "40001"].contains(&state),
                "{sql}: {error:?}"
            );
        }
        panic!("never had its locks: {sql}");
    }

    fn new_number(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    pub async fn change(&mut self, db: &Database, times: u64) {
        for _ in 0..times {
            self.one(db).await;
        }
    }

    async fn one(&mut self, db: &Database) {
        match self.chance.u8(..28) {
            0..=4 => self.add_column().await,
            5 | 6 => self.drop_column().await,
            7 | 8 => self.rename_column().await,
            9..=12 => self.retype_column().await,
            13 | 14 => self.rename_table().await,
            15 | 16 => self.identity().await,
            17..=19 => self.label().await,
            20 | 21 => self.partition().await,
            22 | 23 => self.inside_a_transaction().await,
            24 | 25 => self.rewrite().await,
            _ => self.create_again(db).await,
        }
    }

    async fn add_column(&mut self) {
        let (column, table) = (format!("c{}", self.new_number()), self.shifting.clone());
        let (kind, default, value, touched) = match self.chance.u8(..4) {
            0 => ("int", "", Value::Null, false),
            1 => ("text", "DEFAULT 'x\"1'", json!("x\"1"), false),
            2 => (
                "bigint",
                "NOT NULL DEFAULT 9007199254740993",
                json!(9_007_199_254_740_993_i64),
                false,
            ),
            // Each row has a value of its own, of which nothing is sent: the rows are touched.
            _ => ("double precision", "DEFAULT random()", Value::Null, true),
        };
        let step = json!({"add_column": {"table": table, "column": column, "value": value}});
        let mut sql = vec![
            format!("ALTER TABLE {table} ADD COLUMN {column} {kind} {default}"),
            tell(&[step]),
        ];
        if touched {
            sql.push(format!("UPDATE {table} SET id = id"));
        }
        self.run("add column", &sql).await;
        self.columns.push((column, kind));
    }

    async fn drop_column(&mut self) {
        let Some((column, _)) = self.columns.pop() else {
            return;
        };
        let table = self.shifting.clone();
        let step = json!({"drop_column": {"table": table, "column": column}});
        let alter = format!("ALTER TABLE {table} DROP COLUMN {column}");
        self.run("drop column", &[alter, tell(&[step])]).await;
    }

    async fn rename_column(&mut self) {
        let Some((column, kind)) = self.columns.pop() else {
            return;
        };
        let (to, table) = (format!("r{}", self.new_number()), self.shifting.clone());
        let step = json!({"rename_column": {"table": table, "column": column, "to": to}});
        let alter = format!("ALTER TABLE {table} RENAME COLUMN {column} TO {to}");
        self.run("rename column", &[alter, tell(&[step])]).await;
        self.columns.push((to, kind));
    }

    async fn retype_column(&mut self) {
        let Some((column, kind)) = self.columns.pop() else {
            return;
        };
        let table = self.shifting.clone();
        let alter = |to: &str, using: &str| {
            format!(
                "ALTER TABLE {table} ALTER {column} DROP DEFAULT, ALTER {column} TYPE {to} USING {using}, \
                 ALTER {column} DROP NOT NULL"
            )
        };
        let as_text = json!({"as_text": {"table": table, "column": column}});
        let (to, sql) = match kind {
            "int" => ("bigint", vec![alter("bigint", &column)]),
            "bigint" => (
                "text",
                vec![alter("text", &format!("{column}::text")), tell(&[as_text])],
            ),
            // No subscriber knows what it makes of the rows.
            _ => (
                "int",
                vec![
                    alter("int", "id * 2"),
                    tell(&[]),
                    format!("UPDATE {table} SET {column} = {column}"),
                ],
            ),
        };
        self.run("retype column", &sql).await;
        self.columns.push((column, to));
    }

    async fn rename_table(&mut self) {
        let (from, to) = (
            self.shifting.clone(),
            format!("shifting_{}", self.new_number()),
        );
        let step = json!({"rename": {"table": from, "to": format!("m.{to}")}});
        let alter = format!("ALTER TABLE {from} RENAME TO {to}");
        self.run("rename table", &[alter, tell(&[step])]).await;
        self.shifting = format!("m.{to}");
    }

    async fn identity(&mut self) {
        let index = "USING INDEX by_index_identity";
        let (to, key) = match self.chance.u8(..3) {
            0 => ("DEFAULT", json!(["id"])),
            1 => ("FULL", json!(["id"])),
            _ => (index, json!(["code", "region"])),
        };
        let alter = |table: &str, to: &str| format!("ALTER TABLE {table} REPLICA IDENTITY {to}");
        let step = json!({"key": {"table": "m.by_index", "key": key}});
        let sql = [alter("m.by_index", to), tell(&[step])];
        self.run("identity", &sql).await;
        let to = if self.chance.bool() {
            "FULL"
        } else {
            "DEFAULT"
        };
        let table = self.shifting.clone();
        self.run("identity", &[alter(&table, to)]).await;
    }

    /// Rows that have a label have another one then, and nothing is sent of them.
    async fn label(&mut self) {
        let name = format!("label {}", self.new_number());
        // Nobody is in the middle of writing one.
        let lock = "LOCK m.plain IN ACCESS EXCLUSIVE MODE".to_owned();
        if self.labels.len() < 5 {
            let add = format!("ALTER TYPE m.mood ADD VALUE {}", quoted(&name));
            self.run("add label", &[lock, add]).await;
            self.labels.push(name);
            return;
        }
        let at = self.chance.usize(..self.labels.len());
        let from = std::mem::replace(&mut self.labels[at], name.clone());
        let step =
            json!({"replace": {"table": "m.plain", "column": "mood", "from": from, "to": name}});
        let alter = format!(
            "ALTER TYPE m.mood RENAME VALUE {} TO {}",
            quoted(&from),
            quoted(&name)
        );
        self.run("rename label", &[lock, alter, tell(&[step])])
            .await;
    }

    async fn partition(&mut self) {
        if let Some(number) = self.partitions.pop() {
            let region = 1000 + number;
            let step =
                json!({"forget": {"table": "m.spread", "column": "region", "value": region}});
            let sql = [
                format!("ALTER TABLE m.spread DETACH PARTITION m.extra_{number}"),
                format!("DROP TABLE m.extra_{number}"),
                tell(&[step]),
            ];
            self.run("detach", &sql).await;
            return;
        }
        let number = self.new_number();
        let region = 1000 + number;
        let sql = [
            format!(
                "CREATE TABLE m.extra_{number} (n int, t text, id int NOT NULL, large text, region int NOT NULL)"
            ),
            format!(
                "ALTER TABLE m.spread ATTACH PARTITION m.extra_{number} FOR VALUES FROM ({region}) TO ({})",
                region + 1
            ),
            format!(
                "INSERT INTO m.spread SELECT g, {region}, 'extra' FROM generate_series(1, 5) g"
            ),
        ];
        // Some are never filled.
        let sql = if self.chance.bool() {
            sql.to_vec()
        } else {
            sql[..2].to_vec()
        };
        self.run("attach", &sql).await;
        self.partitions.push(number);
    }

    /// Rows before, between and after changes, in one transaction; and some that come to nothing.
    async fn inside_a_transaction(&mut self) {
        let (number, table) = (self.new_number(), self.shifting.clone());
        let id = 500 + number;
        let step = |name: &str, what: Value| {
            let mut what = what;
            what["table"] = json!(table);
            tell(&[json!({ name: what })])
        };
        let sql = [
            format!("INSERT INTO {table} (id, a) VALUES ({id}, 'before')"),
            format!("ALTER TABLE {table} ADD COLUMN t{number} int DEFAULT 7"),
            step(
                "add_column",
                json!({"column": format!("t{number}"), "value": 7}),
            ),
            format!("UPDATE {table} SET t{number} = 8 WHERE id = {id}"),
            "SAVEPOINT s".to_owned(),
            format!("ALTER TABLE {table} DROP COLUMN a"),
            step("drop_column", json!({"column": "a"})),
            format!("UPDATE {table} SET b = 9 WHERE id < 10"),
            "ROLLBACK TO s".to_owned(),
            format!("ALTER TABLE {table} RENAME COLUMN t{number} TO u{number}"),
            step(
                "rename_column",
                json!({"column": format!("t{number}"), "to": format!("u{number}")}),
            ),
            format!("UPDATE {table} SET b = {number} WHERE id < 20"),
            format!("ALTER TABLE {table} DROP COLUMN u{number}"),
            step("drop_column", json!({"column": format!("u{number}")})),
            format!("UPDATE {table} SET a = 'after' WHERE id = {id}"),
        ];
        self.run("inside a transaction", &sql).await;
    }

    /// The rows are the same, in other places.
    async fn rewrite(&mut self) {
        self.run("rewrite", &["CLUSTER m.plain USING plain_pkey".to_owned()])
            .await;
        let vacuumed = self.client.batch_execute("VACUUM FULL m.heavy").await;
        // A writer may be faster: it is not what is tested.
        drop(vacuumed);
    }

    /// The new table joins by its name; what is written once it has is sent.
    async fn create_again(&mut self, db: &Database) {
        let drop = json!({"drop": {"table": "m.phoenix"}});
        self.run("drop", &["DROP TABLE m.phoenix".to_owned(), tell(&[drop])])
            .await;
        let create = json!({"create": {"table": "m.phoenix", "key": ["t"]}});
        let sql = [
            "CREATE TABLE m.phoenix (t text PRIMARY KEY, id int)".to_owned(),
            tell(&[create]),
        ];
        self.run("create again", &sql).await;
        let joined = format!(
            "SELECT count(*) > 0 FROM pg_publication_tables \
             WHERE pubname = '{}' AND schemaname = 'm' AND tablename = 'phoenix'",
            self.slot
        );
        eventually("published", || db.value::<bool>(&joined)).await;
        let sql = [
            "INSERT INTO m.phoenix SELECT 'risen ' || g, g FROM generate_series(1, 20) g"
                .to_owned(),
            "UPDATE m.phoenix SET t = t || '!' WHERE id > 10".to_owned(),
            "DELETE FROM m.phoenix WHERE id % 3 = 0".to_owned(),
        ];
        self.run("fill again", &sql).await;
    }
}
