//! The memory budget: the bytes of all events that the daemon holds.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Bounds what is held in memory for the whole daemon. The reader takes, the
/// endpoints give back.
#[derive(Debug)]
pub struct MemoryBudget {
    bytes_max: u64,
    used: AtomicU64,
    freed: Notify,
}

impl MemoryBudget {
    pub fn new(bytes_max: u64) -> Self {
        MemoryBudget {
            bytes_max,
            used: AtomicU64::new(0),
            freed: Notify::new(),
        }
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` when they fit. What is larger than the budget fits alone.
    /// There must be one taker only.
    pub fn try_take(&self, bytes: u64) -> bool {
        let used = self.used.load(Ordering::Acquire);
        let fits = used == 0 || used.saturating_add(bytes) <= self.bytes_max;
        if fits {
            self.used.fetch_add(bytes, Ordering::AcqRel);
        }
        fits
    }

    /// Waits until `bytes` were taken. Dropped before its end it has taken nothing.
    pub async fn take(&self, bytes: u64) {
        loop {
            let freed = self.freed.notified();
            if self.try_take(bytes) {
                return;
            }
            freed.await;
        }
    }

    pub fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        self.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_larger_than_the_budget_is_admitted_alone() {
        let budget = MemoryBudget::new(100);
        assert!(budget.try_take(1));
        assert!(!budget.try_take(500));
        budget.give_back(1);
        budget.take(500).await;
        assert!(!budget.try_take(1));
        budget.give_back(500);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn taking_waits_for_room() {
        let budget = MemoryBudget::new(100);
        assert!(budget.try_take(100));
        let taken = async {
            budget.take(60).await;
            budget.used()
        };
        let freed = async {
            tokio::task::yield_now().await;
            budget.give_back(50);
            tokio::task::yield_now().await;
            budget.give_back(50);
        };
        assert_eq!(tokio::join!(taken, freed).0, 60);
    }
}
