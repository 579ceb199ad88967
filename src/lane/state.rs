//! The lanes of one endpoint: which event may be attempted next, and what follows
//! from an outcome. Pure: time and chance are arguments, no I/O.
//!
//! ```text
//!            push                     next                  finish
//!   Empty ----------> Ready ------------------> Sending ------------> Empty | Ready
//!     |                 ^                         |  |
//!     | batch not full  | time                    |  +-- rejected --> Waiting --time--> Ready
//!     +--> Gathering ---+                         +----- too old ---> Parking --parked--> Ready
//! ```
//!
//! An event that stands in several lanes is attempted when it heads them all; until
//! then the lanes that it heads are Blocked, and it settles in all at once. What an
//! outcome says of the whole endpoint (unreachable, paused, gone) is in [`Health`]:
//! while it is not open all lanes wait, and one at a time probes.
//!
//! It refuses to reorder: in a lane no event is attempted before the one ahead of
//! it is delivered or parked.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use super::attempt::{
    Attempt, Finished, LaneProgress, MonotonicMs, Park, ParkReason, Pushed, Queue, Settled, Ticket,
};
use super::health::Health;
use super::name::{LaneName, lanes_of};
use super::options::{LaneOptions, RetryThen};
use crate::delivery::backoff::backoff;
use crate::delivery::outcome::Outcome;
use crate::event::{Event, Fate, Position};

