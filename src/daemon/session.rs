//! A session: one control and one replication connection, from connect to their end.
//!
//! 1. control connection: it stays open, it is the canary of a shutdown
//! 2. replication connection, and that both are on the same server
//! 3. preflight: everything wrong at once, before anything is changed
//! 4. publications, each in its own committed transaction, before the slot
//! 5. the slot: what it is against what the state file remembers, created when neither is there
//! 6. START, and the slot compared once more before the first row is used
//! 7. the loop: bytes -> messages -> events
//!
//! Whatever waits, the status updates go on: they have a task of their own.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::checkpoint::Lineage;
use super::reading::{Next, ReadError, Reading};
use super::slot::{self, Opened};
use super::source::{Source, SourceError, SourceStop};
use crate::lsn::Lsn;
use crate::postgres::catalog;
use crate::postgres::connect::{self, Control};
use crate::postgres::failure::{Failure, classify};
use crate::postgres::replication::ReplicationConnection;
use crate::postgres::stream::{Frame, StreamError, StreamReader};
use crate::telemetry::view::StreamState;

/// Without a byte for so long, though replies were asked for, the peer is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How a session ended, when it was not for good.
#[derive(Debug)]
pub enum Ended {
    Stopped,
    /// Try again: for this reason.
    Failed(String),
}
