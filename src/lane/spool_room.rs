//! How much of the spool is used: what waits on disk and what is dead.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::event::EndpointIndex;
use crate::store::SpoolFull;

/// From here on a person should know of it.
const WARNED_FROM: u64 = 50;
/// With `full: disable` the endpoint that fills the spool may use so much of it, in
/// percent; the rest is for the others.
const SHARE_MAX: u64 = 90;

/// Shared by all endpoints. The sums come from the state file now and then, and grow with
/// what is written in between.
#[derive(Debug)]
pub struct SpoolRoom {
    bytes_max: u64,
    full: SpoolFull,
    /// `spool.max_bytes`, or less where the disk has less.
    limit: AtomicU64,
    used: AtomicU64,
    /// The last write did not fit on the disk, whatever was free before it.
    disk_is_full: AtomicBool,
    /// Waiting on disk, by endpoint.
    endpoints: Vec<AtomicU64>,
}

/// Whether an endpoint may write to the spool now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayWrite {
    Yes,
    /// Not before there is room.
    No,
    /// Its events fill the spool: it is to be disabled.
    Disable,
}

/// A look at it, for the log and the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SpoolUse {
    pub used: u64,
    pub limit: u64,
    /// The endpoint with most of it.
    pub most: Option<EndpointIndex>,
    pub is_full: bool,
    /// It is full, or its disk is, and so reading stops for all once memory is.
    pub stops: bool,
}

impl SpoolUse {
    pub fn percent(&self) -> u64 {
        self.used.saturating_mul(100) / self.limit.max(1)
    }

    pub fn is_warned_of(&self) -> bool {
        self.percent() >= WARNED_FROM
    }
}

impl SpoolRoom {
    pub fn new(bytes_max: u64, full: SpoolFull, endpoints: usize) -> Self {
        SpoolRoom {
            bytes_max,
            full,
            limit: AtomicU64::new(bytes_max),
            used: AtomicU64::new(0),
            disk_is_full: AtomicBool::new(false),
            endpoints: (0..endpoints).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// What the state file says: bytes that wait or are dead, those that wait by endpoint,
    /// and what is free on its disk.
    pub fn is(&self, used: u64, waiting: impl Iterator<Item = (EndpointIndex, u64)>, free: u64) {
        self.used.store(used, Ordering::Relaxed);
        for endpoint in &self.endpoints {
            endpoint.store(0, Ordering::Relaxed);
        }
        for (endpoint, bytes) in waiting {
            if let Some(sum) = self.endpoints.get(endpoint.0) {
                sum.store(bytes, Ordering::Relaxed);
            }
        }
        // Of the disk a fifth stays for others: for the database, as often as not.
        let share = used.saturating_add(free - free / 5);
        self.limit
            .store(self.bytes_max.min(share), Ordering::Relaxed);
    }

    /// A write did not fit on the disk: it is tried again.
    pub fn did_not_fit(&self) {
        self.disk_is_full.store(true, Ordering::Relaxed);
    }

    pub fn written(&self, endpoint: EndpointIndex, bytes: u64) {
        self.disk_is_full.store(false, Ordering::Relaxed);
        self.used.fetch_add(bytes, Ordering::Relaxed);
        if let Some(sum) = self.endpoints.get(endpoint.0) {
            sum.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub fn may_write(&self, endpoint: EndpointIndex) -> MayWrite {
        let use_now = self.now();
        let is_most = use_now.most == Some(endpoint);
        match self.full {
            SpoolFull::Disable if use_now.is_full => MayWrite::Disable,
            SpoolFull::Disable if is_most && use_now.percent() >= SHARE_MAX => MayWrite::Disable,
            _ if use_now.is_full => MayWrite::No,
            _ => MayWrite::Yes,
        }
    }

    pub fn now(&self) -> SpoolUse {
        let used = self.used.load(Ordering::Relaxed);
        let limit = self.limit.load(Ordering::Relaxed);
        let sums = self.endpoints.iter().enumerate();
        let most = sums
            .map(|(index, sum)| (sum.load(Ordering::Relaxed), index))
            .filter(|(sum, _)| *sum > 0)
            .max();
        SpoolUse {
            used,
            limit,
            most: most.map(|(_, index)| EndpointIndex(index)),
            is_full: used >= limit,
            stops: used >= limit && self.full == SpoolFull::Stop
                || self.disk_is_full.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: EndpointIndex = EndpointIndex(0);
    const B: EndpointIndex = EndpointIndex(1);

    #[test]
    fn a_full_spool_stops_all_or_disables_who_fills_it() {
        let stop = SpoolRoom::new(1000, SpoolFull::Stop, 2);
        let disable = SpoolRoom::new(1000, SpoolFull::Disable, 2);
        for room in [&stop, &disable] {
            room.is(850, [(A, 800), (B, 50)].into_iter(), 1 << 40);
            assert_eq!(room.may_write(A), MayWrite::Yes);
            room.written(A, 60);
            assert_eq!(room.may_write(B), MayWrite::Yes);
        }
        assert_eq!(stop.may_write(A), MayWrite::Yes);
        assert_eq!(disable.may_write(A), MayWrite::Disable);
        stop.written(B, 90);
        assert_eq!(stop.may_write(A), MayWrite::No);
        assert_eq!(stop.may_write(B), MayWrite::No);
        assert_eq!(stop.now().most, Some(A));
        assert!(stop.now().is_full);
    }

    #[test]
    fn a_small_disk_is_a_smaller_spool() {
        let room = SpoolRoom::new(1000, SpoolFull::Stop, 1);
        room.is(100, [(A, 100)].into_iter(), 500);
        assert_eq!(room.now().limit, 500);
        assert!(!room.now().is_warned_of());
        room.written(A, 150);
        assert!(room.now().is_warned_of());
    }
}
