//! Waiting events into other lanes, after `order` or `key_lanes` has changed.
//!
//! Each old lane is in order; together they are merged by position, as the events were
//! read. All of it is one transaction: a crash leaves the old lanes or the new ones.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, params};

use super::body;
use super::run::{Entry, Marker, NewRun};
use super::waiting::append;
use crate::change::TableName;
use crate::event::Position;
use crate::store::connection::{Store, find_slot};
use crate::store::error::{Fault, StoreError};
use crate::store::slot::collect;
use crate::store::stored_event::StoredEvent;

const RUN_ENTRIES_MAX: usize = 100;
const RUN_BYTES_MAX: u64 = 256 << 10;
/// What is written is held back so far, to make whole runs.
const HELD_BYTES_MAX: u64 = 8 << 20;
/// Events that came to the spool this far apart do not share a run: it has one age.
const RUN_AGE_MAX_MS: i64 = 10_000;

impl Store {
    /// Lays all waiting events of the endpoint anew, into the lanes that `lanes` names for
    /// each (it may change their keys), the first of which gets the body. Returns how many events there were.
    pub fn relane(
        &mut self,
        slot: &str,
        endpoint: &str,
        lanes: impl Fn(&mut StoredEvent) -> Vec<String>,
    ) -> Result<u64, StoreError> {
        self.write("lay waiting events into other lanes", |connection| {
            let Some(slot) = find_slot(connection, slot)? else {
                return Ok(0);
            };
            let last: i64 =
                connection.query_row("SELECT coalesce(max(sequence), 0) FROM run", [], |row| {
                    row.get(0)
                })?;
            let mut old = OldLanes::open(connection, slot, endpoint)?;
            let mut new = NewLanes::new(endpoint);
            let mut count = 0;
            while let Some((mut event, enqueued_at_ms)) = old.next(connection)? {
                let names = lanes(&mut event);
                new.push(event, enqueued_at_ms, names);
                count += 1;
                if new.held_bytes >= HELD_BYTES_MAX {
                    new.write(connection, slot)?;
                }
            }
            new.write(connection, slot)?;
            connection.execute(
                "DELETE FROM run WHERE slot = ?1 AND endpoint = ?2 AND sequence <= ?3",
                params![slot, endpoint, last],
            )?;
            connection.execute(
                "DELETE FROM lane_position WHERE slot = ?1 AND endpoint = ?2",
                params![slot, endpoint],
            )?;
            Ok(count)
        })
    }
}

/// The old lanes, each read from its front.
struct OldLanes {
    lanes: Vec<OldLane>,
    /// The histories of the cluster, in the order of waiting.
    histories: HashMap<i64, usize>,
}

struct OldLane {
    /// What is still to be read, the next at the end.
    sequences: Vec<i64>,
    /// Of the run that is open, the next at the end.
    events: Vec<StoredEvent>,
    enqueued_at_ms: i64,
    history: usize,
}

impl OldLanes {
    fn open(connection: &Connection, slot: i64, endpoint: &str) -> Result<Self, Fault> {
        let rows = collect(
            connection,
            "SELECT lane, sequence FROM run WHERE slot = ?1 AND endpoint = ?2
             ORDER BY lane, sequence DESC",
            params![slot, endpoint],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)),
        )?;
        let mut by_name: HashMap<String, Vec<i64>> = HashMap::new();
        for (lane, sequence) in rows {
            by_name.entry(lane).or_default().push(sequence);
        }
        let lanes = by_name.into_values().map(|sequences| OldLane {
            sequences,
            events: Vec::new(),
            enqueued_at_ms: 0,
            history: 0,
        });
        let histories = collect(
            connection,
            "SELECT history FROM run WHERE slot = ?1 GROUP BY history ORDER BY min(sequence)",
            [slot],
            |row| row.get::<_, i64>(0),
        )?;
        Ok(OldLanes {
            lanes: lanes.collect(),
            histories: histories.into_iter().zip(0..).collect(),
        })
    }

    /// The event that was read first of those that are left.
    fn next(&mut self, connection: &Connection) -> Result<Option<(StoredEvent, i64)>, Fault> {
        for lane in &mut self.lanes {
            while lane.events.is_empty() {
                let Some(sequence) = lane.sequences.pop() else {
                    break;
                };
                lane.read(connection, sequence, &self.histories)?;
            }
        }
        self.lanes.retain(|lane| !lane.events.is_empty());
        let first = |lane: &OldLane| -> (usize, Option<Position>) {
            (lane.history, lane.events.last().map(|event| event.position))
        };
        let next = self.lanes.iter_mut().min_by_key(|lane| first(lane));
        Ok(next.and_then(|lane| Some((lane.events.pop()?, lane.enqueued_at_ms))))
    }
}

