//! The memory budget: the bytes of all events that the daemon holds.
//!
//! ```text
//! |<------------- memory.max_bytes -------------->|
//! |  in memory alone: reading      | on disk, too |
//! ```
//!
//! Who reads the stream waits until enough of what was read is settled or on disk. What is
//! held of events that are on disk, too, has a room of its own: an endpoint that hangs may
//! hold it for as long as its timeout is, and reading must not wait for that. An endpoint
//! may always hold its share of it, and one read's worth, so that none waits for the others.
//! An event gives its room back when it is dropped.

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
    /// What events may take that are in memory alone.
    read_bytes_max: u64,
    /// What those may take that are on disk, too.
    on_disk_bytes_max: u64,
    endpoints: AtomicU64,
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
    /// Of it, by events that are in memory alone.
    unsettled: AtomicU64,
    /// Reading waits for memory of which this endpoint holds most.
    pub pressed: Notify,
}

impl MemoryBudget {
    pub fn new(bytes_max: u64) -> Self {
        MemoryBudget {
            read_bytes_max: bytes_max - bytes_max / 4,
            on_disk_bytes_max: bytes_max / 4,
            endpoints: AtomicU64::new(0),
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
        let take = |unsettled: u64| {
            let sum = unsettled.saturating_add(bytes);
            (unsettled == 0 || sum <= self.read_bytes_max).then_some(sum)
        };
        let taken = self
            .unsettled
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .is_ok();
        if taken {
            self.used.fetch_add(bytes, Ordering::AcqRel);
        }
        taken
    }

    fn on_disk(&self) -> u64 {
        let unsettled = self.unsettled.load(Ordering::Acquire);
        self.used().saturating_sub(unsettled)
    }

    /// Of what events may take that are on disk, too.
    fn share(&self) -> u64 {
        self.on_disk_bytes_max / self.endpoints.load(Ordering::Relaxed).max(1)
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
    // Of what is on disk, too, nothing more can be moved there.
    let most = holders.iter().max_by_key(|holder| holder.unsettled());
    if let Some(holder) = most {
        holder.pressed.notify_one();
    }
}

impl Holder {
    pub fn new(budget: &Arc<MemoryBudget>) -> Self {
        budget.endpoints.fetch_add(1, Ordering::Relaxed);
        Holder {
            budget: Arc::clone(budget),
            held: AtomicU64::new(0),
            unsettled: AtomicU64::new(0),
            pressed: Notify::new(),
        }
    }

    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// By events that are in memory alone.
    pub fn unsettled(&self) -> u64 {
        self.unsettled.load(Ordering::Relaxed)
    }

    fn on_disk_bytes(&self) -> u64 {
        self.held().saturating_sub(self.unsettled())
    }

    /// What it holds of events that are on disk, too, is more than its share, and there is
    /// no room for more: others would have to wait until it sends.
    pub fn holds_too_much(&self) -> bool {
        let budget = &self.budget;
        budget.on_disk() > budget.on_disk_bytes_max && self.on_disk_bytes() > budget.share()
    }

    /// Room for an event, `bytes` of which were taken from the budget.
    pub fn room(self: &Arc<Self>, bytes: u64) -> Room {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        self.unsettled.fetch_add(bytes, Ordering::Relaxed);
        Room::of(Arc::<Self>::clone(self), bytes)
    }

    /// Whether events of about `bytes` may be read back from disk now: they fit, or the
    /// endpoint holds none of those that are there.
    pub fn may_read_back(&self, bytes: u64) -> bool {
        let ours = self.on_disk_bytes();
        let with = |held: u64| held.saturating_add(bytes);
        ours == 0
            || with(ours) <= self.budget.share()
            || with(self.budget.on_disk()) <= self.budget.on_disk_bytes_max
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
        self.unsettled.fetch_sub(bytes, Ordering::Relaxed);
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
    fn reading_does_not_wait_for_what_is_on_disk_and_who_holds_too_much_of_that_is_told() {
        let budget = Arc::new(MemoryBudget::new(100));
        let [hangs, other] = [(); 2].map(|()| Arc::new(Holder::new(&budget)));
        assert!(budget.try_take(75));
        let room = hangs.room(75);
        assert_eq!((hangs.unsettled(), hangs.holds_too_much()), (75, false));
        room.on_disk();
        assert_eq!((hangs.unsettled(), hangs.holds_too_much()), (0, true));
        assert!(!other.holds_too_much());
        assert!(budget.try_take(75));
        assert!(!budget.try_take(1));
        // Its share is half of what is for those on disk.
        let ours = other.room_anyway(5);
        assert!(other.may_read_back(7) && !other.may_read_back(8));
        drop((room, ours));
        assert!(!hangs.holds_too_much());
        assert_eq!(budget.used(), 75);
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
