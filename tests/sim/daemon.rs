//! The daemon, a step at a time: the deciders of `src`, joined as its tasks join them.
//!
//! ```text
//! walsender --bytes--> Reading --inbox--> Endpoint --> request
//!                         |                  |
//!                         `---> Tracker <----'   jobs --> disk
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use fastrand::Rng;
use walhook::daemon::Lineage;
use walhook::daemon::reading::{Next, Parts, Reading};
use walhook::event::{EndpointIndex, Position};
use walhook::lane::attempt::{LaneProgress, MonotonicMs, OnDisk};
use walhook::lane::budget::{Holder, MemoryBudget};
use walhook::lane::endpoint::restored_health;
use walhook::lane::health::Health;
use walhook::lane::name::LaneName;
use walhook::lane::options::Order;
use walhook::lane::spool_room::SpoolRoom;
use walhook::lane::state::{Lanes, Why};
use walhook::lsn::Lsn;
use walhook::mapping::form::BodyForm;
use walhook::mapping::{EndpointMapping, KeyUse, SourceIdentity};
use walhook::pgoutput::{Frame, Reply, status_update};
use walhook::postgres::slot::{SlotFacts, SlotVerdict, WalStatus, compare};
use walhook::progress::tracker::{Tracker, Unsaved};
use walhook::store::{Checkpoint, SlotState};
use walhook::telemetry::metrics::Metrics;

use super::database::{Database, Walsender};
use super::disk::{Disk, SLOT, endpoint_name};
use super::endpoint::{Around, Endpoint};
use super::job::Job;
use super::promises::Promises;
use super::setup::{ORIGIN, Rules, SYSTEM, Setup, TABLES};

/// A stream, and what it waits for.
pub struct Stream {
    sender: Walsender,
    /// The last message waits for room in memory.
    is_blocked: bool,
    received: Lsn,
    confirmed: Lsn,
}

pub struct Daemon {
    pub tracker: Arc<Tracker>,
    pub budget: Arc<MemoryBudget>,
    pub room: SpoolRoom,
    pub endpoints: Vec<Endpoint>,
    pub stream: Option<Stream>,
    /// What the checkpoint task has let the stream confirm.
    pub durable: Lsn,
    pub jobs: VecDeque<Job>,
    /// The wall's milliseconds at its start, and its own clock.
    pub started_ms: i64,
    pub now_ms: MonotonicMs,
    reading: Reading,
    state: SlotState,
    /// A checkpoint is being written.
    pub saving: bool,
}

impl Daemon {
    pub fn start(setup: &Setup, rules: &Rules, disk: &mut Disk, now_ms: i64) -> Self {
        let state = disk.load();
        let checkpoint = state.checkpoint.map_or(Lsn::ZERO, |found| found.lsn);
        let budget = Arc::new(MemoryBudget::new(setup.memory_bytes));
        let tracker = Arc::new(Tracker::new(checkpoint));
        let endpoints = endpoints(setup, &state, disk, &budget, now_ms);
        let mappings = setup.endpoints.iter().enumerate();
        let reading = Reading::new(Parts {
            rules: Arc::clone(&rules.tables),
            messages: Arc::clone(&rules.messages),
            ignored_origins: if setup.ignores_origin {
                Arc::new([ORIGIN.to_owned()])
            } else {
                Arc::new([])
            },
            endpoints: mappings
                .map(|(index, options)| EndpointMapping {
                    name: endpoint_name(index).into(),
                    key_use: match options.order {
                        Order::Key { .. } => KeyUse::Needed,
                        Order::Table | Order::Endpoint => KeyUse::NotNeeded,
                    },
                    form: BodyForm::default(),
                })
                .collect(),
            tracker: Arc::clone(&tracker),
            metrics: Arc::new(Metrics::new()),
            inboxes: endpoints.iter().map(|it| Arc::clone(&it.inbox)).collect(),
            holders: endpoints.iter().map(|it| Arc::clone(&it.holder)).collect(),
            history: walhook::daemon::history(&state, checkpoint),
        })
        .with_keys(state.rules.clone());
        let room = SpoolRoom::new(setup.spool_bytes, setup.spool_full, setup.endpoints.len());
        Daemon {
            tracker,
            budget,
            room,
            endpoints,
            stream: None,
            durable: checkpoint,
            jobs: VecDeque::new(),
            started_ms: now_ms,
            now_ms: 0,
            reading,
            state,
            saving: false,
        }
    }

