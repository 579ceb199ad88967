//! What the file knows of a slot: its place in the WAL and that of every lane.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::connection::{Store, find_slot, slot_id};
use super::endpoint::{EndpointRow, endpoints_of};
use super::error::{Fault, StoreError};
use super::gap::{Gap, upsert_gap};
use super::journal::journal;
use super::progress::{upsert_position, write_checkpoint};
use crate::event::Position;
use crate::lsn::Lsn;
use crate::progress::tracker::{JOURNAL_LENGTH, ReadKind};

/// A slot that we were about to create. One that is found beside it, without a
/// checkpoint, is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intention {
    pub system_identifier: u64,
    pub lsn: Lsn,
}

/// Up to where everything is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub system_identifier: u64,
    pub timeline: u32,
    /// A commit's end, or a keepalive's position when nothing was open.
    pub lsn: Lsn,
    /// By a clock that may have been wrong.
    pub written_at_ms: i64,
}

/// How far a lane is, and how its head fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanePosition {
    pub endpoint: String,
    pub lane: String,
    pub position: Position,
    /// Of the event that heads the lane. By a clock that may have been wrong.
    pub first_attempt_at_ms: Option<i64>,
    pub attempts: u32,
}

/// A transaction that was read, or a message that is not transactional, to recognise the history by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    pub kind: ReadKind,
    pub commit_lsn: Lsn,
    /// Of a message its hash.
    pub xid: u32,
    /// Microseconds since 2000-01-01 UTC; 0 of a message.
    pub commit_time_us: i64,
}

/// All that a start needs. Of a slot that the file does not know, nothing.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SlotState {
    /// Random; another one since `adopt`.
    pub history: Option<i64>,
    pub intention: Option<Intention>,
    pub checkpoint: Option<Checkpoint>,
    /// What `skip` or `adopt` wrote: START is there while the slot's own position is lower.
    pub start: Option<Lsn>,
    /// A lane without one stands at the checkpoint.
    pub positions: Vec<LanePosition>,
    /// By commit LSN, lowest first. Below the checkpoint the last
    /// [`JOURNAL_LENGTH`] transactions, from it
    /// on those that a lane stands in.
    pub journal: Vec<JournalEntry>,
    /// Between it and the checkpoint no transaction was sent that the journal lacks.
    pub journal_from: Option<Lsn>,
    /// Where the server's history was found to be another one than the journal's.
    pub differs: Option<Lsn>,
    /// Only those whose state was ever set; any other is enabled.
    pub endpoints: Vec<EndpointRow>,
    /// Hash of a table's rules, by the table's name as it was committed.
    pub rules: HashMap<String, u64>,
}

/// What becomes of the history when a person decides to go on elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// `skip`: the same WAL, further on.
    Same,
    /// `adopt`: LSNs kept so far do not compare with those to come.
    New,
}

impl Store {
    pub fn load(&mut self, slot: &str) -> Result<SlotState, StoreError> {
        self.read("read the slot", |connection| {
            match find_slot(connection, slot)? {
                Some(id) => load(connection, id),
                None => Ok(SlotState::default()),
            }
        })
    }

    /// The slots that the file knows, by name.
    pub fn slots(&mut self) -> Result<Vec<String>, StoreError> {
        self.read("list slots", |connection| {
            collect(
                connection,
                "SELECT name FROM slot ORDER BY name",
                [],
                |row| row.get(0),
            )
        })
    }

    /// To be called before the slot is created.
    pub fn intend(
        &mut self,
        slot: &str,
        system_identifier: u64,
        lsn: Lsn,
    ) -> Result<(), StoreError> {
        self.write("write the intention", |connection| {
            let id = slot_id(connection, slot)?;
            connection.execute(
                "UPDATE slot SET intended_system = ?2, intended_lsn = ?3,
                   journal_from = iif(checkpoint_lsn IS NULL, ?3, journal_from)
                 WHERE id = ?1",
                params![id, system_identifier.cast_signed(), lsn.0.cast_signed()],
            )?;
            Ok(())
        })
    }

    /// Goes on at `checkpoint`, which may be lower than the one before it
    /// (`adopt` and `skip`): without positions and journal, and with the next
    /// start at the checkpoint. What waits or is dead stays.
    pub fn go_on_at(
        &mut self,
        slot: &str,
        checkpoint: &Checkpoint,
        history: History,
        gaps: &[Gap],
    ) -> Result<(), StoreError> {
        self.write("write the checkpoint", |connection| {
            let id = slot_id(connection, slot)?;
            connection.execute("DELETE FROM lane_position WHERE slot = ?1", [id])?;
            connection.execute("DELETE FROM journal WHERE slot = ?1", [id])?;
            if history == History::New {
                connection.execute("UPDATE slot SET history = random() WHERE id = ?1", [id])?;
            }
            write_checkpoint(connection, id, checkpoint)?;
            connection.execute(
                "UPDATE slot SET start_lsn = ?2, journal_from = ?2, differs_lsn = NULL
                 WHERE id = ?1",
                params![id, checkpoint.lsn.0.cast_signed()],
            )?;
            gaps.iter()
                .try_for_each(|gap| upsert_gap(connection, id, gap))
        })
    }

