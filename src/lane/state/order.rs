//! What a lane does next, and how events of several lanes hold them together.

use std::cmp::Reverse;

use super::lane::{Entry, Lane, LaneState, What};
use super::{Lanes, Queue, Ticket};
use crate::lane::attempt::MonotonicMs;

impl Lanes {
    /// Puts an entry at the end of the lane's front.
    pub(super) fn append(&mut self, lane: usize, entry: Entry, now: MonotonicMs) {
        self.lanes[lane].append(entry);
        if self.lanes[lane].front.len() == 1 {
            self.headed(lane);
        }
        if let LaneState::Empty | LaneState::Gathering { .. } = self.lanes[lane].state {
            self.refresh(lane, now);
        }
    }

    /// The lane has a new first entry; a shared event counts the lanes that it heads.
    pub(super) fn headed(&mut self, lane: usize) {
        if let Some(Entry {
            what: What::Shared(id),
            ..
        }) = self.lanes[lane].front.front()
        {
            self.shared.entry(*id).or_default().heads += 1;
        }
    }

    /// Decides what a lane that is neither in flight nor waiting does next.
    pub(super) fn refresh(&mut self, lane: usize, now: MonotonicMs) {
        match self.lanes[lane].state {
            LaneState::Sending | LaneState::Parking | LaneState::Ready | LaneState::Loading => {
                return;
            }
            // A dead letter that was sent again does not wait for the head's backoff, but for
            // that of the letter before it.
            LaneState::Waiting { .. }
                if self.lanes[lane].retried.is_empty()
                    || self.lanes[lane].retried_head.is_some() =>
            {
                return;
            }
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
        if next == LaneState::Blocked {
            self.unload(lane, 1);
            // The last lane that a shared event comes to head sets its leader going.
            if let Some(leader) = self.leader_that_may_go(lane) {
                self.lanes[leader].state = LaneState::Ready;
                self.ready.push_back(leader);
            }
        }
    }

    fn next_state(&self, lane: usize, now: MonotonicMs) -> LaneState {
        let state = &self.lanes[lane];
        if !state.retried.is_empty() {
            return LaneState::Ready;
        }
        match state.front.front().map(|entry| &entry.what) {
            None if state.disk.unread.is_some() => LaneState::Ready,
            None => LaneState::Empty,
            Some(What::Shared(_)) => LaneState::Blocked,
            Some(What::Own(_)) => match (self.options.batch, state.state) {
                (Some(batch), LaneState::Empty | LaneState::Gathering { .. })
                    if state.head.is_none() && !self.batch_is_full(state) =>
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

    fn batch_is_full(&self, lane: &Lane) -> bool {
        let Some(batch) = self.options.batch else {
            return true;
        };
        lane.front.len() >= batch.events_max || {
            let mut bytes = 0;
            lane.front.iter().any(|entry| match &entry.what {
                What::Own(event) => {
                    bytes += event.body.len() + 1;
                    bytes >= batch.bytes_max
                }
                // It is sent alone, so what stands before it is a whole batch.
                What::Shared(_) => true,
            })
        }
    }

    /// The first of the lanes of a shared event, when the event heads them all and
    /// none of them is busy with a dead letter that was sent again.
    fn leader_that_may_go(&self, lane: usize) -> Option<usize> {
        let What::Shared(id) = self.lanes[lane].front.front()?.what else {
            return None;
        };
        let shared = self.shared.get(&id)?;
        shared.event.as_ref()?;
        let all_blocked = shared
            .lanes
            .iter()
            .all(|&lane| self.lanes[lane].state == LaneState::Blocked);
        (shared.heads == shared.lanes.len() && all_blocked)
            .then(|| shared.lanes.first().copied())
            .flatten()
    }

    /// Whether the head of a lane whose turn it is may go. One that stands in other lanes
    /// too goes from its first lane, once it heads them all.
    pub(super) fn head_may_go(&mut self, lane: usize) -> bool {
        let Some(What::Shared(_)) = self.lanes[lane].front.front().map(|entry| &entry.what) else {
            return true;
        };
        self.lanes[lane].state = LaneState::Blocked;
        match self.leader_that_may_go(lane) {
            Some(leader) if leader == lane => return true,
            Some(leader) => {
                self.lanes[leader].state = LaneState::Ready;
                self.ready.push_front(leader);
            }
            None => self.unload(lane, 1),
        }
        false
    }

    pub(super) fn pass_time(&mut self, now: MonotonicMs) {
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

    /// The lanes that the head of the ticket's queue stands in.
    pub(super) fn lanes_of_head(&self, ticket: Ticket) -> Vec<usize> {
        if ticket.queue == Queue::Read
            && let Some(Entry {
                what: What::Shared(id),
                ..
            }) = self.lanes[ticket.lane].front.front()
            && let Some(shared) = self.shared.get(id)
        {
            return shared.lanes.clone();
        }
        vec![ticket.lane]
    }
}
