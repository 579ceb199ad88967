//! The lanes of one endpoint: which event may be attempted next, what follows from an
//! outcome, and which events wait on disk. Pure: time and chance are arguments, no I/O.
//!
//! ```text
//!            push                     next                  finish
//!   Empty ----------> Ready ------------------> Sending ------------> Empty | Ready
//!     |                 ^  `--> Loading --`       |  |
//!     | batch not full  | time                    |  +-- rejected --> Waiting --time--> Ready
//!     +--> Gathering ---+                         +----- too old ---> Parking --parked--> Ready
//! ```
//!
//! An event that stands in several lanes is attempted when it heads them all; until
//! then the lanes that it heads are Blocked, and it settles in all at once. What an
//! outcome says of the whole endpoint (unreachable, paused, gone) is in [`Health`]:
//! while it is not open all lanes wait, and one at a time probes.
//!
//! A lane whose events are too long in memory moves to the spool: see `spool.rs`.
//!
//! It refuses to reorder: in a lane no event is attempted before the one ahead of
//! it is delivered or parked.

mod lane;
mod order;
mod outgoing;
mod read_back;
mod retried;
mod sending;
mod spool;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use super::attempt::{HeadProgress, LaneProgress, MonotonicMs, OnDisk, Pushed, Queue, Ticket};
use super::health::{DisabledBy, Health};
use super::name::{LaneName, lanes_of};
use super::options::{LaneOptions, Order};
use crate::event::{Event, EventId, Position};
use lane::{Entry, Head, Home, Lane, What};
use outgoing::Outgoing;

pub(super) use sending::count_run;
pub use spool::Why;

/// An event that stands in several lanes.
#[derive(Debug, Default)]
struct Shared {
    /// `None` until it was read back from disk: only markers of it are known.
    event: Option<Arc<Event>>,
    lanes: Vec<usize>,
    /// How many of them it heads.
    heads: usize,
}

/// The lanes of one endpoint. See the module's picture.
#[derive(Debug)]
pub struct Lanes {
    options: LaneOptions,
    /// Where a lane stands of which nothing is known.
    base: Position,
    restored: HashMap<Arc<str>, LaneProgress>,
    by_name: HashMap<LaneName, usize>,
    lanes: Vec<Lane>,
    shared: HashMap<EventId, Shared>,
    ready: VecDeque<usize>,
    timers: BinaryHeap<Reverse<(MonotonicMs, usize)>>,
    in_flight: usize,
    /// Lanes in the state Loading.
    loading: usize,
    /// Lanes to be read back from disk, and how many are being read.
    loads: VecDeque<usize>,
    reading: usize,
    outgoing: Outgoing,
    health: Health,
    /// Where the head of the attempt stands that failed last: it may be out of memory by
    /// the time that it is asked for.
    failed: Option<(Ticket, HeadProgress)>,
}

impl Lanes {
    /// `base` is the checkpoint's position; `restored` are the lanes that stood
    /// further, or whose head had been attempted; `on_disk` those with events in the spool.
    pub fn new(
        options: LaneOptions,
        base: Position,
        restored: Vec<LaneProgress>,
        on_disk: Vec<OnDisk>,
        health: Health,
    ) -> Self {
        let mut lanes = Lanes {
            options,
            base,
            restored: restored
                .into_iter()
                .map(|progress| (progress.lane.clone(), progress))
                .collect(),
            by_name: HashMap::new(),
            lanes: Vec::new(),
            shared: HashMap::new(),
            ready: VecDeque::new(),
            timers: BinaryHeap::new(),
            in_flight: 0,
            loading: 0,
            loads: VecDeque::new(),
            reading: 0,
            outgoing: Outgoing::default(),
            health,
            failed: None,
        };
        for found in on_disk {
            lanes.restore_on_disk(found);
        }
        lanes
    }

