//! Dead letters that a person sent again: what the endpoint's task asks about them.

use std::sync::Arc;

use super::lane::LaneState;
use super::{Health, Lanes};
use crate::event::{Event, EventId};
use crate::lane::attempt::{LaneIndex, MonotonicMs};
use crate::lane::name::lanes_of;

/// A letter that failed so often holds up its lane, and those behind it are passed over.
const STUCK_ATTEMPTS: u32 = 5;

impl Lanes {
    /// It stands in several lanes, and in each of them letters may be before and behind it.
    pub fn is_of_several(&self, event: &Event) -> bool {
        lanes_of(event, self.options.order).len() > 1
    }

    /// The lane that a letter goes into.
    pub fn retry_lane(&mut self, event: &Event) -> Option<LaneIndex> {
        let name = lanes_of(event, self.options.order).into_iter().next()?;
        Some(LaneIndex(self.lane(name)))
    }

    /// A letter at the head of the lane fails again and again, though the endpoint is well.
    pub fn retry_is_stuck(&self, lane: LaneIndex) -> bool {
        let head = self.lanes[lane.0].retried_head;
        self.health == Health::Open && head.is_some_and(|head| head.attempts >= STUCK_ATTEMPTS)
    }

    /// Letters in lanes where one fails again and again.
    pub fn stuck_letters(&self) -> usize {
        let lanes = self.lanes.iter().enumerate();
        let stuck = lanes.filter(|(lane, _)| self.retry_is_stuck(LaneIndex(*lane)));
        stuck.map(|(_, lane)| lane.retried.len()).sum()
    }

    /// Takes letters out that a person dropped meanwhile; returns those that were. One in
    /// flight stays for now.
    pub fn drop_retried(&mut self, dropped: &[EventId], now: MonotonicMs) -> Vec<Arc<Event>> {
        let mut removed = Vec::new();
        for lane in 0..self.lanes.len() {
            let state = &mut self.lanes[lane];
            let fixed = state.retried_head.map_or(0, |head| head.count);
            let in_flight = match state.state {
                LaneState::Sending | LaneState::Parking => fixed,
                _ => 0,
            };
            let before = removed.len();
            let (mut place, mut of_head) = (0, 0);
            state.retried.retain(|event| {
                place += 1;
                let goes = place > in_flight && dropped.contains(&event.id);
                if goes {
                    removed.push(Arc::clone(event));
                    of_head += usize::from(place <= fixed);
                }
                !goes
            });
            if let Some(head) = &mut state.retried_head {
                head.count -= of_head;
            }
            state.retried_head = state.retried_head.filter(|head| head.count > 0);
            let waits_for_it = matches!(state.state, LaneState::Waiting { .. }) && of_head > 0;
            let was_its_turn = state.state == LaneState::Ready && state.retried.is_empty();
            if removed.len() > before && (waits_for_it || was_its_turn) {
                state.state = LaneState::Blocked;
                self.refresh(lane, now);
            }
        }
        removed
    }
}
