//! The memory budget: the bytes of all events that the daemon holds.
//!
//! ```text
//! |<------------- memory.max_bytes -------------->|
//! |  reading may take so much      | read back    |
//! |                                | from disk    |
//! ```
//!
//! Who reads the stream waits for room; what is read back from the spool takes what is
//! there, and each endpoint may always hold one request's worth, so that none waits for
//! the others. An event gives its room back when it is dropped. What is held of events
//! that are on disk, too, may stay for as long as an endpoint is away, so a change that is
//! larger than all the room waits for the others alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::event::{Lender, Room};

/// Reading that waits longer for room asks the endpoint that holds most to spool.
const PRESSED_AFTER: Duration = Duration::from_millis(50);

/// Bounds what is held in memory for the whole daemon.
#[derive(Debug)]
pub struct MemoryBudget {
    bytes_max: u64,
    /// Of it, what reading may take.
    read_bytes_max: u64,
    used: AtomicU64,
    /// Of it, by events that are in memory alone.
    unsettled: AtomicU64,
    freed: Notify,
}

/// What one endpoint holds of the budget.
#[derive(Debug)]
pub struct Holder {
    budget: Arc<MemoryBudget>,
    held: AtomicU64,
    /// Reading waits for memory of which this endpoint holds most.
    pub pressed: Notify,
}

impl MemoryBudget {
    pub fn new(bytes_max: u64) -> Self {
        MemoryBudget {
            bytes_max,
            read_bytes_max: bytes_max - bytes_max / 4,
            used: AtomicU64::new(0),
            unsettled: AtomicU64::new(0),
            freed: Notify::new(),
        }
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` for what was read when they fit. What is larger than the budget fits
    /// once all that was read before is settled.
    pub fn try_take(&self, bytes: u64) -> bool {
        let alone = self.unsettled.load(Ordering::Acquire) == 0;
        let take = |used: u64| {
            let sum = used.saturating_add(bytes);
            (alone || sum <= self.read_bytes_max).then_some(sum)
        };
        let taken = self
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .is_ok();
        if taken {
            self.unsettled.fetch_add(bytes, Ordering::AcqRel);
        }
        taken
    }

    /// Waits until `bytes` were taken, and presses the holder that holds most
    /// meanwhile. Dropped before its end it has taken nothing.
    pub async fn take(&self, bytes: u64, holders: &[Arc<Holder>]) {
        loop {
            let freed = self.freed.notified();
            if self.try_take(bytes) {
                return;
            }
            if tokio::time::timeout(PRESSED_AFTER, freed).await.is_err() {
                press(holders);
            }
        }
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        self.freed.notify_one();
    }
}

fn press(holders: &[Arc<Holder>]) {
    let most = holders.iter().max_by_key(|holder| holder.held());
    if let Some(holder) = most {
        holder.pressed.notify_one();
    }
}

impl Holder {
    pub fn new(budget: &Arc<MemoryBudget>) -> Self {
        Holder {
            budget: Arc::clone(budget),
            held: AtomicU64::new(0),
            pressed: Notify::new(),
        }
    }

    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Room for an event, `bytes` of which were taken from the budget.
    pub fn room(self: &Arc<Self>, bytes: u64) -> Room {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Room::of(Arc::<Self>::clone(self), bytes)
    }

    /// Whether events of about `bytes` may be read back from disk now: they fit, or the
    /// endpoint holds none.
    pub fn may_read_back(&self, bytes: u64) -> bool {
        let used = self.budget.used().saturating_add(bytes);
        self.held() == 0 || used <= self.budget.bytes_max
    }

    /// Room for an event that was read back.
    pub fn room_anyway(self: &Arc<Self>, bytes: u64) -> Room {
        self.budget.used.fetch_add(bytes, Ordering::AcqRel);
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Room::of_disk(Arc::<Self>::clone(self), bytes)
    }
}

impl Lender for Holder {
    fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.give_back(bytes);
    }

    fn on_disk(&self, bytes: u64) {
        self.budget.unsettled.fetch_sub(bytes, Ordering::AcqRel);
        self.budget.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_larger_than_the_budget_is_admitted_alone() {
        let budget = Arc::new(MemoryBudget::new(100));
        let holder = Arc::new(Holder::new(&budget));
        assert!(budget.try_take(1));
        let room = holder.room(1);
        assert!(!budget.try_take(500));
        drop(room);
        budget.take(500, &[]).await;
        let room = holder.room(500);
        assert!(!budget.try_take(1));
        drop(room);
        assert_eq!((budget.used(), holder.held()), (0, 0));
    }

    #[test]
    fn what_is_larger_than_the_budget_does_not_wait_for_what_is_on_disk() {
        let budget = Arc::new(MemoryBudget::new(100));
        let holder = Arc::new(Holder::new(&budget));
        let read_back = holder.room_anyway(10);
        assert!(budget.try_take(20));
        let room = holder.room(20);
        assert!(!budget.try_take(500));
        room.on_disk();
        room.on_disk();
        assert!(budget.try_take(500));
        let large = holder.room(500);
        assert!(!budget.try_take(500));
        drop((read_back, room, large));
        assert_eq!((budget.used(), holder.held()), (0, 0));
        assert_eq!(budget.unsettled.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn taking_waits_for_room_and_presses_who_holds_most() {
        let budget = Arc::new(MemoryBudget::new(100));
        let [small, large] = [10, 60].map(|bytes| {
            let holder = Arc::new(Holder::new(&budget));
            assert!(budget.try_take(bytes));
            (holder.room(bytes), holder)
        });
        let holders = [Arc::clone(&small.1), Arc::clone(&large.1)];
        let taken = async {
            budget.take(50, &holders).await;
            budget.used()
        };
        let freed = async {
            large.1.pressed.notified().await;
            drop(large.0);
        };
        assert_eq!(tokio::join!(taken, freed).0, 60);
    }

    #[test]
    fn reading_leaves_room_for_what_is_read_back() {
        let budget = Arc::new(MemoryBudget::new(100));
        let holder = Arc::new(Holder::new(&budget));
        assert!(budget.try_take(75));
        assert!(!budget.try_take(1));
        let _rooms = (holder.room(75), holder.room_anyway(20));
        assert!(holder.may_read_back(5));
        assert!(!holder.may_read_back(6));
        assert!(Holder::new(&budget).may_read_back(1000));
    }
}