    pub fn health(&self) -> &Health {
        &self.health
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Takes the next event in the order of positions.
    pub fn push(&mut self, event: Event, now: MonotonicMs) -> Pushed {
        let names = lanes_of(&event, self.options.order);
        let lanes: Vec<usize> = names.into_iter().map(|name| self.lane(name)).collect();
        // One that a lane has passed and another has not stands in both: it is sent again.
        let passed = |&lane: &usize| self.lanes[lane].position > event.position;
        let other_lanes = event.rekeyed && matches!(self.options.order, Order::Key { .. });
        if !other_lanes && lanes.iter().all(passed) {
            return Pushed::Repeat;
        }
        if self.health == Health::Disabled(DisabledBy::SpoolFull) {
            return Pushed::Missed;
        }
        let event = Arc::new(event);
        if self.goes_to_disk(&lanes, now) {
            self.push_outgoing(event, lanes, now);
            return Pushed::Queued;
        }
        self.push_to_memory(event, lanes, now);
        Pushed::Queued
    }

    fn push_to_memory(&mut self, event: Arc<Event>, lanes: Vec<usize>, now: MonotonicMs) {
        let entry = |what: What, bytes: usize| Entry {
            what,
            home: Home::Memory,
            since: now,
            bytes: bytes as u64,
        };
        match lanes.as_slice() {
            [] => {}
            &[lane] => {
                let bytes = event.body.len();
                self.append(lane, entry(What::Own(event), bytes), now);
            }
            _ => {
                let id = event.id;
                let mut bytes = event.body.len();
                let shared = Shared {
                    event: Some(event),
                    lanes: lanes.clone(),
                    heads: 0,
                };
                self.shared.insert(id, shared);
                for lane in lanes {
                    self.append(lane, entry(What::Shared(id), bytes), now);
                    bytes = 0;
                }
            }
        }
    }

    /// Takes dead letters that a person sent again: they go ahead of what was read,
    /// among their like by position.
    pub fn push_retried(&mut self, event: Event, now: MonotonicMs) -> Pushed {
        let names = lanes_of(&event, self.options.order);
        let Some(name) = names.into_iter().next() else {
            return Pushed::Repeat;
        };
        let lane = self.lane(name);
        let state = &mut self.lanes[lane];
        if state.retried.iter().any(|waiting| waiting.id == event.id) {
            return Pushed::Repeat;
        }
        let fixed = state.retried_head.map_or(0, |head| head.count);
        let place = state
            .retried
            .iter()
            .skip(fixed)
            .position(|waiting| waiting.position > event.position)
            .map_or(state.retried.len(), |place| fixed + place);
        state.retried.insert(place, Arc::new(event));
        self.refresh(lane, now);
        Pushed::Queued
    }

    /// When to call [`Lanes::next`] again though nothing else happened.
    pub fn wake_at(&self, now: MonotonicMs) -> Option<MonotonicMs> {
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let health = (!self.ready.is_empty())
            .then(|| self.health.wake_at(now))
            .flatten();
        timer.into_iter().chain(health).min()
    }

    /// A person enabled the endpoint.
    pub fn enable(&mut self) {
        self.health = Health::Open;
    }

    /// Its events fill the spool: what comes from now on is missed.
    pub fn disable_for_full_spool(&mut self) {
        self.health = Health::Disabled(DisabledBy::SpoolFull);
    }

    /// Commit time of the event that has waited longest, microseconds since 2000-01-01
    /// UTC, as far as it is known.
    pub fn oldest_commit_time_us(&self) -> Option<i64> {
        let heads = self
            .lanes
            .iter()
            .filter_map(|lane| match lane.front.front() {
                Some(entry) => self.event_of(&entry.what).map(|event| event.commit_time_us),
                None => lane.disk.unread.and(lane.disk.oldest_commit_time_us),
            });
        let outgoing = self.outgoing.oldest_commit_time_us();
        heads.chain(outgoing).min()
    }

    /// A lane's head was attempted and is not delivered.
    pub fn any_failing(&self) -> bool {
        self.lanes
            .iter()
            .any(|lane| lane.head.is_some_and(|head| head.attempts > 0))
    }

    /// The lane of the attempt that failed last; nothing for dead letters sent again, and
    /// for what is on its way to disk.
    pub fn failing_at(&self, ticket: Ticket) -> Option<HeadProgress> {
        let failed = self.failed.as_ref();
        failed
            .filter(|(of, _)| *of == ticket)
            .map(|(_, at)| at.clone())
    }

    fn head_progress(&self, ticket: Ticket) -> Option<HeadProgress> {
        if ticket.queue == Queue::Retried {
            return None;
        }
        let lane = &self.lanes[ticket.lane];
        let head = lane.head.filter(|head| head.attempts > 0)?;
        match lane.front.front()?.home {
            Home::Memory => Some(HeadProgress::Memory(self.progress(ticket.lane))),
            Home::Outgoing => None,
            Home::Disk(place) => {
                let mut progress = lane.settled_at(place);
                progress.settled = place.index;
                let entry = lane.front.front()?;
                progress.left.entries += 1;
                if entry.bytes > 0 {
                    progress.left.events += 1;
                    progress.left.bytes += entry.bytes;
                }
                progress.attempts = head.attempts;
                progress.first_attempt = Some(head.first_attempt);
                Some(HeadProgress::Disk(progress))
            }
        }
    }

    /// A lane whose head was attempted stands at the head: all before it is settled,
    /// and a checkpoint below it does not make its attempts forgotten.
    fn progress(&self, lane: usize) -> LaneProgress {
        let lane = &self.lanes[lane];
        let attempted = lane.head.filter(|head| head.attempts > 0);
        let head = attempted
            .and(lane.front.front())
            .filter(|entry| entry.home == Home::Memory)
            .and_then(|entry| self.event_of(&entry.what))
            .map(|event| event.position);
        LaneProgress {
            attempts: head.and(attempted).map_or(0, |head| head.attempts),
            first_attempt: head.and(attempted).map(|head| head.first_attempt),
            ..lane.at(head.unwrap_or(lane.position).max(lane.position))
        }
    }

    /// Where the lanes stand that are not among `these`. What is made durable of one lane
    /// may pass an event that stands in others too, and must not leave it behind there: it
    /// would come again, after what has overtaken it.
    fn others_stand_at(&self, these: impl Fn(usize) -> bool) -> impl Iterator<Item = LaneProgress> {
        let share = matches!(self.options.order, Order::Key { .. });
        (0..self.lanes.len())
            .filter(move |&lane| share && !these(lane))
            .map(|lane| self.progress(lane))
            .filter(|progress| progress.position > self.base)
    }

    fn event_of<'a>(&'a self, what: &'a What) -> Option<&'a Arc<Event>> {
        match what {
            What::Own(event) => Some(event),
            What::Shared(id) => self.shared.get(id)?.event.as_ref(),
        }
    }

    fn lane(&mut self, name: LaneName) -> usize {
        if let Some(&lane) = self.by_name.get(&name) {
            return lane;
        }
        let lane = self.lanes.len();
        let written: Arc<str> = name.to_string().into();
        let restored = self.restored.remove(&written);
        let position = restored
            .as_ref()
            .map_or(self.base, |progress| progress.position.max(self.base));
        let head = restored.and_then(|progress| {
            progress.first_attempt.map(|first_attempt| Head {
                count: 0,
                attempts: progress.attempts,
                first_attempt,
            })
        });
        self.lanes.push(Lane::new(written, position, head));
        self.by_name.insert(name, lane);
        lane
    }
}

#[cfg(test)]
mod tests;
