//! Events that somebody never gets, on record.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::connection::{Store, find_slot};
use super::error::{Fault, StoreError};
use super::slot::{collect, lsn_at};
use crate::lsn::Lsn;

/// Why events are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The endpoint was disabled because the spool was full.
    SpoolFull,
    /// `walhook endpoint drop` with events waiting.
    EndpointDropped,
    /// `walhook skip`.
    Skipped,
    /// `walhook adopt`.
    Adopted,
    /// The other way round: these transactions were sent, and after a failover or a
    /// restore the database no longer has them. Recorded by `walhook adopt`.
    Vanished,
    /// Somebody took tables or operations out of the publications, for a while.
    NotPublished,
}

impl GapReason {
    const ALL: [GapReason; 6] = [
        GapReason::SpoolFull,
        GapReason::EndpointDropped,
        GapReason::Skipped,
        GapReason::Adopted,
        GapReason::Vanished,
        GapReason::NotPublished,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            GapReason::SpoolFull => "spool_full",
            GapReason::EndpointDropped => "endpoint_dropped",
            GapReason::Skipped => "skipped",
            GapReason::Adopted => "adopted",
            GapReason::Vanished => "vanished",
            GapReason::NotPublished => "not_published",
        }
    }
}

/// An interval of the WAL. Recorded again with the same endpoint, reason and
/// start, it takes the place of the earlier record: so an open gap grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// `None`: all endpoints.
    pub endpoint: Option<String>,
    pub reason: GapReason,
    pub from: Lsn,
    pub to: Lsn,
    /// `None`: not known.
    pub events: Option<u64>,
    pub recorded_at_ms: i64,
}

/// Which gaps are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    NotYet,
    OrNot,
}

impl Store {
    /// In order of the WAL.
    pub fn gaps(&mut self, slot: &str) -> Result<Vec<Gap>, StoreError> {
        self.gaps_where(slot, Told::OrNot)
    }

    /// Those that nobody was told of as they are now, in order of the WAL.
    pub fn gaps_to_announce(&mut self, slot: &str) -> Result<Vec<Gap>, StoreError> {
        self.gaps_where(slot, Told::NotYet)
    }

    /// Whoever asked for it was told of `gap`. One that has grown meanwhile stays to be
    /// announced.
    pub fn announced(&mut self, slot: &str, gap: &Gap, at_ms: i64) -> Result<(), StoreError> {
        self.write("mark a gap as announced", |connection| {
            let Some(id) = find_slot(connection, slot)? else {
                return Ok(());
            };
            connection.execute(
                "UPDATE gap SET announced_at_ms = ?6
                 WHERE slot = ?1 AND endpoint = ?2 AND reason = ?3 AND from_lsn = ?4
                   AND to_lsn = ?5",
                params![
                    id,
                    gap.endpoint.as_deref().unwrap_or(""),
                    gap.reason.as_str(),
                    gap.from.0.cast_signed(),
                    gap.to.0.cast_signed(),
                    at_ms,
                ],
            )?;
            Ok(())
        })
    }

    fn gaps_where(&mut self, slot: &str, told: Told) -> Result<Vec<Gap>, StoreError> {
        self.read("read gaps", |connection| {
            let Some(id) = find_slot(connection, slot)? else {
                return Ok(Vec::new());
            };
            let rows = collect(
                connection,
                "SELECT endpoint, reason, from_lsn, to_lsn, events, recorded_at_ms
                 FROM gap WHERE slot = ?1 AND (?2 OR announced_at_ms IS NULL)
                 ORDER BY from_lsn, endpoint",
                params![id, told == Told::OrNot],
                |row| {
                    let reason: String = row.get(1)?;
                    let endpoint: String = row.get(0)?;
                    let reason = GapReason::ALL.into_iter().find(|r| r.as_str() == reason);
                    Ok(reason.map(|reason| (endpoint, reason)).zip(Some((
                        lsn_at(row, 2)?,
                        lsn_at(row, 3)?,
                        row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned),
                        row.get(5)?,
                    ))))
                },
            )?;
            rows.into_iter()
                .map(|row| {
                    let ((endpoint, reason), (from, to, events, recorded_at_ms)) =
                        row.ok_or(Fault::Unreadable("reason of a gap"))?;
                    Ok(Gap {
                        endpoint: Some(endpoint).filter(|name| !name.is_empty()),
                        reason,
                        from,
                        to,
                        events,
                        recorded_at_ms,
                    })
                })
                .collect()
        })
    }
}

pub(super) fn upsert_gap(connection: &Connection, slot: i64, gap: &Gap) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO gap (slot, endpoint, reason, from_lsn, to_lsn, events, recorded_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET
               announced_at_ms = iif(to_lsn = excluded.to_lsn AND events IS excluded.events,
                 announced_at_ms, NULL),
               to_lsn = excluded.to_lsn, events = excluded.events,
               recorded_at_ms = excluded.recorded_at_ms",
        )?
        .execute(params![
            slot,
            gap.endpoint.as_deref().unwrap_or(""),
            gap.reason.as_str(),
            gap.from.0.cast_signed(),
            gap.to.0.cast_signed(),
            gap.events.map(u64::cast_signed),
            gap.recorded_at_ms,
        ])?;
    Ok(())
}
