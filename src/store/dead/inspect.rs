//! Dead letters for people: pages, one with its body, retried and dropped.

use std::fmt;

use rusqlite::{OptionalExtension, Row, ToSql, params, params_from_iter};
use serde::{Deserialize, Serialize};

use super::filter::DeadFilter;
use crate::change::TableName;
use crate::event::EventId;
use crate::store::connection::Store;
use crate::store::error::StoreError;
use crate::store::slot::position_at;

/// A page holds no more, whatever the filter's limit.
pub const PAGE_LETTERS_MAX: u32 = 200;
/// A body is shown in parts of at most this size.
pub const BODY_PART_BYTES_MAX: u32 = 128 << 10;

/// A dead letter without its body, in texts for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadSummary {
    pub id: i64,
    pub slot: String,
    pub endpoint: String,
    pub event_id: String,
    pub event_type: String,
    /// As the config writes it.
    pub table: String,
    pub operation: String,
    pub lane: String,
    pub lsn: String,
    pub ordinal: u64,
    pub n: u32,
    /// Microseconds since 2000-01-01 UTC.
    pub commit_time_us: i64,
    /// `dead` or `retrying`.
    pub state: String,
    pub reason: String,
    pub parked_at_ms: i64,
    pub first_attempt_at_ms: Option<i64>,
    pub attempts: u32,
    pub last_status: Option<u16>,
    pub last_error: Option<String>,
    pub body_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadPage {
    /// By number, lowest first.
    pub letters: Vec<DeadSummary>,
    /// The filter's `after` for the next page; `None` after the last one.
    pub next: Option<i64>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetter {
    pub summary: DeadSummary,
    /// The first bytes of the receiver's answer, what is no UTF-8 replaced.
    pub answer: String,
    /// From the byte that was asked for, what is no UTF-8 replaced.
    pub body_part: String,
    /// Where the next part of the body starts; `None` after the last one.
    pub body_next: Option<u64>,
}

/// Without body and answer, which hold row values.
impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}

const SUMMARY: &str = "SELECT id, (SELECT name FROM slot WHERE slot.id = dead.slot), endpoint,
  event_id, event_type, table_schema, table_name, operation, lane, lsn, ordinal, n,
  commit_time_us, state, reason, parked_at_ms, first_attempt_at_ms, attempts, last_status,
  last_error, bytes";

impl Store {
    pub fn dead_list(&mut self, filter: &DeadFilter) -> Result<DeadPage, StoreError> {
        self.read("list dead letters", |connection| {
            let limit = filter
                .limit
                .unwrap_or(PAGE_LETTERS_MAX)
                .min(PAGE_LETTERS_MAX);
            let (condition, mut values) = filter.condition();
            values.push(Box::new(limit + 1));
            let mut select = connection.prepare(&format!(
                "{SUMMARY} FROM dead WHERE {condition} ORDER BY id LIMIT ?"
            ))?;
            let mut letters = select
                .query_map(params_from_iter(values), summary)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let more = letters.len() > limit as usize;
            letters.truncate(limit as usize);
            let next = letters.last().filter(|_| more).map(|letter| letter.id);
            Ok(DeadPage { letters, next })
        })
    }

    /// With the part of the body that starts at the byte `body_from`.
    pub fn dead_show(&mut self, id: i64, body_from: u64) -> Result<Option<DeadLetter>, StoreError> {
        self.read("read a dead letter", |connection| {
            let from = i64::try_from(body_from).unwrap_or(i64::MAX - 1);
            let found = connection
                .query_row(
                    &format!("{SUMMARY}, answer, substr(body, ?2 + 1, ?3) FROM dead WHERE id = ?1"),
                    params![id, from, BODY_PART_BYTES_MAX],
                    |row| {
                        let part: Vec<u8> = row.get(22)?;
                        Ok((summary(row)?, row.get::<_, Vec<u8>>(21)?, part))
                    },
                )
                .optional()?;
            Ok(found.map(|(summary, answer, part)| {
                let end = body_from.saturating_add(part.len() as u64);
                let whole = end >= summary.body_bytes;
                let cut = if whole {
                    part.len()
                } else {
                    whole_chars(&part)
                };
                DeadLetter {
                    body_next: (!whole).then_some(body_from + cut as u64),
                    answer: String::from_utf8_lossy(&answer).into_owned(),
                    body_part: String::from_utf8_lossy(&part[..cut]).into_owned(),
                    summary,
                }
            }))
        })
    }

    /// Marks dead letters as to be retried. Returns how many; with a limit, call
    /// again until it is 0.
    pub fn dead_retry(&mut self, filter: &DeadFilter) -> Result<u64, StoreError> {
        self.change(
            "mark dead letters",
            "UPDATE dead SET state = 'retrying' WHERE id IN",
            "state = 'dead'",
            filter,
        )
    }

    /// Removes dead letters, also those being retried. Returns how many; with a
    /// limit, call again until it is 0.
    pub fn dead_drop(&mut self, filter: &DeadFilter) -> Result<u64, StoreError> {
        self.change(
            "drop dead letters",
            "DELETE FROM dead WHERE id IN",
            "1",
            filter,
        )
    }

    fn change(
        &mut self,
        action: &'static str,
        verb: &str,
        which: &str,
        filter: &DeadFilter,
    ) -> Result<u64, StoreError> {
        self.write(action, |connection| {
            let (condition, mut values) = filter.condition();
            // -1: no limit.
            values.push(Box::new(filter.limit.map_or(-1, i64::from)) as Box<dyn ToSql>);
            let sql = format!(
                "{verb} (SELECT id FROM dead WHERE {which} AND {condition} ORDER BY id LIMIT ?)"
            );
            Ok(connection.execute(&sql, params_from_iter(values))? as u64)
        })
    }
}

/// How many bytes of `part` do not end within a character.
fn whole_chars(part: &[u8]) -> usize {
    match std::str::from_utf8(part) {
        // Ends within a character, which the next part has whole.
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        _ => part.len(),
    }
}

fn summary(row: &Row<'_>) -> rusqlite::Result<DeadSummary> {
    let position = position_at(row, 9)?;
    let table = TableName::new(row.get::<_, String>(5)?, row.get::<_, String>(6)?);
    Ok(DeadSummary {
        id: row.get(0)?,
        slot: row.get(1)?,
        endpoint: row.get(2)?,
        event_id: EventId(row.get(3)?).to_string(),
        event_type: row.get(4)?,
        table: table.to_string(),
        operation: row.get(7)?,
        lane: row.get(8)?,
        lsn: position.lsn.to_string(),
        ordinal: position.ordinal,
        n: position.n,
        commit_time_us: row.get(12)?,
        state: row.get(13)?,
        reason: row.get(14)?,
        parked_at_ms: row.get(15)?,
        first_attempt_at_ms: row.get(16)?,
        attempts: row.get(17)?,
        last_status: row.get(18)?,
        last_error: row.get(19)?,
        body_bytes: row.get::<_, i64>(20)?.cast_unsigned(),
    })
}
