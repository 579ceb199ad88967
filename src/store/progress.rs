//! One commit of progress: everything that became true since the last one.
//!
//! ```text
//! positions, dead letters, waiting runs, gaps, journal, checkpoint
//!      `- all in one transaction, fsynced; only then may Postgres be told
//! ```

use rusqlite::{Connection, OptionalExtension, params};

use super::connection::{Store, slot_id};
use super::dead::{NewDeadLetter, insert_dead};
use super::error::{Fault, StoreError};
use super::gap::{Gap, upsert_gap};
use super::journal::append_journal;
use super::slot::{Checkpoint, JournalEntry, LanePosition};
use super::spool::{RunProgress, settle_runs};
use crate::change::TableName;
use crate::lsn::Lsn;

/// What is to be made durable together. Parts that did not change stay empty.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub slot: String,
    /// Never lower than the one before. With it go the positions below it that
    /// belong to endpoints that are not disabled.
    pub checkpoint: Option<Checkpoint>,
    /// Those that changed.
    pub positions: Vec<LanePosition>,
    /// Transactions since the last commit, lowest commit LSN first: those below the
    /// checkpoint, and of those above it the ones that `positions` stand in.
    pub journal: Vec<JournalEntry>,
    /// Events that `positions` or `runs` pass.
    pub dead: Vec<NewDeadLetter>,
    /// Waiting events that were settled.
    pub runs: Vec<RunProgress>,
    pub gaps: Vec<Gap>,
    /// Hashes of what tells rows apart, by [`of_key`] of the table.
    pub keys: Vec<(String, u64)>,
}

/// The name under which a table's key is on record beside the rules' hashes.
pub fn of_key(table: &TableName) -> String {
    format!("key {table}")
}

impl Progress {
    pub fn of(slot: impl Into<String>) -> Self {
        Progress {
            slot: slot.into(),
            ..Progress::default()
        }
    }
}

impl Store {
    pub fn commit(&mut self, progress: &Progress) -> Result<(), StoreError> {
        let action = if progress.dead.is_empty() {
            "write progress"
        } else {
            "park dead letters"
        };
        self.write(action, |connection| apply(connection, progress))
    }

    /// [`commit`](Store::commit) of dead letters and the positions that pass them.
    #[cfg(test)]
    pub fn park(
        &mut self,
        slot: &str,
        dead: Vec<NewDeadLetter>,
        positions: Vec<LanePosition>,
    ) -> Result<(), StoreError> {
        self.commit(&Progress {
            dead,
            positions,
            ..Progress::of(slot)
        })
    }

    /// What tells rows apart. When it has changed, a lane of rows has other rows than those
    /// whose place is known, so its place is forgotten: it stands at the checkpoint.
    pub fn keys_are(&mut self, slot: &str, keys: &str, hash: u64) -> Result<(), StoreError> {
        self.write("write the keys' hash", |connection| {
            let slot = slot_id(connection, slot)?;
            let known: Option<i64> = connection
                .query_row(
                    "SELECT hash FROM table_rules WHERE slot = ?1 AND table_name = ?2",
                    params![slot, keys],
                    |row| row.get(0),
                )
                .optional()?;
            if known.is_some_and(|known| known != hash.cast_signed()) {
                connection.execute(
                    "DELETE FROM lane_position WHERE slot = ?1 AND lane LIKE 'key %'",
                    [slot],
                )?;
            }
            write_hash(connection, slot, keys, hash)
        })
    }

    /// The rules have changed, so the number of a change's events that a lane has passed
    /// means nothing any more: lanes that stand inside a change stand before it.
    pub fn rules_changed(&mut self, slot: &str, rules: &str, hash: u64) -> Result<(), StoreError> {
        self.write("write the rules' hash", |connection| {
            let slot = slot_id(connection, slot)?;
            connection.execute("UPDATE lane_position SET n = 0 WHERE slot = ?1", [slot])?;
            write_hash(connection, slot, rules, hash)
        })
    }
}

