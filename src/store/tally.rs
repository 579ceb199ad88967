//! How much waits and is dead, by endpoint and table: gauges, cheap to read.

use crate::change::TableName;

use super::connection::{Store, find_slot};
use super::error::StoreError;
use super::slot::collect;

/// Events and the bytes of their bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Amount {
    pub events: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    pub endpoint: String,
    pub table: TableName,
    pub waiting: Amount,
    pub dead: Amount,
    /// Dead letters that a person told to retry and that are not delivered yet.
    pub retrying: Amount,
}

impl Store {
    /// Of endpoints and tables that had any once, also where all is 0 now.
    pub fn counts(&mut self, slot: &str) -> Result<Vec<Tally>, StoreError> {
        self.read("read counts", |connection| {
            let Some(id) = find_slot(connection, slot)? else {
                return Ok(Vec::new());
            };
            collect(
                connection,
                "SELECT endpoint, table_schema, table_name, waiting_events, waiting_bytes,
                   dead_events, dead_bytes, retrying_events, retrying_bytes
                 FROM tally WHERE slot = ?1 ORDER BY endpoint, table_schema, table_name",
                [id],
                |row| {
                    let amount = |index| {
                        Ok::<_, rusqlite::Error>(Amount {
                            events: row.get::<_, i64>(index)?.cast_unsigned(),
                            bytes: row.get::<_, i64>(index + 1)?.cast_unsigned(),
                        })
                    };
                    Ok(Tally {
                        endpoint: row.get(0)?,
                        table: TableName::new(row.get::<_, String>(1)?, row.get::<_, String>(2)?),
                        waiting: amount(3)?,
                        dead: amount(5)?,
                        retrying: amount(7)?,
                    })
                },
            )
        })
    }
}
