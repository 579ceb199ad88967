//! A model of the state file: what a commit keeps, and a crash leaves.
//!
//! A job is applied whole or not at all, and is on disk when it is answered; one that was
//! under way at a crash may be either. With [`Disk::with_a_file`] every job goes to a real
//! state file as well, and what that gives back must be what the model does.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tempfile::TempDir;
use walhook::change::TableName;
use walhook::event::EventId;
use walhook::lsn::Lsn;
use walhook::progress::tracker::{JOURNAL_LENGTH, ReadKind};
use walhook::store::{
    Checkpoint, EndpointRow, EndpointState, Entry, Gap, Intention, JournalEntry, LanePosition,
    NewDeadLetter, NewRun, Progress, RetryCursor, RunProgress, Settled, SlotState, Spool,
    StateLock, Store, StoredEvent, WaitingLane, WaitingRun,
};

use super::promises::Promises;

pub const SLOT: &str = "walhook";

struct Run {
    sequence: i64,
    settled: u32,
    new: NewRun,
}

struct Dead {
    number: i64,
    retrying: bool,
    event: StoredEvent,
}

#[derive(Default)]
pub struct Disk {
    pub intention: Option<Intention>,
    pub checkpoint: Option<Checkpoint>,
    positions: BTreeMap<(String, String), LanePosition>,
    journal: BTreeMap<(Lsn, ReadKind), JournalEntry>,
    journal_from: Option<Lsn>,
    runs: Vec<Run>,
    last_sequence: i64,
    dead: BTreeMap<(String, [u8; 16]), Dead>,
    last_dead: i64,
    gaps: BTreeMap<(String, Lsn), Gap>,
    endpoints: BTreeMap<String, EndpointRow>,
    /// What tells a table's rows apart.
    keys: HashMap<String, u64>,
    /// Bodies that wait.
    waiting: HashSet<(usize, EventId)>,
    file: Option<(Store, TempDir)>,
}

/// `endpoint-2` is the third.
pub fn endpoint_of(name: &str) -> usize {
    name.rsplit('-').next().unwrap().parse().unwrap()
}

pub fn endpoint_name(endpoint: usize) -> String {
    format!("endpoint-{endpoint}")
}

fn open(directory: &TempDir) -> Store {
    let path = directory.path().join("state.db");
    Store::open(StateLock::acquire(&path).unwrap()).unwrap()
}

