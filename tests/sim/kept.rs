//! Between what the lanes say and what the state file keeps.

use std::sync::Arc;

use walhook::event::EndpointIndex;
use walhook::lane::attempt::{
    DiskProgress, LaneProgress, LoadedEntry, LoadedRun, Write, WriteEntry, WriteRun,
};
use walhook::progress::tracker::{DiskPlace, LanePlace};
use walhook::store::{
    Entry, LanePosition, Marker, NewRun, RunProgress, Settled, StoredEvent, WaitingRun,
};

use super::endpoint::{Around, Endpoint};

impl Endpoint {
    pub fn place(&self, at: &LaneProgress, around: &Around<'_>) -> LanePlace {
        LanePlace {
            endpoint: EndpointIndex(self.index),
            lane: Arc::clone(&at.lane),
            position: at.position,
            attempts: at.attempts,
            first_attempt_unix_ms: at.first_attempt.map(|at| at + around.started_ms),
        }
    }

    pub fn disk_place(&self, at: &DiskProgress, around: &Around<'_>) -> DiskPlace {
        DiskPlace {
            endpoint: EndpointIndex(self.index),
            lane: at.lane.clone(),
            sequence: at.sequence,
            settled: at.settled,
            entries_left: at.left.entries,
            events_left: at.left.events,
            bytes_left: at.left.bytes,
            attempts: at.attempts,
            first_attempt_unix_ms: at.first_attempt.map(|at| at + around.started_ms),
        }
    }

    pub fn position(&self, at: &LaneProgress, around: &Around<'_>) -> LanePosition {
        LanePosition {
            endpoint: self.name.clone(),
            lane: at.lane.to_string(),
            position: at.position,
            first_attempt_at_ms: at.first_attempt.map(|at| at + around.started_ms),
            attempts: at.attempts,
        }
    }

    pub fn run_progress(&self, at: &DiskProgress) -> RunProgress {
        RunProgress {
            endpoint: self.name.clone(),
            lane: at.lane.to_string(),
            sequence: at.sequence,
            settled: settled(at.settled, at.left.entries, at.left.events, at.left.bytes),
            first_attempt_at_ms: None,
            attempts: 0,
        }
    }

    pub fn stored(&self, write: Write, around: &Around<'_>) -> (Vec<NewRun>, Vec<LanePosition>) {
        let entry = |entry: WriteEntry| match entry {
            WriteEntry::Event(event) => Entry::Event(StoredEvent::of(&event)),
            WriteEntry::Marker(event) => Entry::Marker(Marker {
                id: event.id,
                position: event.position,
                last_of_change: event.last_of_change,
            }),
        };
        let run = |run: WriteRun| NewRun {
            endpoint: self.name.clone(),
            lane: run.lane.to_string(),
            table: run.table,
            enqueued_at_ms: run.since + around.started_ms,
            first_attempt_at_ms: run.first_attempt.map(|at| at + around.started_ms),
            attempts: run.attempts,
            entries: run.entries.into_iter().map(entry).collect(),
        };
        (
            write.runs.into_iter().map(run).collect(),
            write
                .positions
                .iter()
                .map(|at| self.position(at, around))
                .collect(),
        )
    }

    pub fn loaded(&self, run: WaitingRun, around: &Around<'_>) -> LoadedRun {
        let entries = run.entries.into_iter().map(|entry| match entry {
            Entry::Event(event) => {
                let mut event = event.into_event(EndpointIndex(self.index));
                event.room = self.holder.room_anyway(event.memory_bytes());
                LoadedEntry::Event(event)
            }
            Entry::Marker(marker) => LoadedEntry::Marker(marker.id),
        });
        LoadedRun {
            sequence: run.sequence,
            since: run.enqueued_at_ms - around.started_ms,
            settled: run.settled,
            attempts: run.attempts,
            first_attempt: run.first_attempt_at_ms.map(|ms| ms - around.started_ms),
            entries: entries.collect(),
        }
    }
}

pub fn settled(entries: u32, left: u32, events_left: u32, bytes_left: u64) -> Settled {
    if left == 0 {
        Settled::All
    } else {
        Settled::Part {
            entries,
            events_left: events_left.into(),
            bytes_left,
        }
    }
}
