//! The tables as the source has them: which there are, what a row is known by, what is in them.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::copy::{Copy, Row, Table};
use crate::harness::Database;
use crate::values::json::Json;

/// Tables of the schemas that are mirrored; partitions are their root's.
const TABLES: &str = "\
SELECT format('%s.%s', n.nspname, c.relname) AS name, c.oid::regclass::text AS quoted,
       c.relkind = 'p' AS is_partitioned,
       (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
        WHERE i.indrelid = c.oid
          AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END) AS key,
       array(SELECT attname::text FROM pg_attribute a
             WHERE attrelid = c.oid AND attnum > 0 AND attgenerated <> ''
               AND NOT (attgenerated = 's' AND EXISTS (
                   SELECT FROM pg_publication p WHERE to_jsonb(p) ->> 'pubgencols' = 's'))) AS generated
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname IN ('public', 'm')
ORDER BY 1";

/// What the stream's texts are written under.
const SETTINGS: &str = "SET datestyle = ISO; SET intervalstyle = postgres; SET timezone = UTC; \
    SET extra_float_digits = 1; SET bytea_output = hex; SET search_path = pg_catalog; \
    SET lc_monetary = 'C'";

struct Found {
    name: String,
    quoted: String,
    is_partitioned: bool,
    key: Option<Vec<String>>,
    /// The stream does not have them; from 18 on it may have those that are stored.
    generated: Vec<String>,
}

async fn found(client: &Client) -> Vec<Found> {
    let rows = client.query(TABLES, &[]).await.expect("the tables");
    let found = |row: &tokio_postgres::Row| Found {
        name: row.get("name"),
        quoted: row.get("quoted"),
        is_partitioned: row.get("is_partitioned"),
        key: row.get("key"),
        generated: row.get("generated"),
    };
    rows.iter().map(found).collect()
}

async fn client(db: &Database) -> Client {
    let client = db.client().await;
    client.batch_execute(SETTINGS).await.expect("the settings");
    client
}

/// A copy of tables that are all empty, with the keys that they have now.
pub async fn empty_copy(db: &Database) -> Copy {
    let found = found(&client(db).await).await;
    let tables = found.into_iter();
    let tables = tables.map(|table| (table.name, Table::keyed(table.key)));
    Copy {
        tables: tables.collect(),
        altered_at: String::new(),
    }
}

/// What `to_jsonb` says of all rows of all tables, with as many as there are.
#[track_caller]
pub fn assert_equal(db: &Database, copy: &Copy) -> impl Future<Output = usize> {
    let caller = std::panic::Location::caller();
    async move {
        let client = client(db).await;
        let mut differences = Vec::new();
        let mut count = 0;
        let mut names = Vec::new();
        for table in found(&client).await {
            let rows = rows(&client, &table).await;
            count += rows.len();
            match copy.tables.get(&table.name) {
                Some(copied) => compare(&table.name, rows, copied, &mut differences),
                None => differences.push(format!("no table {}", table.name)),
            }
            names.push(table.name);
        }
        let gone = copy.tables.keys().filter(|name| !names.contains(name));
        differences.extend(gone.map(|name| format!("a table {name} that is gone")));
        let shown = &differences[..differences.len().min(20)];
        assert!(
            differences.is_empty(),
            "{caller}: {} differences:\n{}",
            differences.len(),
            shown.join("\n")
        );
        count
    }
}

async fn rows(client: &Client, table: &Found) -> Vec<Row> {
    let only = if table.is_partitioned { "" } else { "ONLY" };
    let sql = format!(
        "SELECT to_jsonb(whole_row)::text FROM {only} {} whole_row",
        table.quoted
    );
    let rows = client.query(&sql, &[]).await;
    let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let row = |row: &tokio_postgres::Row| {
        let mut row: Row = Json::parse(row.get(0)).members().into_iter().collect();
        row.retain(|column, _| !table.generated.contains(column));
        row
    };
    rows.iter().map(row).collect()
}

fn compare(name: &str, rows: Vec<Row>, copied: &Table, differences: &mut Vec<String>) {
    let mut expected = Table::keyed(copied.key.clone());
    for row in rows {
        expected.insert(row);
    }
    let none = Vec::new();
    let (expected, got): (BTreeMap<_, _>, &BTreeMap<_, _>) = (expected.rows, &copied.rows);
    for (key, rows) in &expected {
        let copies = got.get(key).unwrap_or(&none);
        if copies == rows {
            continue;
        }
        let values = copies.first().zip(rows.first()).map(|(copy, row)| {
            let columns = row
                .iter()
                .filter(|(column, value)| copy.get(*column) != Some(value));
            let columns: Vec<_> = columns
                .map(|(column, value)| format!("{column}: {:?}, not {value:?}", copy.get(column)))
                .collect();
            columns.join(", ")
        });
        let (copies, rows) = (copies.len(), rows.len());
        let values = values.unwrap_or_default();
        differences.push(format!(
            "{name} {key:?}: {copies} copies of {rows} rows; {values}"
        ));
    }
    for (key, copies) in got.iter().filter(|(key, _)| !expected.contains_key(*key)) {
        differences.push(format!("{name}: {} copies of no row {key:?}", copies.len()));
    }
}
