//! The daemon's clock beside the wall's, for what the state file keeps.

use walhook::event::EndpointIndex;
use walhook::lane::attempt::MonotonicMs;
use walhook::lane::clock::WallTime;
use walhook::lane::endpoint::kept::Kept;

use super::endpoint::{Around, Endpoint};

/// The wall's milliseconds at the daemon's start.
pub struct Started(i64);

impl WallTime for Started {
    fn unix_ms(&self, at: MonotonicMs) -> i64 {
        at + self.0
    }

    fn moment(&self, unix_ms: i64) -> MonotonicMs {
        unix_ms - self.0
    }
}

impl Endpoint {
    pub fn kept(&self, around: &Around<'_>) -> Kept<'_, Started> {
        Kept {
            endpoint: EndpointIndex(self.index),
            name: &self.name,
            wall: Started(around.started_ms),
        }
    }
}