    /// Connects, as a session does; `crashes` says whether it dies in the middle.
    pub fn connect(
        &mut self,
        database: &mut Database,
        disk: &mut Disk,
        mut crashes: impl FnMut() -> bool,
    ) -> bool {
        match self.verdict(database) {
            SlotVerdict::Fresh => {
                disk.intend(SYSTEM, database.flush);
                self.state = disk.load();
                if crashes() {
                    return false;
                }
                let point = database.create_slot();
                if crashes() {
                    return false;
                }
                self.tracker.idle(point);
            }
            SlotVerdict::Ours | SlotVerdict::OursByIntention => {}
            verdict => panic!("P2: {verdict}"),
        }
        self.reading.of_source(SourceIdentity {
            system_identifier: SYSTEM,
            database: "app".into(),
        });
        let (sender, from) = database.start(Lsn::ZERO);
        self.reading.reconnected(from);
        self.stream = Some(Stream {
            sender,
            is_blocked: false,
            received: Lsn::ZERO,
            confirmed: Lsn::ZERO,
        });
        true
    }

    fn verdict(&self, database: &Database) -> SlotVerdict {
        let mut state = self.state.clone();
        if !self.durable.is_zero() {
            state.checkpoint = Some(checkpoint(self.durable));
        }
        let lanes = state.positions.iter().map(|lane| lane.position.lsn);
        let reached = lanes.fold(self.reading.history().read_to(), Lsn::max);
        let expected = walhook::daemon::expected(SLOT, &state, reached);
        let facts = database.slot.as_ref().map(|slot| SlotFacts {
            name: SLOT.into(),
            plugin: Some("pgoutput".into()),
            database: Some("app".into()),
            active_pid: None,
            active_application: None,
            confirmed_flush: Some(slot.confirmed),
            restart_lsn: Some(slot.confirmed),
            wal_status: Some(WalStatus::Reserved),
            safe_wal_bytes: None,
            invalidation_reason: None,
            is_temporary: false,
            is_two_phase: false,
            retained_bytes: Some(0),
            catalog_xmin_age: Some(1),
        });
        compare(&expected, facts.as_ref(), "app", SYSTEM, database.flush)
    }

    /// Reads up to `frames` frames. What is read is handed over, unless the stream
    /// `breaks` there.
    pub fn read(&mut self, database: &Database, rng: &mut Rng, frames: usize, breaks: bool) {
        for _ in 0..frames {
            if self.is_blocked() {
                if !self.make_room() {
                    return;
                }
                self.set_blocked(false);
            }
            let Some(stream) = &mut self.stream else {
                return;
            };
            let frame = match rng.u8(..8) {
                0 => Some(stream.sender.keepalive(database, rng)),
                1 if rng.u8(..9) == 0 => {
                    stream.sender.forget_relations();
                    None
                }
                _ => stream.sender.message(database),
            };
            let Some(frame) = frame else { break };
            self.frame(&frame);
            if self.reading.has_pending() && !self.make_room() {
                self.set_blocked(true);
                return;
            }
        }
        if !breaks {
            self.flush();
        }
    }

    /// All that there is, and the keepalive behind it. False: it waits for room.
    pub fn read_all(&mut self, database: &Database, rng: &mut Rng) -> bool {
        self.read(database, rng, 200, false);
        let Some(stream) = &mut self.stream else {
            return false;
        };
        if stream.is_blocked || stream.sender.is_inside() || stream.sender.has_more(database) {
            return false;
        }
        let frame = stream.sender.last_keepalive(database);
        self.frame(&frame);
        true
    }

    fn frame(&mut self, frame: &[u8]) {
        let read = match Frame::parse(frame).unwrap() {
            Frame::Data {
                wal_end, payload, ..
            } => {
                self.received(wal_end);
                self.reading.message(payload)
            }
            Frame::Keepalive { wal_end, .. } => {
                self.received(wal_end);
                self.reading.keepalive(wal_end).map(|()| Next::Go)
            }
        };
        match read {
            Ok(Next::Go) => {}
            Ok(Next::Describe(announced)) => {
                let oid = announced.relation.oid;
                let table = TABLES.iter().find(|table| table.oid == oid);
                let has_key = table.is_some_and(|table| table.has_key);
                let key: &[String] = if has_key { &["id".to_owned()] } else { &[] };
                self.reading.bind(announced, key, &[], Vec::new());
            }
            Ok(Next::Reread(types)) => panic!("the types {types:?} are built in"),
            Err(error) => panic!("P1: the stream is refused: {error:?}"),
        }
    }

    fn received(&mut self, wal_end: Lsn) {
        if let Some(stream) = &mut self.stream {
            stream.received = stream.received.max(wal_end);
        }
    }

    fn flush(&mut self) {
        if let Err(error) = self.reading.flush() {
            panic!("P1: what was read is refused: {error:?}");
        }
    }

    fn make_room(&mut self) -> bool {
        if !self.budget.try_take(self.reading.pending_bytes()) {
            self.flush();
            return false;
        }
        if let Err(error) = self.reading.stage() {
            panic!("P1: what was read is refused: {error:?}");
        }
        true
    }

