//! Dead letters on their way out again.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Row, params};

use crate::change::TableName;
use crate::event::{EventId, Fate, Position};
use crate::store::connection::{Store, find_slot};
use crate::store::error::{Fault, StoreError};
use crate::store::slot::position_at;
use crate::store::stored_event::{StoredEvent, keys_from_bytes, operation_from_text};

/// How far the letters to retry were read: the position, and the number of the
/// letter for those that share one (of another history of the cluster).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RetryCursor {
    pub position: Position,
    pub id: i64,
}

/// A dead letter that is to be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryingEvent {
    pub cursor: RetryCursor,
    pub lane: String,
    /// Before this retry.
    pub attempts: u32,
    pub event: StoredEvent,
}

impl Store {
    /// The next letters to retry in order of position: at most `events_max`, and
    /// no further ones once their bodies are `bytes_max` together.
    pub fn retrying(
        &mut self,
        slot: &str,
        endpoint: &str,
        after: Option<RetryCursor>,
        events_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<RetryingEvent>, StoreError> {
        self.read("read dead letters to retry", |connection| {
            let Some(slot) = find_slot(connection, slot)? else {
                return Ok(Vec::new());
            };
            let after = after.unwrap_or(RetryCursor {
                position: Position::default(),
                id: 0,
            });
            let mut select = connection.prepare_cached(
                "SELECT id, lsn, ordinal, n, lane, attempts, event_id, event_type, table_schema,
                   table_name, operation, last_of_change, keys, commit_time_us, body
                 FROM dead WHERE slot = ?1 AND endpoint = ?2 AND state = 'retrying'
                   AND (lsn, ordinal, n, id) > (?3, ?4, ?5, ?6)
                 ORDER BY lsn, ordinal, n, id",
            )?;
            let mut rows = select.query(params![
                slot,
                endpoint,
                after.position.lsn.0.cast_signed(),
                after.position.ordinal.cast_signed(),
                after.position.n,
                after.id,
            ])?;
            let mut events = Vec::new();
            let mut bytes = 0;
            while events.len() < events_max && bytes < bytes_max {
                let Some(row) = rows.next()? else { break };
                let event = retrying_event(row)?.ok_or(Fault::Unreadable("dead letter"))?;
                bytes += event.event.body.len();
                events.push(event);
            }
            Ok(events)
        })
    }

    /// Those of `ids` that a person dropped, or that are dead again.
    pub fn no_longer_retrying(
        &mut self,
        slot: &str,
        endpoint: &str,
        mut ids: Vec<EventId>,
    ) -> Result<Vec<EventId>, StoreError> {
        self.read("read dead letters to retry", |connection| {
            let Some(slot) = find_slot(connection, slot)? else {
                return Ok(ids);
            };
            let mut select = connection.prepare_cached(
                "SELECT 1 FROM dead
                 WHERE slot = ?1 AND endpoint = ?2 AND event_id = ?3 AND state = 'retrying'",
            )?;
            let mut failed = None;
            ids.retain(|id| match select.exists(params![slot, endpoint, id.0]) {
                Ok(is_there) => !is_there,
                Err(error) => {
                    failed = Some(error);
                    false
                }
            });
            match failed {
                Some(error) => Err(error.into()),
                None => Ok(ids),
            }
        })
    }
}

/// `None`: a value that this code would not have written.
fn retrying_event(row: &Row<'_>) -> rusqlite::Result<Option<RetryingEvent>> {
    let position = position_at(row, 1)?;
    let operation = operation_from_text(row.get_ref(10)?.as_str()?);
    let keys = keys_from_bytes(row.get_ref(12)?.as_blob()?);
    let Some((operation, keys)) = operation.zip(keys) else {
        return Ok(None);
    };
    Ok(Some(RetryingEvent {
        cursor: RetryCursor {
            position,
            id: row.get(0)?,
        },
        lane: row.get(4)?,
        attempts: row.get(5)?,
        event: StoredEvent {
            id: EventId(row.get(6)?),
            event_type: Arc::from(row.get_ref(7)?.as_str()?),
            table: Arc::new(TableName::new(
                row.get::<_, String>(8)?,
                row.get::<_, String>(9)?,
            )),
            operation,
            position,
            last_of_change: row.get(11)?,
            keys,
            fate: Fate::Deliver,
            commit_time_us: row.get(13)?,
            body: Bytes::from(row.get::<_, Vec<u8>>(14)?),
        },
    }))
}
