//! What is looked at every few seconds; it costs the server next to nothing.

use std::collections::BTreeMap;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::catalog::{Name, QueryError, lsn, name, read};
use super::slot::{self, OpenTransaction, SlotFacts};
use crate::change::TableName;
use crate::lsn::Lsn;

/// One look at the database.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Retained WAL, `safe_wal_size`, `wal_status`, invalidation; `None`: the slot is gone.
    pub slot: Option<SlotFacts>,
    /// The end of the WAL.
    pub flush_lsn: Lsn,
    /// `max_slot_wal_keep_size`; `None`: unlimited.
    pub wal_keep_bytes: Option<u64>,
    /// Differs when a table, a key, a publication or a published column was created, altered or
    /// dropped.
    pub catalog: String,
}

/// Row versions are numbered by their transactions, so that a sum over them changes with
/// nearly any DDL. What it misses the minute's look finds.
const OBSERVED: &str = "
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_flush_lsn() END AS flush_lsn,
       (SELECT setting::int8 FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS keep_mb,
       concat_ws(' ',
         (SELECT concat(count(*), ',', sum(xmin::text::int8), ',', sum(oid::int8)) FROM pg_class
          WHERE relkind IN ('r', 'p') AND relpersistence <> 't'),
         (SELECT concat(count(*), ',', sum(xmin::text::int8)) FROM pg_index WHERE indisunique),
         (SELECT concat(count(*), ',', sum(xmin::text::int8)) FROM pg_namespace),
         (SELECT concat(count(*), ',', sum(xmin::text::int8)) FROM pg_publication),
         (SELECT concat(count(*), ',', sum(xmin::text::int8)) FROM pg_publication_rel),
         -- The new name of a column stands here alone.
         (SELECT concat(count(*), ',', sum(xmin::text::int8)) FROM pg_attribute
          WHERE attnum > 0 AND attrelid IN (SELECT prrelid FROM pg_publication_rel))
       ) AS catalog";

/// Looks at the slot, the open transactions, and whether the catalog has changed.
pub async fn observe(client: &Client, slot: &str) -> Result<Observed, QueryError> {
    let action = "look at the server";
    let mut rows = read(client, action, OBSERVED, &[], from_row).await?;
    let (flush_lsn, wal_keep_bytes, catalog) = rows.pop().unwrap_or_default();
    Ok(Observed {
        slot: slot::slot(client, slot).await?,
        flush_lsn,
        wal_keep_bytes,
        catalog,
    })
}

/// The open write transaction that pins the WAL kept for the slot. It reads the table of
/// locks, which is not to be done every few seconds.
pub async fn oldest_transaction(client: &Client) -> Result<Option<OpenTransaction>, QueryError> {
    let open = slot::blockers(client).await?;
    Ok(open.into_iter().next())
}

fn from_row(row: &Row) -> Result<(Lsn, Option<u64>, String), tokio_postgres::Error> {
    let keep_mb: Option<i64> = row.try_get("keep_mb")?;
    // -1: unlimited
    let keep_mb = keep_mb.and_then(|mb| u64::try_from(mb).ok());
    Ok((
        lsn(row, "flush_lsn")?.unwrap_or_default(),
        keep_mb.map(|mb| mb << 20),
        row.try_get("catalog")?,
    ))
}

/// What tables and schemas are called now, by OID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// One that is missing was dropped.
    pub tables: BTreeMap<u32, TableName>,
    pub schemas: BTreeMap<u32, String>,
}

const NAMES: &str = "
SELECT c.oid, n.oid AS schema_oid, n.nspname::text AS schema, c.relname::text AS name
FROM pg_namespace n
LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.oid = ANY ($1)";

/// The names of the tables with these OIDs.
pub async fn names(client: &Client, oids: &[u32]) -> Result<Names, QueryError> {
    let parameters = [(&oids as &(dyn ToSql + Sync), Type::OID_ARRAY)];
    let rows = read(
        client,
        "read the tables' names",
        NAMES,
        &parameters,
        |row| {
            let oid: Option<u32> = row.try_get("oid")?;
            let table: Option<Name> = row.try_get("name")?;
            let schema: (u32, String) = (row.try_get("schema_oid")?, name(row, "schema")?);
            Ok((oid.zip(table), schema))
        },
    );
    let mut names = Names::default();
    for (table, (schema_oid, schema)) in rows.await? {
        if let Some((oid, table)) = table {
            let name = TableName::new(&schema, &table.text);
            names.tables.insert(oid, name);
        }
        names.schemas.insert(schema_oid, schema);
    }
    Ok(names)
}