    pub fn is_blocked(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.is_blocked)
    }

    fn set_blocked(&mut self, is_blocked: bool) {
        if let Some(stream) = &mut self.stream {
            stream.is_blocked = is_blocked;
        }
    }

    /// Reading waits for memory: who holds most of it is to spool.
    pub fn press(&mut self, promises: &mut Promises) {
        let most =
            (0..self.endpoints.len()).max_by_key(|&at| self.endpoints[at].holder.unsettled());
        if let Some(most) = most {
            self.with(most, promises, |endpoint, around| {
                endpoint.move_to_disk(Why::Pressure, around);
            });
        }
    }

    /// A status update, as the server gets it.
    pub fn status(&mut self) -> Option<[u8; 34]> {
        let durable = self.durable;
        let stream = self.stream.as_mut()?;
        stream.confirmed = stream.confirmed.max(durable);
        let received = stream.received.max(stream.confirmed);
        let confirmed = stream.confirmed;
        Some(status_update(
            received,
            confirmed,
            confirmed,
            0,
            Reply::NotNeeded,
        ))
    }

    /// The checkpoint task's turn.
    pub fn save(&mut self) {
        if self.saving {
            return;
        }
        let unsaved = self.tracker.take_unsaved();
        if !unsaved.is_empty() {
            self.saving = true;
            self.jobs.push_back(Job::Checkpoint(progress(unsaved)));
        }
    }

    pub fn saved(&mut self, checkpoint: Option<Lsn>) {
        self.saving = false;
        self.durable = checkpoint.unwrap_or(self.durable);
    }

    /// Does something with an endpoint, then what its task does before it waits.
    pub fn with(
        &mut self,
        endpoint: usize,
        promises: &mut Promises,
        act: impl FnOnce(&mut Endpoint, &mut Around<'_>),
    ) {
        let mut around = Around {
            now: self.now_ms,
            started_ms: self.started_ms,
            tracker: &self.tracker,
            room: &self.room,
            jobs: &mut self.jobs,
            promises,
        };
        let endpoint = &mut self.endpoints[endpoint];
        act(endpoint, &mut around);
        endpoint.go_on(&mut around);
    }
}

fn endpoints(
    setup: &Setup,
    state: &SlotState,
    disk: &mut Disk,
    budget: &Arc<MemoryBudget>,
    now_ms: i64,
) -> Vec<Endpoint> {
    let base = Position::start_of(state.checkpoint.map_or(Lsn::ZERO, |found| found.lsn));
    let waiting = disk.waiting_lanes();
    let configured = setup.endpoints.iter().enumerate();
    configured
        .map(|(index, options)| {
            let name = endpoint_name(index);
            let row = state.endpoints.iter().find(|row| row.endpoint == name);
            let health = row.map_or(Health::Open, |row| restored_health(row.state));
            let positions = state.positions.iter().filter(|at| at.endpoint == name);
            let positions = positions.map(|at| LaneProgress {
                lane: at.lane.as_str().into(),
                position: at.position,
                attempts: at.attempts,
                first_attempt: at.first_attempt_at_ms.map(|ms| ms - now_ms),
            });
            let of_it = waiting.iter().filter(|lane| lane.endpoint == name);
            let on_disk = of_it.clone().map(|lane| OnDisk {
                lane: LaneName::read(&lane.lane, &lane.table, options.order).unwrap(),
                last_sequence: lane.last_sequence,
                oldest_commit_time_us: 0,
            });
            let (positions, on_disk) = (positions.collect(), on_disk.collect());
            let lanes = Lanes::new(options.clone(), base, positions, on_disk, health);
            let holder = Arc::new(Holder::new(budget));
            let mut endpoint = Endpoint::new(index, name.clone(), options.clone(), lanes, holder);
            endpoint.counts.at_start = of_it.map(|lane| lane.events).sum();
            endpoint
        })
        .collect()
}

fn checkpoint(lsn: Lsn) -> Checkpoint {
    Checkpoint {
        system_identifier: SYSTEM,
        timeline: 1,
        lsn,
        written_at_ms: 0,
    }
}

/// What the checkpoint task writes.
fn progress(mut unsaved: Unsaved) -> walhook::store::Progress {
    // The tracker hands them out in any order, a seed must not.
    unsaved
        .places
        .sort_by(|a, b| (a.endpoint.0, &a.lane).cmp(&(b.endpoint.0, &b.lane)));
    unsaved
        .on_disk
        .sort_by(|a, b| (a.endpoint.0, &a.lane).cmp(&(b.endpoint.0, &b.lane)));
    let lineage = Lineage {
        system_identifier: SYSTEM,
        timeline: 1,
    };
    let name = |endpoint: EndpointIndex| Some(endpoint_name(endpoint.0));
    walhook::daemon::progress(unsaved, SLOT, lineage, name, 0)
}
