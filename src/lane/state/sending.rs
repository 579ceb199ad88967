//! Attempts and their outcomes.

use std::cmp::Reverse;
use std::sync::Arc;

use super::Lanes;
use super::lane::{Entry, Head, Home, Lane, LaneState, What};
use crate::delivery::backoff::backoff;
use crate::delivery::outcome::Outcome;
use crate::event::{Event, Fate};
use crate::lane::attempt::{
    Attempt, DiskProgress, Finished, MonotonicMs, Next, Park, ParkReason, Progress, Queue, Settled,
    Ticket,
};
use crate::lane::health::Health;
use crate::lane::options::{Order, RetryThen};
use crate::lsn::Lsn;

/// So many are parked together at most.
const PARK_EVENTS_MAX: usize = 1000;

impl Lanes {
    /// The next attempt that may be made now, if any.
    pub fn next(&mut self, now: MonotonicMs) -> Option<Next> {
        self.pass_time(now);
        while self.may_send(now) {
            let lane = self.ready.pop_front()?;
            if self.lanes[lane].state != LaneState::Ready {
                continue;
            }
            if self.lanes[lane].retried.is_empty() {
                if self.lanes[lane].is_short() {
                    self.want_head(lane);
                    continue;
                }
                if !self.head_may_go(lane) {
                    continue;
                }
                if let Some(park) = self.unwanted(lane, now) {
                    return Some(Next::Park(park));
                }
            }
            self.health.sent(lane);
            self.in_flight += 1;
            return Some(Next::Attempt(self.attempt(lane, now)));
        }
        None
    }

