//! An endpoint's task, a step at a time: what `lane::endpoint` does around the lanes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use futures_util::FutureExt;
use walhook::delivery::outcome::{Answer, Outcome, outcome};
use walhook::event::{EndpointIndex, Event, EventId, Fate};
use walhook::lane::attempt::{
    Attempt, Finished, HeadProgress, MonotonicMs, Next, Park, Progress, Pushed, Ticket,
};
use walhook::lane::budget::Holder;
use walhook::lane::health::{DisabledBy, Health};
use walhook::lane::inbox::Inbox;
use walhook::lane::options::LaneOptions;
use walhook::lane::spool_room::{MayWrite, SpoolRoom};
use walhook::lane::state::{Lanes, Why};
use walhook::progress::tracker::{Advance, Tracker};
use walhook::store::{DeadReason, EndpointState, NewDeadLetter, RetryCursor, StoredEvent, Verdict};

use super::disk::SLOT;
use super::job::{Done, Job};
use super::promises::Promises;
use super::receiver::is_delivered;

const NO_ROOM_ON_DISK_MS: MonotonicMs = 500;
pub const RETRYING_MAX: usize = 100;

/// What all endpoints of a daemon share.
pub struct Around<'a> {
    pub now: MonotonicMs,
    /// The wall's milliseconds at the daemon's start.
    pub started_ms: i64,
    pub tracker: &'a Tracker,
    pub room: &'a SpoolRoom,
    pub jobs: &'a mut VecDeque<Job>,
    pub promises: &'a mut Promises,
}

/// A request on its way.
struct Request {
    ticket: Ticket,
    events: Vec<EventId>,
    retried: bool,
}

#[derive(Default)]
struct Retried {
    wanted: bool,
    reading: bool,
    waiting: usize,
    cursor: Option<RetryCursor>,
    ids: Vec<EventId>,
}

/// P7: events, since the daemon's start.
#[derive(Default)]
pub struct Counts {
    pub made: u64,
    pub at_start: u64,
    pub retried: u64,
    pub delivered: u64,
    pub dead: u64,
}

pub struct Endpoint {
    pub index: usize,
    pub name: String,
    pub lanes: Lanes,
    pub inbox: Arc<Inbox>,
    pub holder: Arc<Holder>,
    pub dones: Vec<Done>,
    pub counts: Counts,
    options: LaneOptions,
    in_flight: Vec<Request>,
    writing: Option<u64>,
    write_after: MonotonicMs,
    retried: Retried,
    draining: bool,
    /// It said so: nothing is sent before, or until a person enables it.
    paused_until: MonotonicMs,
    gone: bool,
}

impl Endpoint {
    pub fn new(
        index: usize,
        name: String,
        options: LaneOptions,
        lanes: Lanes,
        holder: Arc<Holder>,
    ) -> Self {
        let retried = Retried {
            wanted: true,
            ..Retried::default()
        };
        Endpoint {
            index,
            name,
            lanes,
            inbox: Arc::new(Inbox::default()),
            holder,
            dones: Vec::new(),
            counts: Counts::default(),
            options,
            in_flight: Vec::new(),
            writing: None,
            write_after: 0,
            retried,
            draining: false,
            paused_until: MonotonicMs::MIN,
            gone: false,
        }
    }

    pub fn requests(&self) -> usize {
        self.in_flight.len()
    }

    pub fn is_disabled(&self) -> bool {
        matches!(self.lanes.health(), Health::Disabled(_))
    }

    /// Takes what has arrived.
    pub fn take_in(&mut self, around: &mut Around<'_>) {
        let mut arrived = Vec::new();
        // Without anything there it would wait.
        let _ = self.inbox.take(&mut arrived).now_or_never();
        for event in arrived {
            around.promises.read(self.index, &event);
            let (id, lsn) = (event.id, event.position.lsn);
            match self.lanes.push(event, around.now) {
                Pushed::Queued => self.counts.made += 1,
                Pushed::Repeat => around.tracker.advance(Advance {
                    settled: vec![(lsn, 1)],
                    ..Advance::default()
                }),
                Pushed::Missed => {
                    around.promises.missed(self.index, id);
                    around.tracker.missed(EndpointIndex(self.index), lsn, 1);
                }
            }
        }
    }

