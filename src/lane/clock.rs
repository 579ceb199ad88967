//! The daemon's clock: one that never goes back, and the wall's beside it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::attempt::MonotonicMs;

/// 2000-01-01, Postgres' zero, in Unix microseconds.
pub const POSTGRES_EPOCH_UNIX_US: i64 = 946_684_800_000_000;

/// The wall's time of the moments of a clock.
pub trait WallTime {
    fn unix_ms(&self, at: MonotonicMs) -> i64;
    /// The moment of a time that the state file holds.
    fn moment(&self, unix_ms: i64) -> MonotonicMs;
}

/// Begins with the daemon. Follows tokio's clock, so that tests can pause it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Clock {
            started: Instant::now(),
        }
    }

    pub fn now(&self) -> MonotonicMs {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// When the clock will show `at`.
    pub fn instant(&self, at: MonotonicMs) -> Instant {
        self.started + Duration::from_millis(u64::try_from(at).unwrap_or(0))
    }

    /// The wall's time of a moment of this clock, by the wall clock as it is now.
    pub fn to_unix_ms(&self, at: MonotonicMs) -> i64 {
        unix_us() / 1000 - (self.now() - at)
    }

    /// The moment of a time that the state file holds. One in the future, written by
    /// a clock that was wrong, counts as now.
    pub fn from_unix_ms(&self, unix_ms: i64) -> MonotonicMs {
        self.now() - (unix_us() / 1000 - unix_ms).max(0)
    }
}

impl WallTime for Clock {
    fn unix_ms(&self, at: MonotonicMs) -> i64 {
        self.to_unix_ms(at)
    }

    fn moment(&self, unix_ms: i64) -> MonotonicMs {
        self.from_unix_ms(unix_ms)
    }
}

/// Microseconds since 1970, negative before.
pub fn unix_us() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
    }
}

/// How long ago a commit was; nothing when its clock is ahead of ours.
pub fn since_commit(commit_time_us: i64) -> Duration {
    let ago = unix_us() - commit_time_us.saturating_add(POSTGRES_EPOCH_UNIX_US);
    Duration::from_micros(u64::try_from(ago).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_the_file_is_never_later_than_now() {
        let clock = Clock::start();
        let now_ms = unix_us() / 1000;
        // Written by a clock that was ten minutes ahead, or years.
        for ahead in [1_000, 600_000, i64::from(u32::MAX) * 1000] {
            let read = clock.from_unix_ms(now_ms + ahead);
            assert!((0..1_000).contains(&(clock.now() - read)), "{read}");
        }
        let before = clock.from_unix_ms(now_ms - 60_000);
        assert!((before - (clock.now() - 60_000)).abs() < 1_000, "{before}");
    }

    #[test]
    fn a_commit_in_the_future_was_just_now() {
        let ahead = unix_us() - POSTGRES_EPOCH_UNIX_US + 600_000_000;
        assert_eq!(since_commit(ahead), Duration::ZERO);
        assert_eq!(since_commit(i64::MAX), Duration::ZERO);
    }
}
