//! Values: what a webhook says of a row is what `to_jsonb` says of it (P5), for every type that
//! `pg_type` of the running server has.
//!
//! Columns and values are made from `pg_type` itself, so a type that nobody thought of is there too.
//! Its exceptions: json stands in the body as it was written; a type with a value of no output
//! (`literals::WITHOUT_VALUES`) is there as a null.

mod catalog;
pub mod json;
mod literals;
mod table;

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tokio_postgres::Client;

use self::catalog::{Column, columns};
use self::json::Json;
use crate::harness::receiver::Event;
use crate::harness::{Cluster, Daemon, Database, Receiver, SOON};

/// Types of extensions, of which `pg_type` has several each.
const EXTENSIONS: &[&str] = &[
    "hstore",
    "citext",
    "ltree",
    "cube",
    "earthdistance",
    "seg",
    "isn",
    "intarray",
    "lo",
    "pg_trgm",
    "tablefunc",
    "dblink",
];

const COLUMNS_A_TABLE: usize = 40;

/// What the stream's texts are written under, for `to_jsonb` too.
const SETTINGS: &str = "SET datestyle = ISO; SET intervalstyle = postgres; SET timezone = UTC; \
    SET extra_float_digits = 1; SET bytea_output = hex; SET search_path = pg_catalog; \
    SET lc_monetary = 'C'; SET xmloption = content";

/// By column name, as it stands in the JSON.
type Row = BTreeMap<String, String>;

/// A table of some of the columns; `c0` is its first.
struct Table {
    name: String,
    columns: Vec<Column>,
}

impl Table {
    fn rows(&self) -> usize {
        let lengths = self.columns.iter().map(|column| column.values.len());
        // One more, in which all are null.
        lengths.max().unwrap_or_default() + 1
    }

    async fn create(&self, client: &Client) {
        let columns = self.columns.iter().enumerate();
        let columns: Vec<_> = columns
            .map(|(place, column)| format!("c{place} {}", column.kind))
            .collect();
        let sql = format!(
            "CREATE TABLE {0} (id int PRIMARY KEY, {1}); ALTER TABLE {0} REPLICA IDENTITY FULL",
            self.name,
            columns.join(", ")
        );
        done(client, &sql).await;
    }

    /// The values of row `id`, those that run out being null.
    fn values(&self, id: usize) -> Vec<String> {
        let value = |column: &Column| match column.values.get(id) {
            Some(value) => value.clone(),
            None => null_of(column),
        };
        self.columns.iter().map(value).collect()
    }

    async fn insert(&self, client: &Client) {
        for id in 0..self.rows() {
            let values = self.values(id).join(", ");
            done(
                client,
                &format!("INSERT INTO {} VALUES ({id}, {values})", self.name),
            )
            .await;
        }
    }

    /// Gives every row the values of the one after it.
    async fn update(&self, client: &Client) {
        for id in 0..self.rows() {
            let values = self.values((id + 1) % self.rows());
            let set = values.iter().enumerate();
            let set: Vec<_> = set
                .map(|(place, value)| format!("c{place} = {value}"))
                .collect();
            let set = set.join(", ");
            done(
                client,
                &format!("UPDATE {} SET {set} WHERE id = {id}", self.name),
            )
            .await;
        }
    }

    /// What Postgres says of the rows, by `id`.
    async fn says(&self, client: &Client) -> Vec<Row> {
        let says = |(place, column): (usize, &Column)| match column.kind.as_str() {
            "json" => format!("coalesce(c{place}::text, 'null')"),
            // Made by the rules of to_jsonb, but from the text of what is json in it.
            _ if column.has_json => format!("coalesce(to_json(c{place})::text, 'null')"),
            _ => format!("coalesce(to_jsonb(c{place})::text, 'null')"),
        };
        let says: Vec<_> = self.columns.iter().enumerate().map(says).collect();
        let sql = format!("SELECT {} FROM {} ORDER BY id", says.join(", "), self.name);
        let rows = client.query(&sql, &[]).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let row = |row: &tokio_postgres::Row| {
            let values = (0..self.columns.len()).map(|place| (format!("c{place}"), row.get(place)));
            values.collect()
        };
        rows.iter().map(row).collect()
    }

