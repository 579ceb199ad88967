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

/// Runs one session to its end.
pub(super) async fn run(source: &mut Source, stop: &SourceStop) -> Result<Ended, SourceError> {
    // Tasks of the session end with it.
    let mut tasks = JoinSet::new();
    let connected = tokio::select! {
        () = stop.reading.cancelled() => return Ok(Ended::Stopped),
        connected = connect(source, &mut tasks) => connected,
    };
    let (connected, mut canary) = match connected {
        Ok(connected) => connected,
        Err(error) => return error.ended(),
    };
    let Connected {
        control,
        replication,
        opened,
    } = connected;
    let started = replication
        .start(&source.config.source.slot, &opened.publications, opened.start)
        .await;
    let (mut stream, status) = match started {
        Ok(started) => started,
        Err(error) => return SessionError::from(error).ended_in(source.phase),
    };
    if let Err(error) = slot::compare_again(source, &control.client).await {
        return error.ended();
    }

    let received = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let reply_now = Arc::new(Notify::new());
    let status_stop = tokio_util::sync::CancellationToken::new();
    let mut status = tokio::spawn(status.run(
        source.durable.clone(),
        Arc::clone(&received),
        Arc::clone(&reply_now),
        status_stop.clone(),
    ));
    source.reading.reconnected();
    source.streaming(opened.start_shown);
    let reading = Loop {
        reading: &mut source.reading,
        client: &control.client,
        received: &received,
        reply_now: &reply_now,
        view: &source.shared.view,
        budget: &source.shared.budget,
    };
    // Priorities: stop, the canary, the status task (it should not end), the stream.
    let ended = tokio::select! {
        biased;
        () = stop.reading.cancelled() => Ok(()),
        reason = &mut canary => Err(SessionError::Transient(reason.unwrap_or_else(|_| "control connection ended".to_owned()))),
        ended = &mut status => Err(match ended {
            Ok(Err(error)) => SessionError::Stream(error),
            Ok(Ok(())) | Err(_) => SessionError::Transient("status updates ended".to_owned()),
        }),
        ended = reading.run(&mut stream) => ended,
    };
    match ended {
        Err(error) => {
            status.abort();
            error.ended_in(source.phase)
        }
        Ok(()) => {
            // What is read stays with the lanes until they have told what they settled.
            stop.stream.cancelled().await;
            status_stop.cancel();
            if let Ok(Err(error)) = status.await {
                warn!(%error, "failed to confirm the last position; nothing is lost");
            }
            Ok(Ended::Stopped)
        }
    }
}
