//! At random: an endpoint with every fault, a spool, crashes. The promises are checked on
//! every step.

mod durable;
mod steps;

use std::collections::{HashMap, HashSet};

use durable::{Durable, RunEntry};
use proptest::prelude::*;
use steps::{Step, orders, steps};

use super::*;
use crate::delivery::outcome::{Outcome, Unreachable};
use crate::lane::attempt::{Finished, Load, LoadedRun, Park, Progress, Write};
use crate::lane::name::LaneName;
use crate::lane::state::Why;

/// The lanes, all around them, and what the promises say, kept beside it.
struct World {
    options: LaneOptions,
    lanes: Lanes,
    durable: Durable,
    /// Not durable yet.
    unsaved: Progress,
    in_flight: Vec<Attempt>,
    parking: Vec<Park>,
    writing: Option<Write>,
    loading: Vec<(Load, Vec<LoadedRun>)>,
    now: MonotonicMs,
    /// All that was ever read, in order: event `n` has the number `FIRST + n`.
    wal: Vec<Event>,
    /// Settled as the ledger sees it, in this life.
    settled: HashSet<u64>,
    /// Delivered or dead: in any life, and in this one.
    done: HashSet<u64>,
    done_in_life: HashSet<u64>,
    attempted: HashMap<u64, Vec<u64>>,
}

const FIRST: u64 = 1_000;
static BODY: [u8; 100_000] = [b'x'; 100_000];

impl World {
    fn new(options: LaneOptions) -> Self {
        World {
            lanes: lanes(options.clone()),
            options,
            durable: Durable {
                checkpoint: FIRST,
                ..Durable::default()
            },
            unsaved: Progress::default(),
            in_flight: Vec::new(),
            parking: Vec::new(),
            writing: None,
            loading: Vec::new(),
            now: 0,
            wal: Vec::new(),
            settled: HashSet::new(),
            done: HashSet::new(),
            done_in_life: HashSet::new(),
            attempted: HashMap::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push { table, keys } => {
                let number = FIRST + self.wal.len() as u64;
                let mut event = event(["a", "b", "c"][usize::from(table)], number, keys.keys());
                event.body = Bytes::from_static(&BODY);
                self.wal.push(event.clone());
                assert_eq!(self.lanes.push(event, self.now), Pushed::Queued);
            }
            Step::Retry { table, keys } => {
                let number = u64::from(table) + 1;
                let table = ["a", "b", "c"][usize::from(table)];
                self.lanes
                    .push_retried(event(table, number, keys.keys()), self.now);
            }
            Step::Send => {
                if let Some(next) = self.lanes.next(self.now) {
                    self.next(next);
                }
            }
            Step::Finish { which, outcome } if !self.in_flight.is_empty() => {
                let attempt = self.in_flight.remove(which % self.in_flight.len());
                self.finish(&attempt, &outcome_of(outcome));
            }
            Step::Parked { which } if !self.parking.is_empty() => {
                let park = self.parking.remove(which % self.parking.len());
                self.parked(&park);
            }
            Step::Time(ms) => self.now += i64::from(ms),
            Step::Enable => self.lanes.enable(),
            Step::Unload => self.lanes.unload_what_follows(),
            Step::ToDisk { pressed } => {
                let why = if pressed { Why::Pressure } else { Why::Age };
                self.lanes.move_to_disk(why, self.now);
            }
            Step::Write if self.writing.is_none() => self.writing = self.lanes.take_write(),
            Step::Written { fails } => self.written(fails),
            Step::Load => {
                if let Some(load) = self.lanes.next_load() {
                    let runs = self.durable.read(&load);
                    self.loading.push((load, runs));
                }
            }
            Step::Loaded { which } if !self.loading.is_empty() => {
                let (load, runs) = self.loading.remove(which % self.loading.len());
                self.lanes.loaded(load.lane, runs, self.now);
            }
            Step::Checkpoint => self.checkpoint(),
            Step::Crash => self.crash(),
            Step::Finish { .. } | Step::Parked { .. } | Step::Loaded { .. } | Step::Write => {}
        }
        assert_eq!(self.lanes.in_flight(), self.in_flight.len());
    }

    fn next(&mut self, next: Next) {
        match next {
            Next::Attempt(attempt) => {
                if attempt.events[0].position.lsn.0 >= FIRST {
                    self.attempted(&attempt);
                }
                self.in_flight.push(attempt);
            }
            Next::Park(park) => self.parking.push(park),
        }
    }