    /// What the task does before it waits: read dead letters, send, write, read back.
    pub fn go_on(&mut self, around: &mut Around<'_>) {
        if self.draining {
            self.lanes.move_all_to_disk(around.now);
            self.write(around);
            return;
        }
        if self.retried.wanted && !self.retried.reading && self.retried.waiting == 0 {
            self.retried.reading = true;
            self.retried.wanted = false;
            around.jobs.push_back(Job::Retrying {
                endpoint: self.index,
                after: self.retried.cursor,
            });
        }
        while let Some(next) = self.lanes.next(around.now) {
            match next {
                Next::Attempt(attempt) => self.send(&attempt, around),
                Next::Park(park) => self.park(&park, around),
            }
        }
        if self.holder.holds_too_much() {
            self.lanes.unload_what_follows();
        }
        self.write(around);
        loop {
            let idle = self.lanes.is_idle();
            let Some(load) = self.lanes.next_load() else {
                break;
            };
            if !idle && !self.holder.may_read_back(load.bytes_max) {
                self.lanes.not_loaded(&load);
                break;
            }
            around.jobs.push_back(Job::Read {
                endpoint: self.index,
                lane: load.lane,
                name: load.name.to_string(),
                after: load.after,
                bytes_max: load.bytes_max,
            });
        }
    }

    fn send(&mut self, attempt: &Attempt, around: &mut Around<'_>) {
        let events: Vec<&Event> = attempt.events.iter().map(|event| &**event).collect();
        assert!(!self.gone, "P6: a request to an endpoint that is gone");
        let paused = around.now < self.paused_until;
        assert!(!paused, "P6: a request to an endpoint that asked to wait");
        let max = self.options.batch.map_or(1, |batch| batch.events_max);
        assert!(!events.is_empty() && events.len() <= max, "a batch's size");
        let retried = events
            .iter()
            .all(|event| self.retried.ids.contains(&event.id));
        if retried {
            around.promises.retried(self.index, &events);
        } else {
            around.promises.attempted(self.index, &events);
        }
        self.in_flight.push(Request {
            ticket: attempt.ticket,
            events: events.iter().map(|event| event.id).collect(),
            retried,
        });
    }

    /// One of the requests is answered.
    pub fn answered(&mut self, rng: &mut Rng, answer: &Answer, around: &mut Around<'_>) {
        let request = self
            .in_flight
            .swap_remove(rng.usize(..self.in_flight.len()));
        let wall_ms = around.started_ms + around.now;
        let wall = SystemTime::UNIX_EPOCH + Duration::from_millis(wall_ms.unsigned_abs());
        let outcome = outcome(answer, &self.options.retry.park_statuses, wall);
        if is_delivered(answer) {
            for id in &request.events {
                around.promises.delivered(self.index, *id, request.retried);
            }
        }
        match &outcome {
            Outcome::Gone => self.gone = true,
            Outcome::Paused { wait, .. } => {
                let wait = i64::try_from(wait.as_millis()).unwrap();
                self.paused_until = self.paused_until.max(around.now + wait);
            }
            _ => {}
        }
        let chance = rng.u64(..);
        match self
            .lanes
            .finish(request.ticket, &outcome, around.now, chance)
        {
            Finished::Again => self.remember_failing(request.ticket, around),
            Finished::Settled(settled) => {
                self.counts.delivered += settled.events.len() as u64;
                if settled.retried {
                    around.jobs.push_back(Job::DeadDelivered {
                        endpoint: self.index,
                        ids: settled.events.iter().map(|event| event.id).collect(),
                    });
                } else {
                    self.settle(settled.progress, around);
                }
            }
            Finished::Park(park) => self.park(&park, around),
        }
        if outcome == Outcome::Gone {
            self.set(
                EndpointState::Disabled(walhook::store::DisabledBy::Gone410),
                around,
            );
        }
    }

    fn set(&self, state: EndpointState, around: &mut Around<'_>) {
        around.jobs.push_back(Job::SetEndpoint {
            endpoint: self.index,
            state,
        });
    }

    fn remember_failing(&self, ticket: Ticket, around: &mut Around<'_>) {
        let mut advance = Advance::default();
        match self.lanes.failing_at(ticket) {
            None => return,
            Some(HeadProgress::Memory(at)) => advance.places.push(self.kept(around).place(&at)),
            Some(HeadProgress::Disk(at)) => advance.on_disk.push(self.kept(around).disk_place(&at)),
        }
        around.tracker.advance(advance);
    }

    fn settle(&self, progress: Progress, around: &mut Around<'_>) {
        let kept = self.kept(around);
        let places = progress.positions.iter().map(|at| kept.place(at));
        let on_disk = progress.on_disk.iter().map(|at| kept.disk_place(at));
        around.tracker.advance(Advance {
            settled: progress.settled,
            places: places.collect(),
            on_disk: on_disk.collect(),
        });
    }

