//! Dead letters in, and out again once they are delivered.

use rusqlite::{Connection, params};

use super::letter::{NewDeadLetter, Verdict};
use crate::event::EventId;
use crate::store::connection::{Store, find_slot};
use crate::store::error::{Fault, StoreError};
use crate::store::stored_event::keys_to_bytes;

/// An event that is dead already, or was being retried, keeps its number and is
/// dead again with the new verdict: a crash between parking and the checkpoint
/// makes no second letter.
pub(in crate::store) fn insert_dead(
    connection: &Connection,
    slot: i64,
    letter: &NewDeadLetter,
) -> Result<(), Fault> {
    let (event, verdict) = (&letter.event, &letter.verdict);
    connection
        .prepare_cached(
            "INSERT INTO dead (slot, history, endpoint, event_id, event_type, table_schema,
               table_name, operation, lane, keys, lsn, ordinal, n, last_of_change,
               commit_time_us, state, reason, parked_at_ms, first_attempt_at_ms, attempts,
               last_status, last_error, bytes, answer, body)
             VALUES (?1, (SELECT history FROM slot WHERE id = ?1), ?2, ?3, ?4, ?5, ?6, ?7, ?8,
               ?9, ?10, ?11, ?12, ?13, ?14, 'dead', ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)
             ON CONFLICT (slot, endpoint, event_id) DO UPDATE SET state = 'dead',
               reason = excluded.reason, parked_at_ms = excluded.parked_at_ms,
               first_attempt_at_ms =
                 coalesce(first_attempt_at_ms, excluded.first_attempt_at_ms),
               attempts = excluded.attempts, last_status = excluded.last_status,
               last_error = excluded.last_error, answer = excluded.answer",
        )?
        .execute(params![
            slot,
            letter.endpoint,
            event.id.0,
            &*event.event_type,
            event.table.schema,
            event.table.table,
            event.operation.as_str(),
            letter.lane,
            keys_to_bytes(event.keys),
            event.position.lsn.0.cast_signed(),
            event.position.ordinal.cast_signed(),
            event.position.n,
            event.last_of_change,
            event.commit_time_us,
            verdict.reason.as_str(),
            verdict.parked_at_ms,
            verdict.first_attempt_at_ms,
            verdict.attempts,
            verdict.last_status,
            verdict.last_error(),
            i64::try_from(event.body.len()).unwrap_or(i64::MAX),
            verdict.answer(),
            &*event.body,
        ])?;
    Ok(())
}

impl Store {
    /// Removes letters that were delivered after all. Returns how many there were.
    pub fn dead_delivered(
        &mut self,
        slot: &str,
        endpoint: &str,
        ids: &[EventId],
    ) -> Result<u64, StoreError> {
        self.write("remove delivered dead letters", |connection| {
            let Some(slot) = find_slot(connection, slot)? else {
                return Ok(0);
            };
            let mut delete = connection.prepare_cached(
                "DELETE FROM dead WHERE slot = ?1 AND endpoint = ?2 AND event_id = ?3",
            )?;
            ids.iter().try_fold(0, |count, id| {
                Ok(count + delete.execute(params![slot, endpoint, id.0])? as u64)
            })
        })
    }

    /// The retry of a letter failed, too: its attempts add to those before. Returns whether the letter is still
    /// there: it may have been dropped meanwhile.
    pub fn dead_again(
        &mut self,
        slot: &str,
        endpoint: &str,
        id: EventId,
        verdict: &Verdict,
    ) -> Result<bool, StoreError> {
        self.write("put back a dead letter", |connection| {
            let Some(slot) = find_slot(connection, slot)? else {
                return Ok(false);
            };
            let changed = connection
                .prepare_cached(
                    "UPDATE dead SET state = 'dead', reason = ?4, parked_at_ms = ?5,
                       first_attempt_at_ms = coalesce(first_attempt_at_ms, ?6),
                       attempts = attempts + ?7, last_status = ?8, last_error = ?9, answer = ?10
                     WHERE slot = ?1 AND endpoint = ?2 AND event_id = ?3",
                )?
                .execute(params![
                    slot,
                    endpoint,
                    id.0,
                    verdict.reason.as_str(),
                    verdict.parked_at_ms,
                    verdict.first_attempt_at_ms,
                    verdict.attempts,
                    verdict.last_status,
                    verdict.last_error(),
                    verdict.answer(),
                ])?;
            Ok(changed > 0)
        })
    }
}
