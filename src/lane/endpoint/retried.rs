//! Dead letters that a person sent again: read from the store a few at a time.

use super::{Done, Task, counters};
use crate::lane::attempt::Pushed;
use crate::store::{RetryCursor, RetryingEvent};

/// Read from the store so many at a time.
const EVENTS_MAX: usize = 100;
const BYTES_MAX: usize = 1024 * 1024;

/// How far the dead letters that were sent again are read.
#[derive(Debug, Default)]
pub(super) struct Retried {
    /// Asked for while a read was under way, or not read to the end.
    pub(super) wanted: bool,
    pub(super) reading: bool,
    /// In the lanes now.
    pub(super) waiting: usize,
    pub(super) cursor: Option<RetryCursor>,
}

impl Task {
    /// Reads the next dead letters that were sent again, once those before are done.
    pub(super) fn read_retried(&mut self) {
        if !self.retried.wanted || self.retried.reading || self.retried.waiting > 0 {
            return;
        }
        self.retried.reading = true;
        self.retried.wanted = false;
        let (slot, name) = self.names();
        let cursor = self.retried.cursor;
        let store = self.endpoint.shared.store.clone();
        self.running.push(Box::pin(async move {
            let read = store
                .call(move |store| store.retrying(&slot, &name, cursor, EVENTS_MAX, BYTES_MAX))
                .await;
            Done::RetriedRead(read)
        }));
    }

    pub(super) fn retried_read(&mut self, events: Vec<RetryingEvent>) {
        self.retried.reading = false;
        // Read on until nothing is left; then the next request starts anew.
        self.retried.cursor = events.last().map(|event| event.cursor);
        self.retried.wanted |= !events.is_empty();
        let now = self.endpoint.shared.clock.now();
        for retrying in events {
            let event = retrying.event.into_event(self.endpoint.index);
            let counters = counters(&mut self.counters, &self.endpoint, &event.table);
            if self.endpoint.lanes.push_retried(event, now) == Pushed::Queued {
                counters.retried.inc();
                counters.waiting.inc();
                self.retried.waiting += 1;
            }
        }
    }
}
