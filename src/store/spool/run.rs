//! A run: consecutive events of one lane and table that wait together.
//!
//! ```text
//! lane  | run 7: e1 e2 e3 | run 9: e4 m5 e6 |        m: a marker, the event
//! lane' | run 8: f1 e5 |                                stands in another lane
//! ```
//!
//! Sequences grow in the order of appending, over all lanes, and are never
//! reused. A run is written once, then settled from its front and removed whole.
//! Keep a run small (about 256 KiB): it is read whole, and the bodies read from it
//! share its memory.

use std::sync::Arc;

use super::super::error::StoreError;
use super::super::slot::LanePosition;
use super::super::stored_event::StoredEvent;
use crate::change::TableName;
use crate::event::{EventId, Position};

/// Stands for an event in the lanes that it is ordered with, other than the one
/// that has its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    pub id: EventId,
    pub position: Position,
    pub last_of_change: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Event(StoredEvent),
    Marker(Marker),
}

impl Entry {
    pub fn position(&self) -> Position {
        match self {
            Entry::Event(event) => event.position,
            Entry::Marker(marker) => marker.position,
        }
    }

    /// Of the body; a marker counts for nothing.
    pub fn bytes(&self) -> u64 {
        match self {
            Entry::Event(event) => event.body.len() as u64,
            Entry::Marker(_) => 0,
        }
    }

    fn is_event(&self) -> bool {
        matches!(self, Entry::Event(_))
    }
}

/// Events and bytes, without markers.
pub(super) fn sums(entries: &[Entry]) -> (u64, u64) {
    let events = entries.iter().filter(|entry| entry.is_event()).count();
    (events as u64, entries.iter().map(Entry::bytes).sum())
}

/// To be appended. One without entries is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    pub endpoint: String,
    pub lane: String,
    /// Of every event in it.
    pub table: Arc<TableName>,
    pub enqueued_at_ms: i64,
    /// Of its first entry, when it headed its lane in memory.
    pub first_attempt_at_ms: Option<i64>,
    pub attempts: u32,
    pub entries: Vec<Entry>,
}

/// Read back: what of it is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingRun {
    pub sequence: i64,
    pub endpoint: String,
    pub lane: String,
    pub table: Arc<TableName>,
    /// By a clock that may have been wrong, as the next one.
    pub enqueued_at_ms: i64,
    pub first_attempt_at_ms: Option<i64>,
    /// Of the first entry.
    pub attempts: u32,
    /// How many entries before these are settled.
    pub settled: u32,
    pub entries: Vec<Entry>,
}

impl WaitingRun {
    /// The progress to commit once the first `count` of `entries` are settled.
    pub fn settle(&self, count: usize) -> RunProgress {
        let left = self.entries.get(count..).unwrap_or(&[]);
        let (events_left, bytes_left) = sums(left);
        RunProgress {
            endpoint: self.endpoint.clone(),
            lane: self.lane.clone(),
            sequence: self.sequence,
            settled: if left.is_empty() {
                Settled::All
            } else {
                Settled::Part {
                    entries: self.settled + u32::try_from(count).unwrap_or(u32::MAX),
                    events_left,
                    bytes_left,
                }
            },
            first_attempt_at_ms: None,
            attempts: 0,
        }
    }
}

/// How much of a run is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    All,
    Part {
        /// From the front of the run as it was appended.
        entries: u32,
        events_left: u64,
        bytes_left: u64,
    },
}

/// How far a lane's waiting events are settled: all runs of the lane before
/// `sequence` are, and this much of that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunProgress {
    pub endpoint: String,
    pub lane: String,
    pub sequence: i64,
    pub settled: Settled,
    /// Of the first entry that is left.
    pub first_attempt_at_ms: Option<i64>,
    pub attempts: u32,
}

/// What waits in one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingLane {
    pub endpoint: String,
    pub lane: String,
    /// Of one of its runs.
    pub table: TableName,
    pub events: u64,
    pub bytes: u64,
    pub last_sequence: i64,
    /// By a clock that may have been wrong.
    pub oldest_enqueued_at_ms: i64,
}

/// Where events wait. Now the state file; small, so that it can be another place.
pub trait Spool {
    /// Durable when it returns, with where the lanes stand then; all of it or nothing.
    /// Returns the sequences of the runs.
    fn append_runs(
        &mut self,
        slot: &str,
        runs: &[NewRun],
        positions: &[LanePosition],
    ) -> Result<Vec<i64>, StoreError>;

    /// The lane's runs after a sequence (0 for all) in order, and no further
    /// ones once they are `bytes_max` together.
    fn read_runs(
        &mut self,
        slot: &str,
        endpoint: &str,
        lane: &str,
        after: i64,
        bytes_max: u64,
    ) -> Result<Vec<WaitingRun>, StoreError>;

    fn settle_runs(&mut self, slot: &str, progress: &[RunProgress]) -> Result<(), StoreError>;

    fn waiting_lanes(&mut self, slot: &str) -> Result<Vec<WaitingLane>, StoreError>;

    /// Bytes of the bodies that wait or are dead: what `spool.max_bytes` bounds.
    fn spool_bytes(&mut self, slot: &str) -> Result<u64, StoreError>;
}
