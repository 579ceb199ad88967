//! Brings a state file to this version, a step at a time.
//!
//! A released step is never edited; a change of the schema is a new step. There
//! is no way back: a file of a newer version is refused.

use rusqlite::{Connection, TransactionBehavior};

/// `PRAGMA application_id` of a state file: `walh`.
pub(in crate::store) const APPLICATION_ID: u32 = u32::from_be_bytes(*b"walh");

/// Step `n` leads from version `n` to version `n + 1`.
const STEPS: [&str; 1] = [include_str!("0001.sql")];

/// `PRAGMA user_version` of a file that this code can use.
pub(in crate::store) const VERSION: i64 = STEPS.len() as i64;

/// Tables that are small whatever waits, and without which nothing can be said
/// about the place in the WAL.
pub(in crate::store) const SMALL_TABLES: [&str; 7] = [
    "slot",
    "lane_position",
    "journal",
    "table_rules",
    "endpoint",
    "gap",
    "tally",
];

pub(in crate::store) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// From `version`, which is at most [`VERSION`]. A step that fails leaves the
/// file at the version before it.
pub(in crate::store) fn migrate(connection: &mut Connection, version: i64) -> rusqlite::Result<()> {
    for (step, sql) in (0..).zip(STEPS).skip_while(|(step, _)| *step < version) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", step + 1)?;
        transaction.commit()?;
    }
    Ok(())
}