    /// The server's history is another one than the journal's from `lsn` on: kept for
    /// `adopt`, which tells what no longer exists. `None`: that is not known any more.
    pub fn differs(&mut self, slot: &str, lsn: Option<Lsn>) -> Result<(), StoreError> {
        self.write("write where the history differs", |connection| {
            let id = slot_id(connection, slot)?;
            connection.execute(
                "UPDATE slot SET differs_lsn = ?2 WHERE id = ?1",
                params![id, lsn.map(|lsn| lsn.0.cast_signed())],
            )?;
            Ok(())
        })
    }

    /// Puts an endpoint's lanes in the place of its old ones (`order` or
    /// `key_lanes` changed).
    pub fn replace_lanes(
        &mut self,
        slot: &str,
        endpoint: &str,
        positions: &[LanePosition],
    ) -> Result<(), StoreError> {
        self.write("replace lanes", |connection| {
            let id = slot_id(connection, slot)?;
            connection.execute(
                "DELETE FROM lane_position WHERE slot = ?1 AND endpoint = ?2",
                params![id, endpoint],
            )?;
            positions
                .iter()
                .try_for_each(|position| upsert_position(connection, id, position))
        })
    }

    /// Forgets the slot with all that waits and is dead. Returns whether it was known.
    pub fn remove_slot(&mut self, slot: &str) -> Result<bool, StoreError> {
        self.write("remove the slot", |connection| {
            let Some(id) = find_slot(connection, slot)? else {
                return Ok(false);
            };
            for table in [
                "run",
                "dead",
                "tally",
                "gap",
                "endpoint",
                "table_rules",
                "journal",
                "lane_position",
            ] {
                connection.execute(&format!("DELETE FROM {table} WHERE slot = ?1"), [id])?;
            }
            connection.execute("DELETE FROM slot WHERE id = ?1", [id])?;
            Ok(true)
        })
    }
}

fn load(connection: &Connection, id: i64) -> Result<SlotState, Fault> {
    let mut state = connection
        .query_row(
            "SELECT history, intended_system, intended_lsn, system_identifier, timeline,
               checkpoint_lsn, checkpoint_at_ms, start_lsn, journal_from, differs_lsn
             FROM slot WHERE id = ?1",
            [id],
            slot_state,
        )
        .optional()?
        .unwrap_or_default();
    state.positions = collect(
        connection,
        "SELECT endpoint, lane, lsn, ordinal, n, first_attempt_at_ms, attempts
         FROM lane_position WHERE slot = ?1 ORDER BY endpoint, lane",
        [id],
        |row| {
            Ok(LanePosition {
                endpoint: row.get(0)?,
                lane: row.get(1)?,
                position: position_at(row, 2)?,
                first_attempt_at_ms: row.get(5)?,
                attempts: row.get(6)?,
            })
        },
    )?;
    state.journal = journal(connection, id)?;
    let checkpoint = state.checkpoint.map_or(Lsn::ZERO, |found| found.lsn);
    let below = state.journal.partition_point(|entry| {
        (entry.commit_lsn, entry.kind) < (checkpoint, ReadKind::Transaction)
    });
    if below >= JOURNAL_LENGTH {
        // It may have been cut to its length.
        let first = state.journal.first().map(|entry| entry.commit_lsn);
        state.journal_from = state.journal_from.max(first);
    }
    state.endpoints = endpoints_of(connection, id)?;
    state.rules = collect(
        connection,
        "SELECT table_name, hash FROM table_rules WHERE slot = ?1",
        [id],
        |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())),
    )?
    .into_iter()
    .collect();
    Ok(state)
}

fn slot_state(row: &Row<'_>) -> rusqlite::Result<SlotState> {
    let unsigned = |index| -> rusqlite::Result<Option<u64>> {
        Ok(row.get::<_, Option<i64>>(index)?.map(i64::cast_unsigned))
    };
    let intention = unsigned(1)?.zip(unsigned(2)?);
    let place = unsigned(3)?.zip(unsigned(5)?);
    let written = row.get::<_, Option<u32>>(4)?.zip(row.get(6)?);
    Ok(SlotState {
        history: row.get(0)?,
        intention: intention.map(|(system_identifier, lsn)| Intention {
            system_identifier,
            lsn: Lsn(lsn),
        }),
        checkpoint: place.zip(written).map(
            |((system_identifier, lsn), (timeline, written_at_ms))| Checkpoint {
                system_identifier,
                timeline,
                lsn: Lsn(lsn),
                written_at_ms,
            },
        ),
        start: unsigned(7)?.map(Lsn),
        journal_from: unsigned(8)?.map(Lsn),
        differs: unsigned(9)?.map(Lsn),
        ..SlotState::default()
    })
}

pub(super) fn lsn_at(row: &Row<'_>, index: usize) -> rusqlite::Result<Lsn> {
    Ok(Lsn(row.get::<_, i64>(index)?.cast_unsigned()))
}

/// From three columns.
pub(super) fn position_at(row: &Row<'_>, index: usize) -> rusqlite::Result<Position> {
    Ok(Position {
        lsn: lsn_at(row, index)?,
        ordinal: row.get::<_, i64>(index + 1)?.cast_unsigned(),
        n: row.get(index + 2)?,
    })
}

pub(super) fn collect<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    each: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, each)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
