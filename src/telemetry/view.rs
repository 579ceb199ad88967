//! The view: what the daemon is doing right now, for /readyz, `status` and systemd.

use std::mem::discriminant;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::lsn::Lsn;

/// Where the stream of changes stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamState {
    Starting,
    /// Not streaming, for this reason; it is tried again.
    Waiting {
        reason: String,
    },
    Streaming,
    /// The server fails to decode a change, each time; it is tried again.
    Stuck {
        reason: String,
    },
    Stopping,
}

/// How an endpoint fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointHealth {
    Ok,
    /// Attempts fail: `last` is the latest outcome that was told, `attempts` how many failed.
    Failing {
        last: String,
        attempts: u32,
    },
    Disabled {
        by: String,
    },
}

#[derive(Clone, Debug)]
pub struct EndpointView {
    pub name: Arc<str>,
    /// Scheme, host and port.
    pub origin: String,
    pub health: EndpointHealth,
    pub since: SystemTime,
    /// In memory; those on disk are the state file's to count.
    pub waiting_events: u64,
    pub waiting_bytes: u64,
    /// Commit time of the event that has waited longest, microseconds since 2000-01-01 UTC.
    pub oldest_commit_time_us: Option<i64>,
}

/// How full the spool is, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolShown {
    pub used: u64,
    pub limit: u64,
    /// The endpoint that has most waiting in it.
    pub most: Option<Arc<str>>,
    /// At the pace of late; `None`: it does not grow.
    pub full_in: Option<Duration>,
    /// It is full, or its disk is, and so reading stops for all once memory is.
    pub stops: bool,
    /// What a person should know of it: a sentence.
    pub warning: Option<String>,
}

/// How safe the WAL is that the server keeps for the slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotShown {
    /// Until the server removes WAL that the slot needs; `None`: it keeps all of it.
    pub safe_wal_bytes: Option<i64>,
    /// Why the server keeps much WAL for it, or may soon remove some that it needs: a
    /// sentence.
    pub lagging: Option<String>,
}

/// A copy of all that is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    pub stream: StreamState,
    pub since: SystemTime,
    pub endpoints: Vec<EndpointView>,
    /// Confirmed to Postgres by the last status update.
    pub confirmed: Lsn,
    pub checkpoint: Lsn,
    /// End of the server's WAL, as far as it has told.
    pub wal_end: Lsn,
    pub retained_bytes: Option<u64>,
    pub slot: SlotShown,
    pub spool: SpoolShown,
    /// What a person should know of: a sentence each.
    pub warnings: Vec<String>,
}

/// Shared by all who change it and all who show it.
#[derive(Debug)]
pub struct View {
    shown: Mutex<Shown>,
}

impl View {
    pub fn new(endpoints: Vec<EndpointView>, now: SystemTime) -> Self {
        View {
            shown: Mutex::new(Shown {
                stream: StreamState::Starting,
                since: now,
                endpoints,
                confirmed: Lsn::ZERO,
                checkpoint: Lsn::ZERO,
                wal_end: Lsn::ZERO,
                retained_bytes: None,
                slot: SlotShown::default(),
                spool: SpoolShown::default(),
                warnings: Vec::new(),
            }),
        }
    }

    pub fn set_stream(&self, stream: StreamState, now: SystemTime) {
        let mut shown = self.lock();
        if shown.stream != stream {
            shown.stream = stream;
            shown.since = now;
        }
    }

    /// Of the endpoint at this place. That it fails again, or in another way, is the same
    /// state.
    pub fn set_health(&self, endpoint: usize, health: EndpointHealth, now: SystemTime) {
        if let Some(view) = self.lock().endpoints.get_mut(endpoint) {
            if discriminant(&view.health) != discriminant(&health) {
                view.since = now;
            }
            view.health = health;
        }
    }

    /// Changes what is shown; `change` must be quick.
    pub fn update(&self, change: impl FnOnce(&mut Shown)) {
        change(&mut self.lock());
    }

    pub fn shown(&self) -> Shown {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_fails_since_its_first_failure() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let endpoint = EndpointView {
            name: "r".into(),
            origin: "http://r".into(),
            health: EndpointHealth::Ok,
            since: at(0),
            waiting_events: 0,
            waiting_bytes: 0,
            oldest_commit_time_us: None,
        };
        let view = View::new(vec![endpoint], at(0));
        let failing = |attempts| EndpointHealth::Failing {
            last: "timed out".into(),
            attempts,
        };
        let since = |health, now| {
            view.set_health(0, health, at(now));
            view.shown().endpoints[0].since
        };
        assert_eq!(since(failing(1), 5), at(5));
        assert_eq!(since(failing(2), 65), at(5));
        assert_eq!(since(EndpointHealth::Ok, 70), at(70));
    }
}
