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
    used: AtomicU64,
    /// What the state file could still take, on its disk and inside.
    free: AtomicU64,
    /// By endpoint.
    endpoints: Vec<OfEndpoint>,
    /// The last checkpoint did not fit on the disk: nothing is confirmed.
    checkpoint_does_not_fit: AtomicBool,
}

#[derive(Debug, Default)]
struct OfEndpoint {
    /// Waiting on disk.
    bytes: AtomicU64,
    /// Its last write did not fit on the disk, whatever was free before it.
    does_not_fit: AtomicBool,
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
    /// What is used, where the disk takes no more.
    pub limit: u64,
    /// The endpoint with most of it.
    pub most: Option<EndpointIndex>,
    pub is_full: bool,
    /// The state file cannot grow, whatever the spool may have.
    pub disk_is_full: bool,
    /// It is full, or its disk is, and so reading stops for all once memory is.
    pub stops: bool,
}

impl SpoolUse {
    pub fn percent(&self) -> u64 {
        if self.limit == 0 {
            return 100;
        }
        self.used.saturating_mul(100) / self.limit
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
            used: AtomicU64::new(0),
            free: AtomicU64::new(u64::MAX),
            endpoints: (0..endpoints).map(|_| OfEndpoint::default()).collect(),
            checkpoint_does_not_fit: AtomicBool::new(false),
        }
    }

    /// What the state file says: bytes that wait or are dead, those that wait by endpoint,
    /// and what is free on its disk and in itself.
    pub fn is(&self, used: u64, waiting: impl Iterator<Item = (EndpointIndex, u64)>, free: u64) {
        self.used.store(used, Ordering::Relaxed);
        self.free_is(free);
        for endpoint in &self.endpoints {
            endpoint.bytes.store(0, Ordering::Relaxed);
        }
        for (endpoint, bytes) in waiting {
            if let Some(of) = self.endpoints.get(endpoint.0) {
                of.bytes.store(bytes, Ordering::Relaxed);
            }
        }
    }

    /// After a write it is less than was written: the write-ahead log grows, too.
    pub fn free_is(&self, free: u64) {
        self.free.store(free, Ordering::Relaxed);
    }

    /// Whether so much may be written without the risk that it fills the disk: it goes
    /// into the write-ahead log, and from there into the file.
    pub fn fits(&self, bytes: u64) -> bool {
        bytes.saturating_mul(2) <= self.free.load(Ordering::Relaxed)
    }

    /// A write did not fit on the disk, and is tried again. Whether that is new.
    pub fn did_not_fit(&self, endpoint: EndpointIndex) -> bool {
        let of = self.endpoints.get(endpoint.0);
        of.is_some_and(|of| !of.does_not_fit.swap(true, Ordering::Relaxed))
    }

    /// Whether the last checkpoint was written; it is tried again.
    pub fn checkpoint_fits(&self, fits: bool) {
        self.checkpoint_does_not_fit.store(!fits, Ordering::Relaxed);
    }

    pub fn written(&self, endpoint: EndpointIndex, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        let free = self.free.load(Ordering::Relaxed);
        self.free_is(free.saturating_sub(bytes));
        if let Some(of) = self.endpoints.get(endpoint.0) {
            of.bytes.fetch_add(bytes, Ordering::Relaxed);
            of.does_not_fit.store(false, Ordering::Relaxed);
        }
    }

    pub fn may_write(&self, endpoint: EndpointIndex) -> MayWrite {
        // A disk that is full is tried again.
        let use_now = self.of_limit();
        let is_most = use_now.most == Some(endpoint);
        match self.full {
            SpoolFull::Disable if use_now.is_full => MayWrite::Disable,
            SpoolFull::Disable if is_most && use_now.percent() >= SHARE_MAX => MayWrite::Disable,
            _ if use_now.is_full => MayWrite::No,
            _ => MayWrite::Yes,
        }
    }

    pub fn now(&self) -> SpoolUse {
        let does_not_fit = |of: &OfEndpoint| of.does_not_fit.load(Ordering::Relaxed);
        let use_now = self.of_limit();
        if !self.checkpoint_does_not_fit.load(Ordering::Relaxed)
            && !self.endpoints.iter().any(does_not_fit)
        {
            return use_now;
        }
        SpoolUse {
            limit: use_now.limit.min(use_now.used),
            disk_is_full: true,
            stops: true,
            ..use_now
        }
    }

    fn of_limit(&self) -> SpoolUse {
        let used = self.used.load(Ordering::Relaxed);
        // Of what it could have a fifth stays for others, for the database as often as not,
        // and for checkpoints: what waits could not be settled on a disk that is full.
        let all = used.saturating_add(self.free.load(Ordering::Relaxed));
        let limit = self.bytes_max.min(all - all / 5);
        let sums = self.endpoints.iter().enumerate();
        let most = sums
            .map(|(index, of)| (of.bytes.load(Ordering::Relaxed), index))
            .filter(|(sum, _)| *sum > 0)
            .max();
        SpoolUse {
            used,
            limit,
            most: most.map(|(_, index)| EndpointIndex(index)),
            is_full: used >= limit,
            disk_is_full: false,
            stops: used >= limit && self.full == SpoolFull::Stop,
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
        assert_eq!(room.now().limit, 480);
        assert!(!room.now().is_warned_of());
        room.written(A, 150);
        assert!(room.now().is_warned_of());
    }

    #[test]
    fn it_leaves_a_fifth_of_the_disk_however_often_it_looks() {
        let room = SpoolRoom::new(1 << 40, SpoolFull::Stop, 1);
        let (mut used, mut free) = (0, 1000);
        room.is(used, std::iter::empty(), free);
        while room.may_write(A) == MayWrite::Yes {
            (used, free) = (used + 10, free - 10);
            room.is(used, [(A, used)].into_iter(), free);
        }
        assert_eq!((used, free), (800, 200));
        // Nor does one write fill it that is in the log and in the file.
        assert!(room.fits(100) && !room.fits(101));
        room.written(A, 10);
        room.free_is(180);
        assert!(room.fits(90) && !room.fits(91));
    }

    #[test]
    fn a_disk_that_is_full_is_said_to_be_until_all_that_did_not_fit_is_written() {
        let room = SpoolRoom::new(1000, SpoolFull::Stop, 2);
        room.is(100, [(A, 100)].into_iter(), 1 << 40);
        assert!(room.did_not_fit(A));
        assert!(!room.did_not_fit(A));
        room.checkpoint_fits(false);
        let is_full = |room: &SpoolRoom| {
            let now = room.now();
            assert_eq!(now.disk_is_full, now.stops);
            (now.stops, now.percent())
        };
        assert_eq!(is_full(&room), (true, 100));
        // It is tried again, whatever others wrote.
        assert_eq!(room.may_write(A), MayWrite::Yes);
        room.written(B, 0);
        room.checkpoint_fits(true);
        assert_eq!(is_full(&room), (true, 100));
        room.written(A, 0);
        assert_eq!(is_full(&room), (false, 10));
        room.checkpoint_fits(false);
        assert_eq!(is_full(&room), (true, 100));
    }
}
