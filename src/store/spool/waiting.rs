//! The spool in the state file's tables `run` and `run_body`.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, Row, params};

use super::body;
use super::run::{Entry, NewRun, RunProgress, Settled, Spool, WaitingLane, WaitingRun, sums};
use crate::change::TableName;
use crate::event::Position;
use crate::store::connection::{Store, find_slot, slot_id};
use crate::store::error::{Fault, StoreError};
use crate::store::progress::upsert_position;
use crate::store::slot::{LanePosition, collect};

impl Spool for Store {
    fn append_runs(
        &mut self,
        slot: &str,
        runs: &[NewRun],
        positions: &[LanePosition],
    ) -> Result<Vec<i64>, StoreError> {
        self.write("append waiting events", |connection| {
            let slot = slot_id(connection, slot)?;
            for position in positions {
                upsert_position(connection, slot, position)?;
            }
            runs.iter()
                .filter_map(|run| append(connection, slot, run).transpose())
                .collect()
        })
    }

    fn read_runs(
        &mut self,
        slot: &str,
        endpoint: &str,
        lane: &str,
        after: i64,
        bytes_max: u64,
    ) -> Result<Vec<WaitingRun>, StoreError> {
        self.read("read waiting events", |connection| {
            let Some(slot) = find_slot(connection, slot)? else {
                return Ok(Vec::new());
            };
            let mut select = connection.prepare_cached(
                "SELECT sequence, table_schema, table_name, enqueued_at_ms, first_attempt_at_ms,
                   attempts, settled, body
                 FROM run JOIN run_body USING (sequence)
                 WHERE slot = ?1 AND endpoint = ?2 AND lane = ?3 AND sequence > ?4
                 ORDER BY sequence",
            )?;
            let mut rows = select.query(params![slot, endpoint, lane, after])?;
            let mut runs = Vec::new();
            let mut bytes = 0;
            while bytes < bytes_max {
                let Some(row) = rows.next()? else { break };
                let run =
                    waiting_run(row, endpoint, lane)?.ok_or(Fault::Unreadable("waiting events"))?;
                bytes += run.entries.iter().map(Entry::bytes).sum::<u64>();
                runs.push(run);
            }
            Ok(runs)
        })
    }

    fn settle_runs(&mut self, slot: &str, progress: &[RunProgress]) -> Result<(), StoreError> {
        self.write("settle waiting events", |connection| {
            let slot = slot_id(connection, slot)?;
            settle_runs(connection, slot, progress)
        })
    }

    fn waiting_lanes(&mut self, slot: &str) -> Result<Vec<WaitingLane>, StoreError> {
        self.read("list waiting lanes", |connection| {
            let Some(slot) = find_slot(connection, slot)? else {
                return Ok(Vec::new());
            };
            collect(
                connection,
                "SELECT lane.*, last.table_schema, last.table_name
                 FROM (SELECT endpoint, lane, sum(events), sum(bytes), max(sequence) AS sequence,
                         min(enqueued_at_ms)
                       FROM run WHERE slot = ?1 GROUP BY endpoint, lane) AS lane
                   JOIN run AS last USING (sequence)
                 ORDER BY lane.endpoint, lane.lane",
                [slot],
                |row| {
                    Ok(WaitingLane {
                        endpoint: row.get(0)?,
                        lane: row.get(1)?,
                        events: row.get::<_, i64>(2)?.cast_unsigned(),
                        bytes: row.get::<_, i64>(3)?.cast_unsigned(),
                        last_sequence: row.get(4)?,
                        oldest_enqueued_at_ms: row.get(5)?,
                        table: TableName::new(row.get::<_, String>(6)?, row.get::<_, String>(7)?),
                    })
                },
            )
        })
    }

    fn spool_bytes(&mut self, slot: &str) -> Result<u64, StoreError> {
        self.read("sum waiting events", |connection| {
            let sums: i64 = connection
                .prepare_cached(
                    "SELECT coalesce(sum(waiting_bytes + dead_bytes + retrying_bytes), 0)
                     FROM tally WHERE slot = (SELECT id FROM slot WHERE name = ?1)",
                )?
                .query_row([slot], |row| row.get(0))?;
            Ok(sums.cast_unsigned())
        })
    }
}

