//! The daemon: builds the parts from the config, owns every task, and ends them in order.
//!
//! ```text
//! source --events--> endpoint, endpoint ..        (a task each)
//!    ^                   |
//!    | confirm           | settled
//!    `--- checkpoint <---'
//! ```
//!
//! Shutdown, on the first SIGTERM or SIGINT or when a task failed; 20 s at most:
//!
//! 1. the source stops reading; its connection and status updates stay
//! 2. the endpoints start no attempt more and wait for those in flight
//! 3. the checkpoint task saves what they settled
//! 4. the source confirms it, and closes the stream
//! 5. the admin port and the control socket close
//! 6. the store's thread closes the state file, and the lock is given up
//!
//! A second signal ends it now, with exit code 1: what was in flight comes again.

mod alert;
mod build;
mod canary;
mod checkpoint;
mod control;
mod known_keys;
pub mod reading;
mod refresh;
mod restore;
mod session;
mod session_error;
mod slot;
mod source;
mod spool_watch;
mod stuck;
mod supervise;
mod types_read;
mod watch;

pub use build::{Daemon, DaemonError, history};
pub use checkpoint::{Lineage, progress};
pub use slot::{expected, publication_names, wanted};
pub use source::SourceError;