    /// While the endpoint is not well one lane at a time probes, from reading its head
    /// back on.
    fn may_send(&self, now: MonotonicMs) -> bool {
        let well = self.health == Health::Open;
        self.in_flight + self.loading < self.options.concurrency.max(1)
            && self.health.may_send(now)
            && (well || self.loading == 0)
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
        let was_well = self.health == Health::Open;
        self.health.finished(lane, outcome, now, |failures| {
            i64::try_from(backoff(failures, max, chance).as_millis()).unwrap_or(i64::MAX)
        });
        if was_well && self.health != Health::Open {
            self.unload_all();
        }
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
            self.lanes[lane].expired = Some(now.saturating_sub(give_up));
            return Finished::Park(self.park(ticket, head, ParkReason::TooOld));
        }
        self.failed = self.head_progress(ticket).map(|at| (ticket, at));
        for other in self.lanes_of_head(ticket) {
            self.lanes[other].state = LaneState::Blocked;
        }
        if let Outcome::Rejected { .. } = outcome {
            let wait = backoff(head.attempts.saturating_sub(1), max, chance);
            let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
            let until = now.saturating_add(wait.max(1));
            self.lanes[lane].state = LaneState::Waiting { until };
            self.timers.push(Reverse((until, lane)));
            self.unload_idle(lane);
        } else {
            // The endpoint decides when; this lane is first, so it is the one that probes.
            self.lanes[lane].state = LaneState::Ready;
            self.ready.push_front(lane);
            self.unload_idle(lane);
        }
        Finished::Again
    }

    /// The dead letters of [`Finished::Park`] are durable.
    pub fn parked(&mut self, ticket: Ticket, now: MonotonicMs) -> Settled {
        self.settle(ticket, now)
    }

    /// The lane's head is not to be attempted: its rule failed on the row, or it is older
    /// than one that was parked for its age.
    fn unwanted(&mut self, lane: usize, now: MonotonicMs) -> Option<Park> {
        let state = &self.lanes[lane];
        let first = state.front.front()?;
        let expired = |entry: &Entry| {
            entry.home != Home::Memory && state.expired.is_some_and(|then| entry.since <= then)
        };
        let untried = state.head.is_none_or(|head| head.count == 0);
        let (reason, count) = if untried && expired(first) {
            let count = match first.what {
                What::Shared(_) => 1,
                What::Own(_) => {
                    let own = |entry: &&Entry| matches!(entry.what, What::Own(_));
                    let entries = state.front.iter().take(PARK_EVENTS_MAX);
                    entries.take_while(|e| own(e) && expired(e)).count()
                }
            };
            (ParkReason::TooOld, count)
        } else if let Fate::DeadLetter(unsent) = self.event_of(&first.what)?.fate {
            (ParkReason::Unsent(unsent), 1)
        } else {
            return None;
        };
        let ticket = Ticket {
            lane,
            queue: Queue::Read,
        };
        let head = Head {
            count,
            attempts: 0,
            first_attempt: first.since.min(now),
        };
        self.set_head(ticket, head);
        Some(self.park(ticket, head, reason))
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
            first_attempt: restored.map_or_else(
                || self.first_attempt(ticket, now),
                |head| head.first_attempt,
            ),
        };
        self.set_head(ticket, head);
        let events = self.events(ticket, count);
        debug_assert!(!events.is_empty(), "an attempt has events");
        for lane in self.lanes_of_head(ticket) {
            self.lanes[lane].state = LaneState::Sending;
        }
        if queue == Queue::Read {
            self.read_ahead(lane);
        }
        Attempt {
            ticket,
            events,
            number: head.attempts,
        }
    }

    /// `retry.for` runs from here, or from the entry into the spool.
    fn first_attempt(&self, ticket: Ticket, now: MonotonicMs) -> MonotonicMs {
        let spooled = match ticket.queue {
            Queue::Retried => None,
            Queue::Read => self.lanes[ticket.lane]
                .front
                .front()
                .filter(|entry| entry.home != Home::Memory)
                .map(|entry| entry.since),
        };
        spooled.map_or(now, |since| since.min(now))
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
            Queue::Read => fits(&mut lane.front.iter().map(|entry| match &entry.what {
                What::Own(event) if event.fate == Fate::Deliver => Some(event.body.len()),
                What::Own(_) | What::Shared(_) => None,
            })),
            Queue::Retried => fits(&mut lane.retried.iter().map(|event| Some(event.body.len()))),
        }
    }

    fn events(&self, ticket: Ticket, count: usize) -> Vec<Arc<Event>> {
        let lane = &self.lanes[ticket.lane];
        match ticket.queue {
            Queue::Retried => lane.retried.iter().take(count).cloned().collect(),
            Queue::Read => lane
                .front
                .iter()
                .take(count)
                .filter_map(|entry| self.event_of(&entry.what).cloned())
                .collect(),
        }
    }

    fn head(&self, ticket: Ticket) -> Option<Head> {
        let lane = &self.lanes[ticket.lane];
        match ticket.queue {
            Queue::Read => lane.head,
            Queue::Retried => lane.retried_head,
        }
    }

    fn set_head(&mut self, ticket: Ticket, head: Head) {
        let lane = &mut self.lanes[ticket.lane];
        match ticket.queue {
            Queue::Read => lane.head = Some(head),
            Queue::Retried => lane.retried_head = Some(head),
        }
    }

    fn park(&mut self, ticket: Ticket, head: Head, reason: ParkReason) -> Park {
        let events = self.events(ticket, head.count);
        let lanes = self.lanes_of_head(ticket);
        let retried = ticket.queue == Queue::Retried;
        let mut park = Park {
            ticket,
            lane: Arc::clone(&self.lanes[ticket.lane].name),
            attempts: head.attempts,
            first_attempt: head.first_attempt,
            reason,
            positions: Vec::new(),
            on_disk: Vec::new(),
            retried,
            events,
        };
        if !retried {
            park.on_disk = self.settled_on_disk();
            park.positions
                .extend(self.others_stand_at(|lane| lanes.contains(&lane)));
        }
        let after = park.events.last().map(|event| event.position_after());
        for lane in lanes {
            self.lanes[lane].state = LaneState::Parking;
            if retried {
                continue;
            }
            let state = &self.lanes[lane];
            let last = head.count.checked_sub(1).and_then(|at| state.front.get(at));
            match last.map(|entry| entry.home) {
                Some(Home::Memory | Home::Outgoing) => {
                    park.positions.extend(after.map(|after| state.at(after)));
                }
                Some(Home::Disk(place)) => park.on_disk.push(state.settled_at(place)),
                None => {}
            }
        }
        park
    }

    /// How far the lanes are on disk. What is made durable of one lane may pass an event
    /// that stands in others too, and must not leave it behind there.
    fn settled_on_disk(&self) -> Vec<DiskProgress> {
        if !matches!(self.options.order, Order::Key { .. }) {
            return Vec::new();
        }
        let settled = |lane: &Lane| Some(lane.settled_at(lane.disk.settled?));
        self.lanes.iter().filter_map(settled).collect()
    }

    /// Takes the head of the ticket's queue off all lanes that it stands in.
    fn settle(&mut self, ticket: Ticket, now: MonotonicMs) -> Settled {
        let count = self.head(ticket).map_or(0, |head| head.count);
        let events = self.events(ticket, count);
        let lanes = self.lanes_of_head(ticket);
        let retried = ticket.queue == Queue::Retried;
        let mut progress = Progress::default();
        if retried {
            let lane = &mut self.lanes[ticket.lane];
            lane.retried.drain(..count.min(lane.retried.len()));
            lane.retried_head = None;
            lane.state = LaneState::Blocked;
        } else {
            for (nth, &lane) in lanes.iter().enumerate() {
                let taken = self.lanes[lane].take_front(count);
                if nth == 0 {
                    in_memory(&taken, &events, &mut progress);
                }
                self.lanes[lane].head = None;
                self.lanes[lane].state = LaneState::Blocked;
                self.moved(lane, &taken, &events, &mut progress);
                self.headed(lane);
            }
        }
        for &lane in &lanes {
            self.refresh(lane, now);
        }
        Settled {
            events,
            progress,
            retried,
        }
    }

    /// How far the lane is by the entries that were taken off its front.
    fn moved(
        &mut self,
        lane: usize,
        taken: &[Entry],
        events: &[Arc<Event>],
        progress: &mut Progress,
    ) {
        for entry in taken {
            if let What::Shared(id) = entry.what {
                self.shared.remove(&id);
            }
        }
        let on_disk = taken.iter().rev().find_map(|entry| match entry.home {
            Home::Disk(place) => Some(place),
            Home::Memory | Home::Outgoing => None,
        });
        let state = &mut self.lanes[lane];
        if let Some(place) = on_disk {
            state.disk.settled = Some(place);
            progress.on_disk.push(state.settled_at(place));
        }
        // On its way to disk it counts as delivered all the same, should it not get there.
        let off_disk = |entry: &Entry| !matches!(entry.home, Home::Disk(_));
        let last = taken.iter().rposition(off_disk);
        if let Some(last) = last.and_then(|at| events.get(at)) {
            state.position = state.position.max(last.position_after());
            progress.positions.push(self.progress(lane));
        }
    }
}

/// Counts those of the events that are in memory alone.
fn in_memory(taken: &[Entry], events: &[Arc<Event>], progress: &mut Progress) {
    for (entry, event) in taken.iter().zip(events) {
        if entry.home == Home::Memory {
            count_run(&mut progress.settled, event.position.lsn);
            progress.settled_bytes += event.body.len() as u64;
        }
    }
}

/// Counts one more event of the transaction that commits at `lsn`.
pub(in crate::lane) fn count_run(runs: &mut Vec<(Lsn, u64)>, lsn: Lsn) {
    match runs.last_mut() {
        Some((last, count)) if *last == lsn => *count += 1,
        _ => runs.push((lsn, 1)),
    }
}
