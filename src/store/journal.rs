//! The journal: by which the history is recognised that a server sends again.
//!
//! ```text
//!        journal_from     checkpoint
//! ----------|--- x x  x ------|------- x ----->
//!            every transaction    those that a lane stands in
//! ```
//!
//! A message that is not transactional is one, too: at the LSN where its record ends, and
//! so below a checkpoint that is there.

use rusqlite::{Connection, params};

use super::error::Fault;
use super::slot::{JournalEntry, collect, lsn_at};
use crate::lsn::Lsn;
use crate::progress::tracker::{JOURNAL_LENGTH, ReadKind};

/// In the order of [`ReadKind`].
const MESSAGE: i64 = 0;
const TRANSACTION: i64 = 1;

pub(super) fn journal(connection: &Connection, slot: i64) -> Result<Vec<JournalEntry>, Fault> {
    collect(
        connection,
        "SELECT commit_lsn, xid, commit_time_us, kind FROM journal WHERE slot = ?1
         ORDER BY commit_lsn, kind",
        [slot],
        |row| {
            Ok(JournalEntry {
                kind: match row.get(3)? {
                    MESSAGE => ReadKind::Message,
                    _ => ReadKind::Transaction,
                },
                commit_lsn: lsn_at(row, 0)?,
                xid: row.get(1)?,
                commit_time_us: row.get(2)?,
            })
        },
    )
}

/// To be called once the checkpoint and the positions are those of the same commit.
pub(super) fn append_journal(
    connection: &Connection,
    slot: i64,
    entries: &[JournalEntry],
) -> Result<(), Fault> {
    if entries.is_empty() {
        return Ok(());
    }
    let checkpoint: i64 = connection
        .prepare_cached("SELECT coalesce(checkpoint_lsn, 0) FROM slot WHERE id = ?1")?
        .query_row([slot], |row| row.get(0))?;
    // What would be cut off again below is not written at all.
    let bound = (Lsn(checkpoint.cast_unsigned()), ReadKind::Transaction);
    let below = entries.partition_point(|entry| (entry.commit_lsn, entry.kind) < bound);
    for entry in entries.iter().skip(below.saturating_sub(JOURNAL_LENGTH)) {
        connection
            .prepare_cached(
                "INSERT INTO journal (slot, commit_lsn, xid, commit_time_us, kind)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET xid = excluded.xid,
                   commit_time_us = excluded.commit_time_us",
            )?
            .execute(params![
                slot,
                entry.commit_lsn.0.cast_signed(),
                entry.xid,
                entry.commit_time_us,
                match entry.kind {
                    ReadKind::Message => MESSAGE,
                    ReadKind::Transaction => TRANSACTION,
                },
            ])?;
    }
    connection
        .prepare_cached(
            "DELETE FROM journal WHERE slot = ?1 AND (commit_lsn, kind) <
               (SELECT commit_lsn, kind FROM journal
                WHERE slot = ?1 AND (commit_lsn, kind) < (?2, ?4)
                ORDER BY commit_lsn DESC, kind DESC LIMIT 1 OFFSET ?3)",
        )?
        .execute(params![
            slot,
            checkpoint,
            JOURNAL_LENGTH as i64 - 1,
            TRANSACTION
        ])?;
    // Above the checkpoint only what a lane still stands in.
    connection
        .prepare_cached(
            "DELETE FROM journal WHERE slot = ?1 AND (commit_lsn, kind) >= (?2, ?3)
               AND commit_lsn NOT IN (SELECT lsn FROM lane_position WHERE slot = ?1)",
        )?
        .execute(params![slot, checkpoint, TRANSACTION])?;
    Ok(())
}
