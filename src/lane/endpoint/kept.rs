//! What the lanes say, as the tracker and the store keep it. Pure: the clock is an argument.

use std::sync::Arc;

use crate::event::EndpointIndex;
use crate::lane::attempt::{
    DiskProgress, LaneProgress, Left, LoadedEntry, LoadedRun, Write, WriteEntry, WriteRun,
};
use crate::lane::budget::Holder;
use crate::lane::clock::WallTime;
use crate::progress::tracker::{DiskPlace, LanePlace};
use crate::store::{
    Entry, LanePosition, Marker, NewRun, RunProgress, Settled, StoredEvent, WaitingRun,
};

/// Of one endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a, W> {
    pub endpoint: EndpointIndex,
    pub name: &'a str,
    pub wall: W,
}

impl<W: WallTime> Kept<'_, W> {
    /// For the next checkpoint.
    pub fn place(&self, at: &LaneProgress) -> LanePlace {
        LanePlace {
            endpoint: self.endpoint,
            lane: Arc::clone(&at.lane),
            position: at.position,
            attempts: at.attempts,
            first_attempt_unix_ms: at.first_attempt.map(|at| self.wall.unix_ms(at)),
        }
    }

    /// For the next checkpoint.
    pub fn disk_place(&self, at: &DiskProgress) -> DiskPlace {
        DiskPlace {
            endpoint: self.endpoint,
            lane: Arc::clone(&at.lane),
            sequence: at.sequence,
            settled: at.settled,
            entries_left: at.left.entries,
            events_left: at.left.events,
            bytes_left: at.left.bytes,
            attempts: at.attempts,
            first_attempt_unix_ms: at.first_attempt.map(|at| self.wall.unix_ms(at)),
        }
    }

    pub fn position(&self, at: &LaneProgress) -> LanePosition {
        LanePosition {
            endpoint: self.name.to_owned(),
            lane: at.lane.to_string(),
            position: at.position,
            first_attempt_at_ms: at.first_attempt.map(|at| self.wall.unix_ms(at)),
            attempts: at.attempts,
        }
    }

    /// Of a run whose head is a dead letter now.
    pub fn run_progress(&self, at: &DiskProgress) -> RunProgress {
        RunProgress {
            endpoint: self.name.to_owned(),
            lane: at.lane.to_string(),
            sequence: at.sequence,
            settled: settled(at.settled, at.left),
            first_attempt_at_ms: None,
            attempts: 0,
        }
    }

    /// What is written, as the store takes it.
    pub fn stored(&self, write: Write) -> (Vec<NewRun>, Vec<LanePosition>) {
        let entry = |entry: WriteEntry| match entry {
            WriteEntry::Event(event) => Entry::Event(StoredEvent::of(&event)),
            WriteEntry::Marker(event) => Entry::Marker(Marker {
                id: event.id,
                position: event.position,
                last_of_change: event.last_of_change,
            }),
        };
        let run = |run: WriteRun| NewRun {
            endpoint: self.name.to_owned(),
            lane: run.lane.to_string(),
            table: run.table,
            enqueued_at_ms: self.wall.unix_ms(run.since),
            first_attempt_at_ms: run.first_attempt.map(|at| self.wall.unix_ms(at)),
            attempts: run.attempts,
            entries: run.entries.into_iter().map(entry).collect(),
        };
        let runs = write.runs.into_iter().map(run);
        let positions = write.positions.iter().map(|at| self.position(at));
        (runs.collect(), positions.collect())
    }

    /// What was read back, as the lanes take it, with its room in memory.
    pub fn loaded(&self, run: WaitingRun, holder: &Arc<Holder>) -> LoadedRun {
        let entries = run.entries.into_iter().map(|entry| match entry {
            Entry::Event(event) => {
                let mut event = event.into_event(self.endpoint);
                event.room = holder.room_anyway(event.memory_bytes());
                LoadedEntry::Event(event)
            }
            Entry::Marker(marker) => LoadedEntry::Marker(marker.id),
        });
        LoadedRun {
            sequence: run.sequence,
            since: self.wall.moment(run.enqueued_at_ms),
            settled: run.settled,
            attempts: run.attempts,
            first_attempt: run.first_attempt_at_ms.map(|ms| self.wall.moment(ms)),
            entries: entries.collect(),
        }
    }
}

/// A run of which nothing is left is removed. `entries` are settled of it.
pub fn settled(entries: u32, left: Left) -> Settled {
    if left.entries == 0 {
        return Settled::All;
    }
    Settled::Part {
        entries,
        events_left: left.events.into(),
        bytes_left: left.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_done_once_nothing_is_left_of_it() {
        let left = |entries, events| Left {
            entries,
            events,
            bytes: 9,
        };
        assert_eq!(settled(3, left(0, 0)), Settled::All);
        // Also when it is a marker.
        for events in [0, 1] {
            let part = Settled::Part {
                entries: 3,
                events_left: events.into(),
                bytes_left: 9,
            };
            assert_eq!(settled(3, left(1, events)), part);
        }
    }
}