/// `None`: nothing in it.
pub(super) fn append(
    connection: &Connection,
    slot: i64,
    run: &NewRun,
) -> Result<Option<i64>, Fault> {
    let (Some(first), Some(last)) = (run.entries.first(), run.entries.last()) else {
        return Ok(None);
    };
    let (events, bytes) = sums(&run.entries);
    let (first, last) = (columns(first.position()), columns(last.position()));
    connection
        .prepare_cached(
            "INSERT INTO run (slot, history, endpoint, lane, table_schema, table_name,
               first_lsn, first_ordinal, first_n, last_lsn, last_ordinal, last_n,
               settled, events, bytes, enqueued_at_ms, first_attempt_at_ms, attempts)
             VALUES (?1, (SELECT history FROM slot WHERE id = ?1), ?2, ?3, ?4, ?5, ?6, ?7, ?8,
               ?9, ?10, ?11, 0, ?12, ?13, ?14, ?15, ?16)",
        )?
        .execute(params![
            slot,
            run.endpoint,
            run.lane,
            run.table.schema,
            run.table.table,
            first.0,
            first.1,
            first.2,
            last.0,
            last.1,
            last.2,
            events.cast_signed(),
            bytes.cast_signed(),
            run.enqueued_at_ms,
            run.first_attempt_at_ms,
            run.attempts,
        ])?;
    let sequence = connection.last_insert_rowid();
    connection
        .prepare_cached("INSERT INTO run_body (sequence, body) VALUES (?1, ?2)")?
        .execute(params![sequence, body::encode(&run.entries)])?;
    Ok(Some(sequence))
}

fn columns(position: Position) -> (i64, i64, u32) {
    (
        position.lsn.0.cast_signed(),
        position.ordinal.cast_signed(),
        position.n,
    )
}

/// `None`: its blob is not one of ours.
fn waiting_run(row: &Row<'_>, endpoint: &str, lane: &str) -> rusqlite::Result<Option<WaitingRun>> {
    let table = Arc::new(TableName::new(
        row.get::<_, String>(1)?,
        row.get::<_, String>(2)?,
    ));
    let settled: u32 = row.get(6)?;
    let blob = Bytes::from(row.get::<_, Vec<u8>>(7)?);
    let Some(mut entries) = body::decode(blob, &table) else {
        return Ok(None);
    };
    entries.drain(..entries.len().min(settled as usize));
    Ok(Some(WaitingRun {
        sequence: row.get(0)?,
        endpoint: endpoint.to_owned(),
        lane: lane.to_owned(),
        table,
        enqueued_at_ms: row.get(3)?,
        first_attempt_at_ms: row.get(4)?,
        attempts: row.get(5)?,
        settled,
        entries,
    }))
}

pub(in crate::store) fn settle_runs(
    connection: &Connection,
    slot: i64,
    progress: &[RunProgress],
) -> Result<(), Fault> {
    for run in progress {
        // A run is removed with the ones before it, a part only counted.
        let (removed_to, part) = match run.settled {
            Settled::All => (run.sequence, None),
            Settled::Part {
                entries,
                events_left,
                bytes_left,
            } => (run.sequence - 1, Some((entries, events_left, bytes_left))),
        };
        connection
            .prepare_cached(
                "DELETE FROM run WHERE slot = ?1 AND endpoint = ?2 AND lane = ?3
                   AND sequence <= ?4",
            )?
            .execute(params![slot, run.endpoint, run.lane, removed_to])?;
        let Some((entries, events_left, bytes_left)) = part else {
            continue;
        };
        connection
            .prepare_cached(
                "UPDATE run SET settled = ?5, events = ?6, bytes = ?7,
                   first_attempt_at_ms =
                     iif(settled = ?5, coalesce(first_attempt_at_ms, ?8), ?8),
                   attempts = iif(settled = ?5, max(attempts, ?9), ?9)
                 WHERE slot = ?1 AND endpoint = ?2 AND lane = ?3 AND sequence = ?4
                   AND settled <= ?5",
            )?
            .execute(params![
                slot,
                run.endpoint,
                run.lane,
                run.sequence,
                entries,
                events_left.cast_signed(),
                bytes_left.cast_signed(),
                run.first_attempt_at_ms,
                run.attempts,
            ])?;
    }
    Ok(())
}