impl Disk {
    pub fn with_a_file() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Disk {
            file: Some((open(&directory), directory)),
            ..Disk::default()
        }
    }

    fn store(&mut self) -> Option<&mut Store> {
        self.file.as_mut().map(|(store, _)| store)
    }

    /// The state file is closed without a word, and opened again.
    pub fn crash(&mut self) {
        if let Some((store, directory)) = self.file.take() {
            drop(store);
            self.file = Some((open(&directory), directory));
        }
    }

    pub fn waits(&self, endpoint: usize, id: EventId) -> bool {
        self.waiting.contains(&(endpoint, id))
    }

    /// A gap of the endpoint is on record that has this LSN.
    pub fn has_gap(&self, endpoint: usize, lsn: Lsn) -> bool {
        let name = endpoint_name(endpoint);
        let of_it = self
            .gaps
            .values()
            .filter(|gap| gap.endpoint.as_ref() == Some(&name));
        of_it
            .into_iter()
            .any(|gap| gap.from <= lsn && lsn <= gap.to)
    }

    pub fn durable(&self) -> Lsn {
        self.checkpoint
            .map_or(Lsn::ZERO, |checkpoint| checkpoint.lsn)
    }

    pub fn is_empty_of(&self, endpoint: usize) -> bool {
        let name = endpoint_name(endpoint);
        self.runs.iter().all(|run| run.new.endpoint != name)
    }

    pub fn waiting_bytes(&self, endpoint: usize) -> u64 {
        let name = endpoint_name(endpoint);
        let of_it = self.runs.iter().filter(|run| run.new.endpoint == name);
        of_it
            .flat_map(|run| left(run).iter().map(Entry::bytes))
            .sum()
    }

    pub fn intend(&mut self, system_identifier: u64, lsn: Lsn) {
        self.intention = Some(Intention {
            system_identifier,
            lsn,
        });
        if self.checkpoint.is_none() {
            self.journal_from = Some(lsn);
        }
        if let Some(store) = self.store() {
            store.intend(SLOT, system_identifier, lsn).unwrap();
        }
    }

    pub fn set_endpoint(&mut self, endpoint: &str, state: EndpointState) {
        let row = EndpointRow {
            endpoint: endpoint.to_owned(),
            state,
            since_ms: 0,
        };
        self.endpoints.insert(endpoint.to_owned(), row);
        if let Some(store) = self.store() {
            store.set_endpoint(SLOT, endpoint, state, 0).unwrap();
        }
    }

    pub fn commit(&mut self, progress: &Progress, promises: &mut Promises) {
        for letter in &progress.dead {
            self.bury(letter);
            promises.dead(endpoint_of(&letter.endpoint), letter.event.id);
        }
        self.stand_at(&progress.positions, promises);
        for run in &progress.runs {
            self.settle(run, promises);
        }
        for gap in &progress.gaps {
            let name = gap.endpoint.clone().unwrap_or_default();
            self.gaps.insert((name, gap.from), gap.clone());
        }
        if let Some(checkpoint) = progress.checkpoint {
            let lsn = checkpoint.lsn;
            assert!(lsn >= self.durable(), "P2: the checkpoint goes back");
            self.checkpoint = Some(checkpoint);
            let disabled = |name: &str| {
                let row = self.endpoints.get(name);
                row.is_some_and(|row| row.state != EndpointState::Enabled)
            };
            self.positions
                .retain(|(name, _), lane| lane.position.lsn >= lsn || disabled(name));
        }
        self.keys.extend(progress.keys.iter().cloned());
        self.remember(&progress.journal);
        if let Some(store) = self.store() {
            store.commit(progress).unwrap();
        }
    }

    fn bury(&mut self, letter: &NewDeadLetter) {
        let key = (letter.endpoint.clone(), letter.event.id.0);
        if let Some(dead) = self.dead.get_mut(&key) {
            dead.retrying = false;
            return;
        }
        self.last_dead += 1;
        let dead = Dead {
            number: self.last_dead,
            retrying: false,
            event: letter.event.clone(),
        };
        self.dead.insert(key, dead);
    }

    fn stand_at(&mut self, positions: &[LanePosition], promises: &mut Promises) {
        for lane in positions {
            let endpoint = endpoint_of(&lane.endpoint);
            promises.stands_at(endpoint, &lane.lane, lane.position, |endpoint, id| {
                self.waits(endpoint, id)
            });
            let key = (lane.endpoint.clone(), lane.lane.clone());
            match self.positions.get(&key) {
                Some(stored) if stored.position > lane.position => {}
                _ => {
                    self.positions.insert(key, lane.clone());
                }
            }
        }
    }

    fn settle(&mut self, progress: &RunProgress, promises: &mut Promises) {
        let endpoint = endpoint_of(&progress.endpoint);
        let (waiting, mut gone) = (&mut self.waiting, Vec::new());
        self.runs.retain_mut(|run| {
            let ours = run.new.endpoint == progress.endpoint && run.new.lane == progress.lane;
            if !ours || run.sequence > progress.sequence {
                return true;
            }
            let settled = match progress.settled {
                Settled::Part { entries, .. } if run.sequence == progress.sequence => entries,
                _ => u32::try_from(run.new.entries.len()).unwrap(),
            };
            if settled < run.settled {
                return true;
            }
            let passed = &run.new.entries[run.settled as usize..settled as usize];
            for entry in passed {
                if let Entry::Event(event) = entry {
                    waiting.remove(&(endpoint, event.id));
                    gone.push(event.id);
                }
            }
            let same = settled == run.settled;
            run.settled = settled;
            if let Settled::Part {
                events_left,
                bytes_left,
                ..
            } = progress.settled
                && run.sequence == progress.sequence
            {
                let events = left(run)
                    .iter()
                    .filter(|entry| matches!(entry, Entry::Event(_)));
                assert_eq!(
                    events.count() as u64,
                    events_left,
                    "P7: events left of a run"
                );
                let bytes: u64 = left(run).iter().map(Entry::bytes).sum();
                assert_eq!(bytes, bytes_left, "P7: bytes left of a run");
                if same {
                    let new = &mut run.new;
                    new.first_attempt_at_ms =
                        new.first_attempt_at_ms.or(progress.first_attempt_at_ms);
                    new.attempts = new.attempts.max(progress.attempts);
                } else {
                    run.new.first_attempt_at_ms = progress.first_attempt_at_ms;
                    run.new.attempts = progress.attempts;
                }
                return true;
            }
            false
        });
        for id in gone {
            promises.leaves_disk(endpoint, id);
        }
    }

    fn remember(&mut self, journal: &[JournalEntry]) {
        if journal.is_empty() {
            return;
        }
        let durable = self.durable();
        let bound = (durable, ReadKind::Transaction);
        let place = |entry: &JournalEntry| (entry.commit_lsn, entry.kind);
        let below = journal.partition_point(|entry| place(entry) < bound);
        for entry in &journal[below.saturating_sub(JOURNAL_LENGTH)..] {
            self.journal.insert(place(entry), *entry);
        }
        while self.journal.range(..bound).count() > JOURNAL_LENGTH {
            self.journal.pop_first();
        }
        let stood_in: HashSet<Lsn> = self.positions.values().map(|it| it.position.lsn).collect();
        self.journal
            .retain(|place, _| *place < bound || stood_in.contains(&place.0));
    }

    pub fn append(
        &mut self,
        runs: &[NewRun],
        positions: &[LanePosition],
        promises: &mut Promises,
    ) -> Vec<i64> {
        let mut sequences = Vec::new();
        for run in runs.iter().filter(|run| !run.entries.is_empty()) {
            let endpoint = endpoint_of(&run.endpoint);
            for entry in &run.entries {
                if let Entry::Event(event) = entry {
                    let new = self.waiting.insert((endpoint, event.id));
                    assert!(new, "P7: {} is on disk twice", event.id);
                }
            }
            self.last_sequence += 1;
            sequences.push(self.last_sequence);
            self.runs.push(Run {
                sequence: self.last_sequence,
                settled: 0,
                new: run.clone(),
            });
        }
        self.stand_at(positions, promises);
        if let Some(store) = self.store() {
            let given = store.append_runs(SLOT, runs, positions).unwrap();
            assert_eq!(given, sequences, "the sequences of the state file");
        }
        sequences
    }

    pub fn read_runs(
        &mut self,
        endpoint: &str,
        lane: &str,
        after: i64,
        bytes_max: u64,
    ) -> Vec<WaitingRun> {
        let mut bytes = 0;
        let ours = self.runs.iter().filter(|run| {
            run.new.endpoint == endpoint && run.new.lane == lane && run.sequence > after
        });
        let runs = ours.take_while(|run| {
            let before = bytes;
            bytes += left(run).iter().map(Entry::bytes).sum::<u64>();
            before < bytes_max
        });
        let runs: Vec<WaitingRun> = runs
            .map(|run| WaitingRun {
                sequence: run.sequence,
                endpoint: endpoint.to_owned(),
                lane: lane.to_owned(),
                table: Arc::clone(&run.new.table),
                enqueued_at_ms: run.new.enqueued_at_ms,
                first_attempt_at_ms: run.new.first_attempt_at_ms,
                attempts: run.new.attempts,
                settled: run.settled,
                entries: left(run).to_vec(),
            })
            .collect();
        if let Some(store) = self.store() {
            let read = store.read_runs(SLOT, endpoint, lane, after, bytes_max);
            assert_eq!(read.unwrap(), runs, "the runs of the state file");
        }
        runs
    }

    /// A person sends all dead letters of the endpoint again.
    pub fn retry_all(&mut self, endpoint: &str) {
        for ((name, _), dead) in &mut self.dead {
            dead.retrying |= name == endpoint;
        }
        if let Some(store) = self.store() {
            let of_it = walhook::store::DeadFilter {
                endpoint: Some(endpoint.to_owned()),
                ..walhook::store::DeadFilter::default()
            };
            store.dead_retry(&of_it).unwrap();
        }
    }

    pub fn retrying(
        &mut self,
        endpoint: &str,
        after: Option<RetryCursor>,
        events_max: usize,
    ) -> Vec<(RetryCursor, StoredEvent)> {
        let ours = self
            .dead
            .iter()
            .filter(|((name, _), dead)| name == endpoint && dead.retrying);
        let mut letters: Vec<(RetryCursor, StoredEvent)> = ours
            .map(|(_, dead)| {
                let cursor = RetryCursor {
                    position: dead.event.position,
                    id: dead.number,
                };
                let fate = walhook::event::Fate::Deliver;
                let event = dead.event.clone();
                (cursor, StoredEvent { fate, ..event })
            })
            .filter(|(cursor, _)| Some(*cursor) > after)
            .collect();
        letters.sort_by_key(|(cursor, _)| *cursor);
        letters.truncate(events_max);
        if let Some(store) = self.store() {
            let read = store.retrying(SLOT, endpoint, after, events_max, usize::MAX);
            let read: Vec<_> = read
                .unwrap()
                .into_iter()
                .map(|it| (it.cursor, it.event))
                .collect();
            assert_eq!(read, letters, "the dead letters of the state file");
        }
        letters
    }

    /// The letters were delivered after all.
    pub fn dead_delivered(&mut self, endpoint: &str, ids: &[EventId], promises: &mut Promises) {
        for id in ids {
            self.dead.remove(&(endpoint.to_owned(), id.0));
            promises.dead_leaves_disk(endpoint_of(endpoint), *id);
        }
        if let Some(store) = self.store() {
            store.dead_delivered(SLOT, endpoint, ids).unwrap();
        }
    }

    pub fn dead_again(
        &mut self,
        endpoint: &str,
        ids: &[EventId],
        verdict: &walhook::store::Verdict,
    ) {
        for id in ids {
            if let Some(dead) = self.dead.get_mut(&(endpoint.to_owned(), id.0)) {
                dead.retrying = false;
            }
            if let Some(store) = self.store() {
                store.dead_again(SLOT, endpoint, *id, verdict).unwrap();
            }
        }
    }

    pub fn waiting_lanes(&mut self) -> Vec<WaitingLane> {
        let mut lanes: BTreeMap<(String, String), WaitingLane> = BTreeMap::new();
        for run in &self.runs {
            let new = &run.new;
            let lane = lanes
                .entry((new.endpoint.clone(), new.lane.clone()))
                .or_insert_with(|| WaitingLane {
                    endpoint: new.endpoint.clone(),
                    lane: new.lane.clone(),
                    table: TableName::clone(&new.table),
                    events: 0,
                    bytes: 0,
                    last_sequence: 0,
                    oldest_enqueued_at_ms: i64::MAX,
                });
            lane.events += left(run)
                .iter()
                .filter(|it| matches!(it, Entry::Event(_)))
                .count() as u64;
            lane.bytes += left(run).iter().map(Entry::bytes).sum::<u64>();
            lane.last_sequence = run.sequence;
            lane.oldest_enqueued_at_ms = lane.oldest_enqueued_at_ms.min(new.enqueued_at_ms);
            lane.table = TableName::clone(&new.table);
        }
        let lanes: Vec<WaitingLane> = lanes.into_values().collect();
        if let Some(store) = self.store() {
            assert_eq!(
                store.waiting_lanes(SLOT).unwrap(),
                lanes,
                "the lanes of the state file"
            );
        }
        lanes
    }

    /// What a start finds.
    pub fn load(&mut self) -> SlotState {
        let durable = self.durable();
        let first = self.journal.keys().next().map(|(lsn, _)| *lsn);
        let cut = self
            .journal
            .range(..(durable, ReadKind::Transaction))
            .count()
            >= JOURNAL_LENGTH;
        let state = SlotState {
            intention: self.intention,
            checkpoint: self.checkpoint,
            positions: self.positions.values().cloned().collect(),
            journal: self.journal.values().copied().collect(),
            journal_from: if cut {
                self.journal_from.max(first)
            } else {
                self.journal_from
            },
            endpoints: self.endpoints.values().cloned().collect(),
            rules: self.keys.clone(),
            ..SlotState::default()
        };
        if let Some(store) = self.store() {
            let mut loaded = store.load(SLOT).unwrap();
            loaded.history = None;
            assert_eq!(loaded, state, "the state file's state");
        }
        state
    }
}

fn left(run: &Run) -> &[Entry] {
    &run.new.entries[run.settled as usize..]
}
