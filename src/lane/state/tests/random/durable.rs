//! A state file in memory.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::event::Event;
use crate::lane::attempt::{
    DiskProgress, LaneProgress, Load, LoadedEntry, LoadedRun, MonotonicMs, Write, WriteEntry,
};

pub(super) enum RunEntry {
    Body(Event),
    Marker(Event),
}

impl RunEntry {
    pub(super) fn event(&self) -> &Event {
        match self {
            RunEntry::Body(event) | RunEntry::Marker(event) => event,
        }
    }

    pub(super) fn body(&self) -> Option<&Event> {
        match self {
            RunEntry::Body(event) => Some(event),
            RunEntry::Marker(_) => None,
        }
    }
}

/// A run on the simulated disk.
pub(super) struct Run {
    pub(super) sequence: i64,
    pub(super) lane: Arc<str>,
    pub(super) since: MonotonicMs,
    pub(super) attempts: u32,
    pub(super) first_attempt: Option<MonotonicMs>,
    pub(super) settled: u32,
    pub(super) entries: Vec<RunEntry>,
}

/// What outlives a crash.
#[derive(Default)]
pub(super) struct Durable {
    pub(super) runs: Vec<Run>,
    pub(super) last_sequence: i64,
    pub(super) positions: HashMap<Arc<str>, LaneProgress>,
    /// Events before this number are settled.
    pub(super) checkpoint: u64,
    pub(super) dead: HashSet<u64>,
}

impl Durable {
    pub(super) fn position(&mut self, at: &LaneProgress) {
        let stored = self
            .positions
            .entry(Arc::clone(&at.lane))
            .or_insert_with(|| at.clone());
        if stored.position <= at.position {
            *stored = at.clone();
        }
    }

    pub(super) fn on_disk(&mut self, at: &DiskProgress) {
        let all = at.left.entries == 0;
        self.runs
            .retain(|run| run.lane != at.lane || run.sequence > at.sequence - i64::from(!all));
        for run in &mut self.runs {
            if run.lane == at.lane && run.sequence == at.sequence && run.settled <= at.settled {
                run.settled = at.settled;
                run.attempts = at.attempts;
                run.first_attempt = at.first_attempt;
                let left = run.entries.len() - at.settled as usize;
                assert_eq!(left, at.left.entries as usize, "what is left of a run");
            }
        }
    }

    pub(super) fn append(&mut self, write: Write) -> Vec<i64> {
        for at in &write.positions {
            self.position(at);
        }
        let runs = write.runs.into_iter().map(|run| {
            self.last_sequence += 1;
            let entries = run.entries.into_iter().map(|entry| match entry {
                WriteEntry::Event(event) => RunEntry::Body(Event::clone(&event)),
                WriteEntry::Marker(event) => RunEntry::Marker(Event::clone(&event)),
            });
            self.runs.push(Run {
                sequence: self.last_sequence,
                lane: run.lane,
                since: run.since,
                attempts: run.attempts,
                first_attempt: run.first_attempt,
                settled: 0,
                entries: entries.collect(),
            });
            self.last_sequence
        });
        runs.collect()
    }

    pub(super) fn read(&self, load: &Load) -> Vec<LoadedRun> {
        let mut bytes = 0;
        let runs = self.runs.iter();
        runs.filter(|run| run.lane == load.name && run.sequence > load.after)
            .take_while(|run| {
                let before = bytes;
                bytes += run
                    .entries
                    .iter()
                    .filter_map(RunEntry::body)
                    .map(|e| e.body.len() as u64)
                    .sum::<u64>();
                before < load.bytes_max
            })
            .map(|run| LoadedRun {
                sequence: run.sequence,
                since: run.since,
                settled: run.settled,
                attempts: run.attempts,
                first_attempt: run.first_attempt,
                entries: run
                    .entries
                    .iter()
                    .skip(run.settled as usize)
                    .map(|entry| match entry {
                        RunEntry::Body(event) => LoadedEntry::Event(event.clone()),
                        RunEntry::Marker(event) => LoadedEntry::Marker(event.id),
                    })
                    .collect(),
            })
            .collect()
    }
}
