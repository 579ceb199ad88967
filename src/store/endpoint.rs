//! Whether an endpoint is sent to, and what the file keeps for it.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::connection::{Store, find_slot, slot_id};
use super::error::{Fault, StoreError};
use super::gap::{Gap, GapReason, upsert_gap};
use super::slot::{collect, lsn_at};

/// What disabled an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledBy {
    /// It answered 410 Gone.
    #[serde(rename = "gone_410")]
    Gone410,
    /// It filled the spool, with `spool.full: disable`.
    SpoolFull,
    Operator,
}

impl DisabledBy {
    const ALL: [DisabledBy; 3] = [
        DisabledBy::Gone410,
        DisabledBy::SpoolFull,
        DisabledBy::Operator,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            DisabledBy::Gone410 => "gone_410",
            DisabledBy::SpoolFull => "spool_full",
            DisabledBy::Operator => "operator",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointState {
    Enabled,
    Disabled(DisabledBy),
}

/// The state of an endpoint, by its name in the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRow {
    pub endpoint: String,
    pub state: EndpointState,
    /// By a clock that may have been wrong.
    pub since_ms: i64,
}

/// What went with an endpoint that was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropped {
    pub positions: u64,
    pub waiting_events: u64,
    pub dead_letters: u64,
}

impl Store {
    pub fn set_endpoint(
        &mut self,
        slot: &str,
        endpoint: &str,
        state: EndpointState,
        since_ms: i64,
    ) -> Result<(), StoreError> {
        let disabled_by = match state {
            EndpointState::Enabled => None,
            EndpointState::Disabled(by) => Some(by.as_str()),
        };
        self.write("write the state of the endpoint", |connection| {
            let id = slot_id(connection, slot)?;
            connection.execute(
                "INSERT INTO endpoint (slot, name, disabled_by, since_ms) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET disabled_by = excluded.disabled_by,
                   since_ms = excluded.since_ms",
                params![id, endpoint, disabled_by, since_ms],
            )?;
            Ok(())
        })
    }

    /// Forgets an endpoint: its state, positions, waiting events and dead letters.
    /// Waiting events that it never got are recorded as a gap. `None`: nothing of it was kept.
    pub fn drop_endpoint(
        &mut self,
        slot: &str,
        endpoint: &str,
        now_ms: i64,
    ) -> Result<Option<Dropped>, StoreError> {
        self.write("drop the endpoint", |connection| {
            let Some(id) = find_slot(connection, slot)? else {
                return Ok(None);
            };
            let gap = waiting_gap(connection, id, endpoint, now_ms)?;
            if let Some(gap) = &gap {
                upsert_gap(connection, id, gap)?;
            }
            let mut rows = 0;
            let mut delete = |sql: &str| -> Result<u64, Fault> {
                let deleted = connection.execute(sql, params![id, endpoint])? as u64;
                rows += deleted;
                Ok(deleted)
            };
            let positions = delete("DELETE FROM lane_position WHERE slot = ?1 AND endpoint = ?2")?;
            delete("DELETE FROM run WHERE slot = ?1 AND endpoint = ?2")?;
            let dead_letters = delete("DELETE FROM dead WHERE slot = ?1 AND endpoint = ?2")?;
            delete("DELETE FROM tally WHERE slot = ?1 AND endpoint = ?2")?;
            delete("DELETE FROM endpoint WHERE slot = ?1 AND name = ?2")?;
            Ok((rows > 0).then(|| Dropped {
                positions,
                waiting_events: gap.and_then(|gap| gap.events).unwrap_or(0),
                dead_letters,
            }))
        })
    }
}

fn waiting_gap(
    connection: &Connection,
    slot: i64,
    endpoint: &str,
    now_ms: i64,
) -> Result<Option<Gap>, Fault> {
    let found = collect(
        connection,
        "SELECT min(first_lsn), max(last_lsn), sum(events) FROM run
         WHERE slot = ?1 AND endpoint = ?2 HAVING sum(events) > 0",
        params![slot, endpoint],
        |row| {
            Ok(Gap {
                endpoint: Some(endpoint.to_owned()),
                reason: GapReason::EndpointDropped,
                from: lsn_at(row, 0)?,
                to: lsn_at(row, 1)?,
                events: Some(row.get::<_, i64>(2)?.cast_unsigned()),
                recorded_at_ms: now_ms,
            })
        },
    )?;
    Ok(found.into_iter().next())
}

pub(super) fn endpoints_of(connection: &Connection, slot: i64) -> Result<Vec<EndpointRow>, Fault> {
    let rows = collect(
        connection,
        "SELECT name, disabled_by, since_ms FROM endpoint WHERE slot = ?1 ORDER BY name",
        [slot],
        |row| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?, row.get(2)?)),
    )?;
    rows.into_iter()
        .map(|(endpoint, disabled_by, since_ms)| {
            let state = match disabled_by {
                None => EndpointState::Enabled,
                Some(text) => DisabledBy::ALL
                    .into_iter()
                    .find(|by| by.as_str() == text)
                    .map(EndpointState::Disabled)
                    .ok_or(Fault::Unreadable("state of an endpoint"))?,
            };
            Ok(EndpointRow {
                endpoint,
                state,
                since_ms,
            })
        })
        .collect()
}