    /// P3: when an event is attempted, all ahead of it in its lanes are delivered, dead
    /// or in the same request. And none is attempted that this life has delivered.
    fn attempted(&mut self, attempt: &Attempt) {
        let batch = numbers(attempt);
        for event in &attempt.events {
            let number = event.position.lsn.0;
            assert!(
                !self.done_in_life.contains(&number),
                "{number} is sent twice"
            );
            let lanes: HashSet<LaneName> =
                lanes_of(event, self.options.order).into_iter().collect();
            let ahead = self
                .wal
                .iter()
                .take_while(|ahead| ahead.position < event.position);
            for earlier in ahead {
                let ahead = earlier.position.lsn.0;
                let together = lanes_of(earlier, self.options.order)
                    .iter()
                    .any(|lane| lanes.contains(lane));
                assert!(
                    !together || self.done.contains(&ahead) || batch.contains(&ahead),
                    "event {number} was attempted before {ahead}"
                );
            }
        }
        for number in &batch {
            let before = self.attempted.insert(*number, batch.clone());
            if let Some(before) = before {
                assert_eq!(
                    before, batch,
                    "a batch changed its events: {:#?}",
                    self.lanes
                );
            }
        }
    }

    fn finish(&mut self, attempt: &Attempt, outcome: &Outcome) {
        let chance = self.now.unsigned_abs();
        match self.lanes.finish(attempt.ticket, outcome, self.now, chance) {
            Finished::Again => match self.lanes.failing_at(attempt.ticket) {
                Some(HeadProgress::Memory(at)) => self.unsaved.positions.push(at),
                Some(HeadProgress::Disk(at)) => self.unsaved.on_disk.push(at),
                None => {}
            },
            Finished::Settled(settled) => {
                self.done(&settled.events);
                self.progress(settled.progress);
            }
            Finished::Park(park) => self.parking.push(park),
        }
    }

    fn parked(&mut self, park: &Park) {
        if !park.retried {
            let numbers = park.events.iter().map(|event| event.position.lsn.0);
            self.durable.dead.extend(numbers);
        }
        park.positions
            .iter()
            .for_each(|at| self.durable.position(at));
        park.on_disk.iter().for_each(|at| self.durable.on_disk(at));
        let settled = self.lanes.parked(park.ticket, self.now);
        self.done(&settled.events);
        self.progress(settled.progress);
    }

    fn done(&mut self, events: &[Arc<Event>]) {
        for event in events.iter().filter(|event| event.position.lsn.0 >= FIRST) {
            let number = event.position.lsn.0;
            assert!(self.done_in_life.insert(number), "{number} is done twice");
            self.done.insert(number);
        }
    }

    fn written(&mut self, fails: bool) {
        let Some(write) = self.writing.take() else {
            return;
        };
        if fails {
            self.lanes.not_written();
            return;
        }
        let sequences = self.durable.append(write);
        let progress = self.lanes.written(&sequences, self.now);
        self.progress(progress);
    }

    fn progress(&mut self, progress: Progress) {
        for (lsn, count) in &progress.settled {
            // Each event is a transaction of its own.
            assert_eq!(*count, 1);
            assert!(self.settled.insert(lsn.0), "{} is settled twice", lsn.0);
        }
        self.unsaved.positions.extend(progress.positions);
        self.unsaved.on_disk.extend(progress.on_disk);
    }

    fn checkpoint(&mut self) {
        let mut at = self.durable.checkpoint;
        while self.settled.contains(&at) {
            at += 1;
        }
        // P1: all that is confirmed is delivered, dead, or on disk.
        let on_disk: HashSet<u64> = self
            .durable
            .runs
            .iter()
            .flat_map(|run| {
                let left = run.entries.iter().skip(run.settled as usize);
                left.filter_map(RunEntry::body)
            })
            .map(|event| event.position.lsn.0)
            .collect();
        for number in FIRST..at {
            assert!(
                self.done.contains(&number) || on_disk.contains(&number),
                "{number} is confirmed and nowhere"
            );
        }
        let unsaved = std::mem::take(&mut self.unsaved);
        unsaved
            .positions
            .iter()
            .for_each(|at| self.durable.position(at));
        unsaved
            .on_disk
            .iter()
            .for_each(|at| self.durable.on_disk(at));
        self.durable.checkpoint = at;
    }