impl OldLane {
    /// Markers are left out: they are made anew.
    fn read(
        &mut self,
        connection: &Connection,
        sequence: i64,
        histories: &HashMap<i64, usize>,
    ) -> Result<(), Fault> {
        let (schema, table, settled, enqueued_at_ms, history, blob) = connection
            .prepare_cached(
                "SELECT table_schema, table_name, settled, enqueued_at_ms, history, body
                 FROM run JOIN run_body USING (sequence) WHERE sequence = ?1",
            )?
            .query_row([sequence], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, u32>(2)?,
                    row.get::<_, i64>(3)?,
                    row.get::<_, i64>(4)?,
                    row.get::<_, Vec<u8>>(5)?,
                ))
            })?;
        let table = Arc::new(TableName::new(schema, table));
        let entries =
            body::decode(Bytes::from(blob), &table).ok_or(Fault::Unreadable("waiting events"))?;
        let left = entries.into_iter().skip(settled as usize);
        self.events = left
            .filter_map(|entry| match entry {
                Entry::Event(event) => Some(event),
                Entry::Marker(_) => None,
            })
            .collect();
        self.events.reverse();
        self.enqueued_at_ms = enqueued_at_ms;
        self.history = histories.get(&history).copied().unwrap_or(0);
        Ok(())
    }
}

/// Runs of the new lanes that are not written yet.
struct NewLanes<'a> {
    endpoint: &'a str,
    runs: Vec<NewRun>,
    /// The run of each lane that is still open, by its place.
    open: HashMap<String, usize>,
    held_bytes: u64,
}

impl<'a> NewLanes<'a> {
    fn new(endpoint: &'a str) -> Self {
        NewLanes {
            endpoint,
            runs: Vec::new(),
            open: HashMap::new(),
            held_bytes: 0,
        }
    }

    fn push(&mut self, event: StoredEvent, enqueued_at_ms: i64, lanes: Vec<String>) {
        let marker = Marker {
            id: event.id,
            position: event.position,
            last_of_change: event.last_of_change,
        };
        let table = Arc::clone(&event.table);
        self.held_bytes += event.body.len() as u64;
        let mut event = Some(event);
        for lane in lanes {
            let entry = event.take().map_or(Entry::Marker(marker), Entry::Event);
            let run = self.run_for(lane, &table, enqueued_at_ms, entry.bytes());
            run.entries.push(entry);
        }
    }

    fn run_for(
        &mut self,
        lane: String,
        table: &Arc<TableName>,
        enqueued_at_ms: i64,
        bytes: u64,
    ) -> &mut NewRun {
        let fits = |run: &NewRun| {
            run.table == *table
                && run.entries.len() < RUN_ENTRIES_MAX
                && run.entries.iter().map(Entry::bytes).sum::<u64>() + bytes <= RUN_BYTES_MAX
                && (enqueued_at_ms - run.enqueued_at_ms).abs() <= RUN_AGE_MAX_MS
        };
        let open = self.open.get(&lane).copied();
        let place = match open.filter(|&place| fits(&self.runs[place])) {
            Some(place) => place,
            None => {
                self.open.insert(lane.clone(), self.runs.len());
                self.runs.push(NewRun {
                    endpoint: self.endpoint.to_owned(),
                    lane,
                    table: Arc::clone(table),
                    enqueued_at_ms,
                    first_attempt_at_ms: None,
                    attempts: 0,
                    entries: Vec::new(),
                });
                self.runs.len() - 1
            }
        };
        &mut self.runs[place]
    }

    fn write(&mut self, connection: &Connection, slot: i64) -> Result<(), Fault> {
        for run in self.runs.drain(..) {
            append(connection, slot, &run)?;
        }
        self.open.clear();
        self.held_bytes = 0;
        Ok(())
    }
}