fn apply(connection: &Connection, progress: &Progress) -> Result<(), Fault> {
    let slot = slot_id(connection, &progress.slot)?;
    for position in &progress.positions {
        upsert_position(connection, slot, position)?;
    }
    for letter in &progress.dead {
        insert_dead(connection, slot, letter)?;
    }
    settle_runs(connection, slot, &progress.runs)?;
    for (of, hash) in &progress.keys {
        write_hash(connection, slot, of, *hash)?;
    }
    for gap in &progress.gaps {
        upsert_gap(connection, slot, gap)?;
    }
    if let Some(checkpoint) = &progress.checkpoint {
        refuse_to_go_back(connection, slot, &progress.slot, checkpoint.lsn)?;
        write_checkpoint(connection, slot, checkpoint)?;
        remove_passed_positions(connection, slot, checkpoint.lsn)?;
    }
    append_journal(connection, slot, &progress.journal)
}

fn write_hash(connection: &Connection, slot: i64, of: &str, hash: u64) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO table_rules (slot, table_name, hash) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET hash = excluded.hash",
        )?
        .execute(params![slot, of, hash.cast_signed()])?;
    Ok(())
}

/// A lane does not go back: what the checkpoint knows of it may be older than what was
/// written to the spool meanwhile.
pub(super) fn upsert_position(
    connection: &Connection,
    slot: i64,
    lane: &LanePosition,
) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO lane_position
               (slot, endpoint, lane, lsn, ordinal, n, first_attempt_at_ms, attempts)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET lsn = excluded.lsn, ordinal = excluded.ordinal,
               n = excluded.n, first_attempt_at_ms = excluded.first_attempt_at_ms,
               attempts = excluded.attempts
             WHERE (excluded.lsn, excluded.ordinal, excluded.n) >= (lsn, ordinal, n)",
        )?
        .execute(params![
            slot,
            lane.endpoint,
            lane.lane,
            lane.position.lsn.0.cast_signed(),
            lane.position.ordinal.cast_signed(),
            lane.position.n,
            lane.first_attempt_at_ms,
            lane.attempts,
        ])?;
    Ok(())
}

fn refuse_to_go_back(
    connection: &Connection,
    slot: i64,
    name: &str,
    given: Lsn,
) -> Result<(), Fault> {
    let stored: Option<i64> = connection
        .prepare_cached("SELECT checkpoint_lsn FROM slot WHERE id = ?1")?
        .query_row([slot], |row| row.get(0))?;
    match stored.map(|lsn| Lsn(lsn.cast_unsigned())) {
        Some(stored) if given < stored => Err(Fault::CheckpointBehind {
            slot: name.to_owned(),
            stored,
            given,
        }),
        _ => Ok(()),
    }
}

pub(super) fn write_checkpoint(
    connection: &Connection,
    slot: i64,
    checkpoint: &Checkpoint,
) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "UPDATE slot SET system_identifier = ?2, timeline = ?3, checkpoint_lsn = ?4,
               checkpoint_at_ms = ?5 WHERE id = ?1",
        )?
        .execute(params![
            slot,
            checkpoint.system_identifier.cast_signed(),
            checkpoint.timeline,
            checkpoint.lsn.0.cast_signed(),
            checkpoint.written_at_ms,
        ])?;
    Ok(())
}

/// A lane without a position stands at the checkpoint, so one below it says nothing.
fn remove_passed_positions(connection: &Connection, slot: i64, lsn: Lsn) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "DELETE FROM lane_position WHERE slot = ?1 AND lsn < ?2 AND endpoint NOT IN
               (SELECT name FROM endpoint WHERE slot = ?1 AND disabled_by IS NOT NULL)",
        )?
        .execute(params![slot, lsn.0.cast_signed()])?;
    Ok(())
}
