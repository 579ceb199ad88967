//! Dead letters that a person sent again: read from the store a few at a time, in order.
//!
//! A pass reads from the first letter to the last; what is asked for meanwhile may stand
//! before where it is, and is read by another pass. A letter of several lanes is a barrier:
//! it goes once all before it are done, and nothing behind it before it is. Letters behind
//! one that fails again and again are passed over, so that other lanes get theirs.

use std::collections::HashSet;

use tokio::sync::oneshot;

use super::{Done, Task, counters};
use crate::event::EventId;
use crate::lane::attempt::{LaneIndex, Pushed};
use crate::store::{RetryCursor, RetryingEvent};

/// In the lanes at most.
const EVENTS_MAX: usize = 100;
/// More are read once so few are left.
const EVENTS_LOW: usize = 50;
const BYTES_MAX: usize = 1024 * 1024;
/// So many of lanes whose head fails again and again may be in the lanes beside them.
const STUCK_MAX: usize = 1000;

/// How far the dead letters that were sent again are read.
#[derive(Debug, Default)]
pub(super) struct Retried {
    /// A pass is to begin, once the one under way has ended.
    pub(super) asked: bool,
    /// A pass is under way.
    passing: bool,
    reading: bool,
    /// In the lanes, or delivered and not gone from the store.
    waiting: HashSet<EventId>,
    cursor: Option<RetryCursor>,
    /// Nothing is read before all that wait are done.
    barrier: bool,
    /// Lanes with letters that were passed over.
    passed_over: HashSet<LaneIndex>,
    /// Some were dropped, and may be in the lanes.
    pub(super) dropped: bool,
    checking: bool,
    /// Who waits for the next check, and for the one under way.
    pub(super) to_tell: Vec<oneshot::Sender<()>>,
    to_tell_of_this: Vec<oneshot::Sender<()>>,
    /// One that was dropped is in flight.
    pub(super) dropped_in_flight: bool,
}

impl Task {
    /// Reads the next dead letters that were sent again, when few are left of those before.
    pub(super) fn read_retried(&mut self) {
        self.check_dropped();
        let mut waiting = self.retried.waiting.len();
        if waiting > EVENTS_LOW && !self.retried.barrier {
            // Those behind one that fails keep no other lane from its letters.
            let stuck = self.endpoint.lanes.stuck_letters();
            waiting -= stuck.min(waiting).min(STUCK_MAX);
        }
        let retried = &mut self.retried;
        let enough = waiting > if retried.barrier { 0 } else { EVENTS_LOW };
        if retried.reading || enough {
            return;
        }
        if !retried.passing {
            if !retried.asked {
                return;
            }
            retried.asked = false;
            retried.passing = true;
            retried.cursor = None;
            retried.passed_over.clear();
        }
        retried.barrier = false;
        retried.reading = true;
        let cursor = retried.cursor;
        let (slot, name) = self.names();
        let store = self.endpoint.shared.store.clone();
        let events_max = EVENTS_MAX.saturating_sub(waiting);
        self.running.push(Box::pin(async move {
            let read = store
                .call(move |store| store.retrying(&slot, &name, cursor, events_max, BYTES_MAX))
                .await;
            Done::RetriedRead(read)
        }));
    }

    pub(super) fn retried_read(&mut self, events: Vec<RetryingEvent>) {
        self.retried.reading = false;
        self.retried.passing = !events.is_empty();
        let now = self.endpoint.shared.clock.now();
        for retrying in events {
            let event = retrying.event.into_event(self.endpoint.index);
            let lanes = &mut self.endpoint.lanes;
            let is_barrier = lanes.is_of_several(&event);
            if is_barrier && !self.retried.waiting.is_empty() {
                self.retried.barrier = true;
                break;
            }
            self.retried.cursor = Some(retrying.cursor);
            let Some(lane) = lanes.retry_lane(&event) else {
                continue;
            };
            if self.retried.passed_over.contains(&lane) || lanes.retry_is_stuck(lane) {
                self.retried.passed_over.insert(lane);
                continue;
            }
            let id = event.id;
            let counters = counters(&mut self.counters, &self.endpoint, &event.table);
            if !self.retried.waiting.contains(&id)
                && self.endpoint.lanes.push_retried(event, now) == Pushed::Queued
            {
                counters.retried.inc();
                counters.waiting.inc();
                self.retried.waiting.insert(id);
            }
            if is_barrier {
                self.retried.barrier = true;
                break;
            }
        }
    }

    /// They are delivered and gone from the store, or dead again.
    pub(super) fn retried_done(&mut self, ids: impl IntoIterator<Item = EventId>) {
        for id in ids {
            self.retried.waiting.remove(&id);
        }
        let lanes = &self.endpoint.lanes;
        let mut passed_over = self.retried.passed_over.iter();
        if passed_over.any(|lane| !lanes.retry_is_stuck(*lane)) {
            self.retried.asked = true;
        }
    }

    /// Asks the store which of the letters in the lanes are still there.
    fn check_dropped(&mut self) {
        let retried = &mut self.retried;
        // What is being read may be one of them.
        if !retried.dropped || retried.checking || retried.reading {
            return;
        }
        retried.dropped = false;
        if retried.waiting.is_empty() {
            tell(&mut retried.to_tell);
            return;
        }
        retried.checking = true;
        retried.to_tell_of_this = std::mem::take(&mut retried.to_tell);
        let ids: Vec<EventId> = retried.waiting.iter().copied().collect();
        let (slot, name) = self.names();
        let store = self.endpoint.shared.store.clone();
        self.running.push(Box::pin(async move {
            let dropped = store
                .call(move |store| store.no_longer_retrying(&slot, &name, ids))
                .await;
            Done::RetriedDropped(dropped)
        }));
    }

    pub(super) fn retried_dropped(&mut self, dropped: &[EventId]) {
        self.retried.checking = false;
        let now = self.endpoint.shared.clock.now();
        let removed = self.endpoint.lanes.drop_retried(dropped, now);
        for event in &removed {
            let counters = counters(&mut self.counters, &self.endpoint, &event.table);
            counters.dead.inc();
            counters.waiting.dec();
        }
        tell(&mut self.retried.to_tell_of_this);
        self.retried_done(removed.iter().map(|event| event.id));
        // One in flight is looked at again once its attempt has ended.
        let waiting = &self.retried.waiting;
        self.retried.dropped_in_flight = dropped.iter().any(|id| waiting.contains(id));
    }
}

/// Whoever has given up waiting need not know.
fn tell(waiting: &mut Vec<oneshot::Sender<()>>) {
    for done in waiting.drain(..) {
        let _ = done.send(());
    }
}
