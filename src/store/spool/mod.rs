//! Events that wait on disk for their endpoint.

mod body;
mod relane;
mod run;
mod waiting;

pub use run::{Entry, Marker, NewRun, RunProgress, Settled, Spool, WaitingLane, WaitingRun};
pub(super) use waiting::settle_runs;