#[derive(Debug)]
struct Lane {
    name: Arc<str>,
    state: LaneState,
    position: Position,
    read: VecDeque<Entry>,
    read_head: Option<Head>,
    retried: VecDeque<Arc<Event>>,
    retried_head: Option<Head>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LaneState {
    /// Nothing to send.
    Empty,
    /// A batch waits for more events.
    Gathering { until: MonotonicMs },
    /// In the list of ready lanes.
    Ready,
    /// Its head is in flight.
    Sending,
    /// Its head failed.
    Waiting { until: MonotonicMs },
    /// Its head is being made a dead letter.
    Parking,
    /// Its head stands in other lanes too, which are not there yet, or leads from one of them.
    Blocked,
}

#[derive(Clone, Debug)]
enum Entry {
    Own(Arc<Event>),
    /// The event is in `shared` under this number.
    Shared(u64),
}

/// The events at the front of a queue that were attempted together: they stay together.
#[derive(Clone, Copy, Debug)]
struct Head {
    count: usize,
    attempts: u32,
    first_attempt: MonotonicMs,
}

/// An event that stands in several lanes.
#[derive(Debug)]
struct Shared {
    event: Arc<Event>,
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
    shared: HashMap<u64, Shared>,
    shared_next: u64,
    ready: VecDeque<usize>,
    timers: BinaryHeap<Reverse<(MonotonicMs, usize)>>,
    in_flight: usize,
    health: Health,
}

impl Lanes {
    /// `base` is the checkpoint's position; `restored` are the lanes that stood
    /// further, or whose head had been attempted.
    pub fn new(
        options: LaneOptions,
        base: Position,
        restored: Vec<LaneProgress>,
        health: Health,
    ) -> Self {
        Lanes {
            options,
            base,
            restored: restored
                .into_iter()
                .map(|progress| (progress.lane.clone(), progress))
                .collect(),
            by_name: HashMap::new(),
            lanes: Vec::new(),
            shared: HashMap::new(),
            shared_next: 0,
            ready: VecDeque::new(),
            timers: BinaryHeap::new(),
            in_flight: 0,
            health,
        }
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
        let mut lanes: Vec<usize> = names.into_iter().map(|name| self.lane(name)).collect();
        lanes.retain(|&lane| self.lanes[lane].position <= event.position);
        let event = Arc::new(event);
        match lanes.as_slice() {
            [] => return Pushed::Repeat,
            &[lane] => {
                self.lanes[lane].read.push_back(Entry::Own(event));
                self.appended(lane, now);
            }
            _ => {
                let number = self.shared_next;
                self.shared_next += 1;
                let entry = Shared {
                    event,
                    lanes: lanes.clone(),
                    heads: 0,
                };
                self.shared.insert(number, entry);
                for lane in lanes {
                    self.lanes[lane].read.push_back(Entry::Shared(number));
                    self.appended(lane, now);
                }
            }
        }
        Pushed::Queued
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

    /// The next attempt that may be made now, if any.
    pub fn next(&mut self, now: MonotonicMs) -> Option<Attempt> {
        self.pass_time(now);
        if self.in_flight >= self.options.concurrency.max(1) || !self.health.may_send(now) {
            return None;
        }
        while let Some(lane) = self.ready.pop_front() {
            if self.lanes[lane].state != LaneState::Ready {
                continue;
            }
            if self.stands_behind(lane) {
                self.lanes[lane].state = LaneState::Blocked;
                continue;
            }
            self.health.sent(lane);
            self.in_flight += 1;
            return Some(self.attempt(lane, now));
        }
        None
    }

    /// When to call [`Lanes::next`] again though nothing else happened.
    pub fn wake_at(&self, now: MonotonicMs) -> Option<MonotonicMs> {
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let health = (!self.ready.is_empty())
            .then(|| self.health.wake_at(now))
            .flatten();
        timer.into_iter().chain(health).min()
    }

    /// The outcome of an attempt. `chance` is a random number for the backoff.
    pub fn finish(
        &mut self,
        ticket: Ticket,
        outcome: &Outcome,
        now: MonotonicMs,
        chance: u64,
    ) -> Finished {
        self.in_flight = self.in_flight.saturating_sub(1);
        let lane = ticket.lane;
        let max = self.options.retry.backoff_max;
        self.health.finished(lane, outcome, now, |failures| {
            i64::try_from(backoff(failures, max, chance).as_millis()).unwrap_or(i64::MAX)
        });
        let Some(head) = self.head(ticket) else {
            return Finished::Again;
        };
        match outcome {
            Outcome::Delivered => return Finished::Settled(self.settle(ticket, now)),
            Outcome::Refused { .. } => {
                return Finished::Park(self.park(ticket, head, ParkReason::Refused));
            }
            _ => {}
        }
        // A pause or a closed endpoint spends no attempt; the age counts all the same.
        let counted = !matches!(outcome, Outcome::Paused { .. } | Outcome::Gone);
        self.set_head(
            ticket,
            Head {
                attempts: head.attempts - u32::from(!counted),
                ..head
            },
        );
        let give_up =
            i64::try_from(self.options.retry.give_up_after.as_millis()).unwrap_or(i64::MAX);
        let too_old = now.saturating_sub(head.first_attempt) >= give_up;
        if too_old && self.options.retry.then == RetryThen::DeadLetter && *outcome != Outcome::Gone
        {
            return Finished::Park(self.park(ticket, head, ParkReason::TooOld));
        }
        for other in self.lanes_of_head(ticket) {
            self.lanes[other].state = LaneState::Blocked;
        }
        if let Outcome::Rejected { .. } = outcome {
            let wait = backoff(head.attempts.saturating_sub(1), max, chance);
            let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
            let until = now.saturating_add(wait.max(1));
            self.lanes[lane].state = LaneState::Waiting { until };
            self.timers.push(Reverse((until, lane)));
        } else {
            // The endpoint decides when; this lane is first, so it is the one that probes.
            self.lanes[lane].state = LaneState::Ready;
            self.ready.push_front(lane);
        }
        Finished::Again
    }

    /// The attempt is not made: its one event is to be a dead letter ([`Fate::DeadLetter`]).
    pub fn not_attempted(&mut self, ticket: Ticket) -> Option<Park> {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.health.not_sent(ticket.lane);
        let head = self.head(ticket)?;
        let head = Head {
            attempts: 0,
            ..head
        };
        Some(self.park(ticket, head, ParkReason::RuleFailed))
    }

    /// The dead letters of [`Finished::Park`] are durable.
    pub fn parked(&mut self, ticket: Ticket, now: MonotonicMs) -> Settled {
        self.settle(ticket, now)
    }

    /// A person enabled the endpoint.
    pub fn enable(&mut self) {
        self.health = Health::Open;
    }

    /// Commit time of the event that has waited longest, microseconds since 2000-01-01 UTC.
    pub fn oldest_commit_time_us(&self) -> Option<i64> {
        let heads = self
            .lanes
            .iter()
            .filter_map(|lane| match lane.read.front() {
                None => None,
                Some(Entry::Own(event)) => Some(event.commit_time_us),
                Some(Entry::Shared(number)) => self
                    .shared
                    .get(number)
                    .map(|shared| shared.event.commit_time_us),
            });
        heads.min()
    }

    /// A lane's head was attempted and is not delivered.
    pub fn any_failing(&self) -> bool {
        let attempted = |head: Option<Head>| head.is_some_and(|head| head.attempts > 0);
        self.lanes.iter().any(|lane| attempted(lane.read_head))
    }

    /// The lane of an attempt that failed; nothing for dead letters sent again.
    pub fn failing_at(&self, ticket: Ticket) -> Option<LaneProgress> {
        match ticket.queue {
            Queue::Read => Some(self.progress(ticket.lane)),
            Queue::Retried => None,
        }
    }

    /// A lane whose head was attempted stands at the head: all before it is settled,
    /// and a checkpoint below it does not make its attempts forgotten.
    fn progress(&self, lane: usize) -> LaneProgress {
        let lane = &self.lanes[lane];
        let attempted = lane.read_head.filter(|head| head.attempts > 0);
        let head = match (attempted, lane.read.front()) {
            (None, _) | (_, None) => None,
            (_, Some(Entry::Own(event))) => Some(event.position),
            (_, Some(Entry::Shared(number))) => {
                self.shared.get(number).map(|shared| shared.event.position)
            }
        };
        LaneProgress {
            lane: Arc::clone(&lane.name),
            position: head.unwrap_or(lane.position).max(lane.position),
            attempts: attempted.map_or(0, |head| head.attempts),
            first_attempt: attempted.map(|head| head.first_attempt),
        }
    }

    fn lane(&mut self, name: LaneName) -> usize {
        if let Some(&lane) = self.by_name.get(&name) {
            return lane;
        }
        let lane = self.lanes.len();
        let written: Arc<str> = name.to_string().into();
        let restored = self.restored.remove(&written);
        self.lanes.push(Lane {
            name: written,
            state: LaneState::Empty,
            position: restored
                .as_ref()
                .map_or(self.base, |progress| progress.position.max(self.base)),
            read: VecDeque::new(),
            read_head: restored.and_then(|progress| {
                progress.first_attempt.map(|first_attempt| Head {
                    count: 0,
                    attempts: progress.attempts,
                    first_attempt,
                })
            }),
            retried: VecDeque::new(),
            retried_head: None,
        });
        self.by_name.insert(name, lane);
        lane
    }

    /// An event was appended to the lane's queue.
    fn appended(&mut self, lane: usize, now: MonotonicMs) {
        if self.lanes[lane].read.len() == 1 {
            self.headed(lane);
        }
        if let LaneState::Empty | LaneState::Gathering { .. } = self.lanes[lane].state {
            self.refresh(lane, now);
        }
    }

    /// The lane has a new first entry; a shared event counts the lanes that it heads.
    fn headed(&mut self, lane: usize) {
        if let Some(Entry::Shared(number)) = self.lanes[lane].read.front()
            && let Some(shared) = self.shared.get_mut(number)
        {
            shared.heads += 1;
        }
    }

    /// Decides what a lane that is neither in flight nor waiting does next.
    fn refresh(&mut self, lane: usize, now: MonotonicMs) {
        match self.lanes[lane].state {
            LaneState::Sending | LaneState::Parking | LaneState::Ready => return,
            // A dead letter that was sent again does not wait for the head's backoff.
            LaneState::Waiting { .. } if self.lanes[lane].retried.is_empty() => return,
            _ => {}
        }
        let next = self.next_state(lane, now);
        match next {
            LaneState::Ready => self.ready.push_back(lane),
            LaneState::Gathering { until } if self.lanes[lane].state != next => {
                self.timers.push(Reverse((until, lane)));
            }
            _ => {}
        }
        self.lanes[lane].state = next;
        // The last lane that a shared event comes to head sets its leader going.
        if next == LaneState::Blocked
            && let Some(leader) = self.leader_that_may_go(lane)
        {
            self.lanes[leader].state = LaneState::Ready;
            self.ready.push_back(leader);
        }
    }

    fn next_state(&self, lane: usize, now: MonotonicMs) -> LaneState {
        let state = &self.lanes[lane];
        if !state.retried.is_empty() {
            return LaneState::Ready;
        }
        match state.read.front() {
            None => LaneState::Empty,
            Some(Entry::Shared(_)) => LaneState::Blocked,
            Some(Entry::Own(_)) => match (self.options.batch, state.state) {
                (Some(batch), LaneState::Empty | LaneState::Gathering { .. })
                    if state.read_head.is_none() && !self.batch_is_full(state) =>
                {
                    let wait = i64::try_from(batch.wait.as_millis()).unwrap_or(i64::MAX);
                    match state.state {
                        LaneState::Gathering { until } => LaneState::Gathering { until },
                        _ if wait == 0 => LaneState::Ready,
                        _ => LaneState::Gathering {
                            until: now.saturating_add(wait),
                        },
                    }
                }
                _ => LaneState::Ready,
            },
        }
    }

    /// The first of the lanes of a shared event, when the event heads them all and
    /// none of them is busy with a dead letter that was sent again.
    fn leader_that_may_go(&self, lane: usize) -> Option<usize> {
        let Some(Entry::Shared(number)) = self.lanes[lane].read.front() else {
            return None;
        };
        let shared = self.shared.get(number)?;
        let all_blocked = shared
            .lanes
            .iter()
            .all(|&lane| self.lanes[lane].state == LaneState::Blocked);
        (shared.heads == shared.lanes.len() && all_blocked)
            .then(|| shared.lanes.first().copied())
            .flatten()
    }

    /// The lane's head stands in other lanes too, and one of them is busy with a dead
    /// letter that was sent again. When that is done it sets the head going.
    fn stands_behind(&self, lane: usize) -> bool {
        self.lanes[lane].retried.is_empty()
            && self
                .lanes_of_head(Ticket {
                    lane,
                    queue: Queue::Read,
                })
                .into_iter()
                .any(|other| other != lane && self.lanes[other].state != LaneState::Blocked)
    }

    fn batch_is_full(&self, lane: &Lane) -> bool {
        let Some(batch) = self.options.batch else {
            return true;
        };
        lane.read.len() >= batch.events_max || {
            let mut bytes = 0;
            lane.read.iter().any(|entry| match entry {
                Entry::Own(event) => {
                    bytes += event.body.len() + 1;
                    bytes >= batch.bytes_max
                }
                // It is sent alone, so what stands before it is a whole batch.
                Entry::Shared(_) => true,
            })
        }
    }

    fn pass_time(&mut self, now: MonotonicMs) {
        while let Some(&Reverse((at, lane))) = self.timers.peek() {
            if at > now {
                break;
            }
            self.timers.pop();
            match self.lanes[lane].state {
                LaneState::Gathering { until } | LaneState::Waiting { until } if until <= now => {
                    self.lanes[lane].state = LaneState::Ready;
                    self.ready.push_back(lane);
                }
                _ => {}
            }
        }
    }

    /// Makes the attempt of a lane that was taken off the ready list.
    fn attempt(&mut self, lane: usize, now: MonotonicMs) -> Attempt {
        let queue = if self.lanes[lane].retried.is_empty() {
            Queue::Read
        } else {
            Queue::Retried
        };
        let ticket = Ticket { lane, queue };
        let restored = self.head(ticket);
        let count = match restored {
            Some(head) if head.count > 0 => head.count,
            _ => self.cut(ticket),
        };
        let head = Head {
            count,
            attempts: restored.map_or(0, |head| head.attempts) + 1,
            first_attempt: restored.map_or(now, |head| head.first_attempt),
        };
        self.set_head(ticket, head);
        let events = self.events(ticket, count);
        for lane in self.lanes_of_head(ticket) {
            self.lanes[lane].state = LaneState::Sending;
        }
        Attempt {
            ticket,
            events,
            number: head.attempts,
        }
    }

    /// How many events from the front of the queue go into one request.
    fn cut(&self, ticket: Ticket) -> usize {
        let Some(batch) = self.options.batch else {
            return 1;
        };
        let lane = &self.lanes[ticket.lane];
        let fits = |bodies: &mut dyn Iterator<Item = Option<usize>>| {
            let mut bytes = 0;
            bodies
                .take(batch.events_max.max(1))
                .take_while(|body| {
                    bytes += body.unwrap_or(usize::MAX / 2) + 1;
                    bytes <= batch.bytes_max
                })
                .count()
                .max(1)
        };
        match ticket.queue {
            // What is not sent, or sent alone, ends the batch before it.
            Queue::Read => fits(&mut lane.read.iter().map(|entry| match entry {
                Entry::Own(event) if event.fate == Fate::Deliver => Some(event.body.len()),
                Entry::Own(_) | Entry::Shared(_) => None,
            })),
            Queue::Retried => fits(&mut lane.retried.iter().map(|event| Some(event.body.len()))),
        }
    }

    fn events(&self, ticket: Ticket, count: usize) -> Vec<Arc<Event>> {
        let lane = &self.lanes[ticket.lane];
        match ticket.queue {
            Queue::Retried => lane.retried.iter().take(count).cloned().collect(),
            Queue::Read => lane
                .read
                .iter()
                .take(count)
                .filter_map(|entry| match entry {
                    Entry::Own(event) => Some(Arc::clone(event)),
                    Entry::Shared(number) => self
                        .shared
                        .get(number)
                        .map(|shared| Arc::clone(&shared.event)),
                })
                .collect(),
        }
    }

    /// The lanes that the head of the ticket's queue stands in.
    fn lanes_of_head(&self, ticket: Ticket) -> Vec<usize> {
        if ticket.queue == Queue::Read
            && let Some(Entry::Shared(number)) = self.lanes[ticket.lane].read.front()
            && let Some(shared) = self.shared.get(number)
        {
            return shared.lanes.clone();
        }
        vec![ticket.lane]
    }

    fn head(&self, ticket: Ticket) -> Option<Head> {
        let lane = &self.lanes[ticket.lane];
        match ticket.queue {
            Queue::Read => lane.read_head,
            Queue::Retried => lane.retried_head,
        }
    }

    fn set_head(&mut self, ticket: Ticket, head: Head) {
        let lane = &mut self.lanes[ticket.lane];
        match ticket.queue {
            Queue::Read => lane.read_head = Some(head),
            Queue::Retried => lane.retried_head = Some(head),
        }
    }

    fn park(&mut self, ticket: Ticket, head: Head, reason: ParkReason) -> Park {
        let events = self.events(ticket, head.count);
        let lanes = self.lanes_of_head(ticket);
        for &lane in &lanes {
            self.lanes[lane].state = LaneState::Parking;
        }
        let retried = ticket.queue == Queue::Retried;
        let after = events.last().map(|event| event.position_after());
        let positions = match after {
            Some(position) if !retried => lanes
                .iter()
                .map(|&lane| LaneProgress {
                    lane: Arc::clone(&self.lanes[lane].name),
                    position,
                    attempts: 0,
                    first_attempt: None,
                })
                .collect(),
            _ => Vec::new(),
        };
        Park {
            ticket,
            events,
            attempts: head.attempts,
            first_attempt: head.first_attempt,
            reason,
            positions,
            retried,
        }
    }

    /// Takes the head of the ticket's queue off all lanes that it stands in.
    fn settle(&mut self, ticket: Ticket, now: MonotonicMs) -> Settled {
        let count = self.head(ticket).map_or(0, |head| head.count);
        let events = self.events(ticket, count);
        let lanes = self.lanes_of_head(ticket);
        let retried = ticket.queue == Queue::Retried;
        if retried {
            let lane = &mut self.lanes[ticket.lane];
            lane.retried.drain(..count);
            lane.retried_head = None;
            lane.state = LaneState::Blocked;
        } else {
            let after = events.last().map(|event| event.position_after());
            for &lane in &lanes {
                let state = &mut self.lanes[lane];
                for entry in state.read.drain(..count) {
                    if let Entry::Shared(number) = entry {
                        self.shared.remove(&number);
                    }
                }
                state.read_head = None;
                state.position = after.map_or(state.position, |after| after.max(state.position));
                state.state = LaneState::Blocked;
                self.headed(lane);
            }
        }
        for &lane in &lanes {
            self.refresh(lane, now);
        }
        Settled {
            events,
            positions: if retried {
                Vec::new()
            } else {
                lanes.iter().map(|&lane| self.progress(lane)).collect()
            },
            retried,
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