    /// Appends each column of which the row says something else than Postgres does.
    fn compare(&self, place: &str, got: &Row, expected: &Row, differences: &mut Vec<String>) {
        for (name, expected) in expected {
            let column: usize = name.trim_start_matches('c').parse().expect("a number");
            let kind = &self.columns[column].kind;
            let same = match got.get(name) {
                None => false,
                // Of a document nothing may be changed, not even its blanks.
                Some(got) if kind == "json" => got == expected.trim(),
                Some(got) => got == expected || Json::parse(got) == Json::parse(expected),
            };
            if !same {
                let got = got.get(name).map_or("nothing", String::as_str);
                differences.push(format!(
                    "{kind} ({place}): {} in place of {}",
                    short(got),
                    short(expected)
                ));
            }
        }
    }
}

/// Of a domain that refuses nulls there is none.
fn null_of(column: &Column) -> String {
    match column.kind.as_str() {
        "made.flag" => column.values[0].clone(),
        _ => "NULL".to_owned(),
    }
}

fn short(text: &str) -> String {
    text.chars().take(300).collect()
}

async fn done(client: &Client, sql: &str) {
    if let Err(error) = client.batch_execute(sql).await {
        panic!("{}: {error:?}", short(sql));
    }
}

async fn create_extensions(db: &Database) {
    let client = db.client().await;
    for extension in EXTENSIONS {
        let sql = format!("CREATE EXTENSION {extension} SCHEMA public");
        let created = client.batch_execute(&sql).await;
        created.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
}

/// `data` or `previous`, each value as it came.
fn row(event: &Event, part: &str) -> Row {
    let body: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&event.text).unwrap();
    let row: BTreeMap<String, Box<RawValue>> = serde_json::from_str(body[part].get()).unwrap();
    let values = row
        .iter()
        .map(|(name, value)| (name.clone(), value.get().to_owned()));
    values.filter(|(name, _)| name != "id").collect()
}

fn id(event: &Event) -> usize {
    let body: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&event.text).unwrap();
    let row: BTreeMap<String, Box<RawValue>> = serde_json::from_str(body["data"].get()).unwrap();
    row["id"].get().parse().expect("a number")
}

#[tokio::test]
async fn every_type_that_can_be_a_column_is_what_to_jsonb_says() {
    let db = Cluster::shared().await.database().await;
    create_extensions(&db).await;
    db.sql(include_str!("made.sql")).await;
    let client = db.client().await;
    done(&client, SETTINGS).await;
    let found = columns(&client).await;
    assert_eq!(
        found.without_values,
        Vec::<String>::new(),
        "types without a value"
    );
    eprintln!(
        "{} types, {} values",
        found.columns.len(),
        found
            .columns
            .iter()
            .map(|column| column.values.len())
            .sum::<usize>()
    );
    let chunks = found.columns.chunks(COLUMNS_A_TABLE).enumerate();
    let tables: Vec<Table> = chunks
        .map(|(number, columns)| Table {
            name: format!("public.v{number}"),
            columns: columns.to_vec(),
        })
        .collect();
    for table in &tables {
        table.create(&client).await;
    }

    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint("r", &receiver).table(
        "public.v*",
        "to: r\nevents: { insert: made, update: changed, delete: gone }",
    );
    let daemon = daemon.start().await;
    let mut differences = Vec::new();
    for table in &tables {
        table.insert(&client).await;
        let before = table.says(&client).await;
        table.update(&client).await;
        let after = table.says(&client).await;
        done(&client, &format!("DELETE FROM {}", table.name)).await;
        let of_table = |events: &[Event]| -> Vec<Event> {
            let of_table = events.iter().filter(|event| event.table == table.name);
            of_table.cloned().collect()
        };
        let all = |events: &[Event]| of_table(events).len() == 3 * table.rows();
        for event in of_table(&receiver.wait_until(all, SOON).await) {
            let id = id(&event);
            let (data, previous) = match event.operation.as_str() {
                "insert" => (&before[id], None),
                "update" => (&after[id], Some(&before[id])),
                _ => (&after[id], None),
            };
            let place = format!("data, {} of row {id}", event.operation);
            table.compare(&place, &row(&event, "data"), data, &mut differences);
            if let Some(previous) = previous {
                let place = format!("previous, {} of row {id}", event.operation);
                table.compare(&place, &row(&event, "previous"), previous, &mut differences);
            }
        }
    }
    differences.sort();
    let count = differences.len();
    assert!(
        differences.is_empty(),
        "{count} differences:\n{}",
        differences.join("\n")
    );
    let misfits = daemon
        .metrics()
        .await
        .sum("walhook_value_misfits_total", &[]);
    assert_eq!(
        misfits, 0.0,
        "values that did not have the form of their type"
    );
}
