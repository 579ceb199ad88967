//! Events that wait on disk for their endpoint.

mod body;
mod relane;
mod run;
mod waiting;

#[cfg(fuzzing)]
pub use body::{decode as decode_run, encode as encode_run};
pub use run::{Entry, Marker, NewRun, RunProgress, Settled, Spool, WaitingLane, WaitingRun};
pub(super) use waiting::settle_runs;