    fn crash(&mut self) {
        // A write that was under way may have reached the disk.
        if let Some(write) = self.writing.take()
            && self.now % 2 == 0
        {
            self.durable.append(write);
        }
        self.unsaved = Progress::default();
        self.in_flight.clear();
        self.parking.clear();
        self.loading.clear();
        self.attempted.clear();
        self.settled.clear();
        self.done_in_life.clear();
        let mut last: HashMap<Arc<str>, (i64, Arc<TableName>)> = HashMap::new();
        for run in &self.durable.runs {
            let table = Arc::clone(&run.entries[0].event().table);
            last.insert(Arc::clone(&run.lane), (run.sequence, table));
        }
        let on_disk = last
            .into_iter()
            .map(|(lane, (last_sequence, table))| OnDisk {
                lane: LaneName::read(&lane, &table, self.options.order).unwrap(),
                last_sequence,
                oldest_commit_time_us: 0,
            });
        let base = Position::start_of(Lsn(self.durable.checkpoint));
        let positions = self.durable.positions.values().cloned().collect();
        self.lanes = Lanes::new(
            self.options.clone(),
            base,
            positions,
            on_disk.collect(),
            Health::Open,
        );
        // Postgres sends again what was not confirmed.
        for event in self.wal.clone() {
            let number = event.position.lsn.0;
            if number >= self.durable.checkpoint
                && self.lanes.push(event, self.now) == Pushed::Repeat
            {
                self.settled.insert(number);
            }
        }
    }

    /// From here on the endpoint answers, and the disk works.
    fn settle_down(&mut self) {
        self.lanes.enable();
        for round in 0..20_000 {
            for park in std::mem::take(&mut self.parking) {
                self.parked(&park);
            }
            while let Some(next) = self.lanes.next(self.now) {
                self.next(next);
            }
            while let Some(load) = self.lanes.next_load() {
                let runs = self.durable.read(&load);
                self.loading.push((load, runs));
            }
            if self.writing.is_none() {
                self.writing = self.lanes.take_write();
            }
            if round % 16 == 0 {
                self.checkpoint();
            }
            if let Some(attempt) = self.in_flight.pop() {
                self.finish(&attempt, &Outcome::Delivered);
            } else if let Some((load, runs)) = self.loading.pop() {
                self.lanes.loaded(load.lane, runs, self.now);
            } else if self.writing.is_some() {
                self.written(false);
            } else if let Some(at) = self.lanes.wake_at(self.now) {
                self.now = self.now.max(at);
            } else if self.parking.is_empty() {
                break;
            }
        }
        self.checkpoint();
        let read = FIRST..FIRST + self.wal.len() as u64;
        let missing: Vec<u64> = read.clone().filter(|n| !self.done.contains(n)).collect();
        assert!(
            missing.is_empty(),
            "stuck or lost: {missing:?} in {:#?}",
            self.lanes
        );
        assert_eq!(self.durable.checkpoint, read.end, "the slot moves on");
        assert!(self.durable.runs.is_empty(), "nothing is left on disk");
    }
}

fn outcome_of(number: u8) -> Outcome {
    match number {
        0..=6 => Outcome::Delivered,
        7 | 8 => Outcome::Rejected { status: 500 },
        9 | 10 => Outcome::Unreachable(Unreachable::Timeout),
        11 => Outcome::Paused {
            status: 429,
            wait: Duration::from_secs(3),
        },
        12 => Outcome::Refused { status: 422 },
        _ => Outcome::Gone,
    }
}

/// `PROPTEST_CASES`, or enough to find what was ever found.
fn cases() -> u32 {
    let given = std::env::var("PROPTEST_CASES").ok();
    given.and_then(|cases| cases.parse().ok()).unwrap_or(1_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Whatever happens: order is kept, nothing is settled twice or lost, and once the
    /// endpoint answers everything is delivered and the slot moves on.
    #[test]
    fn order_holds_and_nothing_is_stuck_or_lost(
        steps in steps(), order in orders(), batch in any::<bool>(),
    ) {
        let options = if batch {
            batched(order, 4, 5)
        } else {
            LaneOptions { concurrency: 3, ..options(order) }
        };
        let mut world = World::new(options);
        for step in steps {
            world.step(step);
        }
        world.settle_down();
    }
}