    fn park(&mut self, park: &Park, around: &mut Around<'_>) {
        let verdict = Verdict {
            reason: DeadReason::Expired,
            parked_at_ms: around.started_ms + around.now,
            first_attempt_at_ms: None,
            attempts: park.attempts,
            last_status: None,
            last_error: None,
            answer: Vec::new(),
        };
        let ticket = park.ticket;
        if park.retried {
            around.jobs.push_back(Job::DeadAgain {
                endpoint: self.index,
                ticket,
                ids: park.events.iter().map(|event| event.id).collect(),
                verdict,
            });
            return;
        }
        let dead = park.events.iter().map(|event| NewDeadLetter {
            endpoint: self.name.clone(),
            lane: park.lane.to_string(),
            event: StoredEvent::of(event),
            verdict: verdict.clone(),
        });
        let kept = self.kept(around);
        let positions = park.positions.iter().map(|at| kept.position(at));
        let runs = park.on_disk.iter().map(|at| kept.run_progress(at));
        let progress = walhook::store::Progress {
            dead: dead.collect(),
            positions: positions.collect(),
            runs: runs.collect(),
            ..walhook::store::Progress::of(SLOT)
        };
        around.jobs.push_back(Job::Park {
            endpoint: self.index,
            ticket,
            progress,
        });
    }

    fn write(&mut self, around: &mut Around<'_>) {
        if self.writing.is_some() || !self.lanes.has_outgoing() || around.now < self.write_after {
            return;
        }
        if *self.lanes.health() != Health::Disabled(DisabledBy::SpoolFull) {
            match around.room.may_write(EndpointIndex(self.index)) {
                MayWrite::Yes => {}
                MayWrite::No => return,
                MayWrite::Disable => {
                    self.lanes.disable_for_full_spool();
                    self.lanes.move_all_to_disk(around.now);
                    let by = walhook::store::DisabledBy::SpoolFull;
                    self.set(EndpointState::Disabled(by), around);
                }
            }
        }
        let Some(write) = self.lanes.take_write() else {
            return;
        };
        self.writing = Some(write.bytes);
        let (runs, positions) = self.kept(around).stored(write);
        around.jobs.push_back(Job::Append {
            endpoint: self.index,
            runs,
            positions,
        });
    }

    /// A job has ended.
    pub fn done(&mut self, done: Done, around: &mut Around<'_>) {
        match done {
            Done::Parked(ticket) => {
                let settled = self.lanes.parked(ticket, around.now);
                self.counts.dead += settled.events.len() as u64;
                if settled.retried {
                    let ids: Vec<EventId> = settled.events.iter().map(|it| it.id).collect();
                    self.retried_are_done(&ids);
                } else {
                    self.settle(settled.progress, around);
                }
            }
            Done::Written(None) => {
                self.writing = None;
                self.lanes.not_written();
                self.write_after = around.now + NO_ROOM_ON_DISK_MS;
            }
            Done::Written(Some(sequences)) => {
                let bytes = self.writing.take().unwrap_or(0);
                around.room.written(EndpointIndex(self.index), bytes);
                let progress = self.lanes.written(&sequences, around.now);
                self.settle(progress, around);
            }
            Done::Read(lane, runs) => {
                let kept = self.kept(around);
                let runs = runs.into_iter().map(|run| kept.loaded(run, &self.holder));
                let runs = runs.collect();
                self.lanes.loaded(lane, runs, around.now);
            }
            Done::Retrying(events) => self.retrying(events, around),
            Done::RetriedRemoved(ids) => self.retried_are_done(&ids),
            Done::Stored => {}
        }
    }

    fn retried_are_done(&mut self, ids: &[EventId]) {
        self.retried.ids.retain(|id| !ids.contains(id));
        self.retried.waiting -= ids.len();
    }

    fn retrying(&mut self, events: Vec<(RetryCursor, StoredEvent)>, around: &Around<'_>) {
        self.retried.reading = false;
        self.retried.cursor = events.last().map(|(cursor, _)| *cursor);
        self.retried.wanted |= !events.is_empty();
        for (_, event) in events {
            let event = event.into_event(EndpointIndex(self.index));
            assert_eq!(event.fate, Fate::Deliver);
            let id = event.id;
            if self.lanes.push_retried(event, around.now) == Pushed::Queued {
                self.retried.ids.push(id);
                self.retried.waiting += 1;
                self.counts.retried += 1;
            }
        }
    }

    /// A person sent dead letters again.
    pub fn retry(&mut self) {
        self.retried.wanted = true;
    }

    /// A person enabled it; that is stored already.
    pub fn enable(&mut self, around: &Around<'_>) {
        self.lanes.enable();
        self.gone = false;
        self.paused_until = MonotonicMs::MIN;
        around.tracker.misses_no_more(EndpointIndex(self.index));
    }

    pub fn move_to_disk(&mut self, why: Why, around: &Around<'_>) {
        self.lanes.move_to_disk(why, around.now);
    }

    /// It is told to stop: nothing new is started.
    pub fn drain(&mut self) {
        self.draining = true;
    }
}
