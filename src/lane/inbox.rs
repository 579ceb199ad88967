//! An endpoint's inbox: events on their way from the reader to the endpoint's task.
//!
//! They are handed over a chunk at a time and taken all at once, so that a busy
//! reader costs neither a channel send nor a wake-up an event. It has no bound of
//! its own: the memory budget bounds it together with all lanes.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::event::Event;

/// Holds the events that the endpoint's task has not taken yet.
#[derive(Debug, Default)]
pub struct Inbox {
    events: Mutex<Vec<Event>>,
    arrived: Notify,
}

impl Inbox {
    /// Moves all of `events` in, in order.
    pub fn put(&self, events: &mut Vec<Event>) {
        if events.is_empty() {
            return;
        }
        self.lock().append(events);
        self.arrived.notify_one();
    }

    /// Waits for events and moves all of them to the end of `events`.
    pub async fn take(&self, events: &mut Vec<Event>) {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut waiting = self.lock();
                if !waiting.is_empty() {
                    events.append(&mut waiting);
                    return;
                }
            }
            arrived.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Event>> {
        // A Vec is whole after any panic of its holder.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
