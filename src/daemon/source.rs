//! The source: keeps a session with Postgres, for ever.
//!
//! A session that ends for a transient reason is followed by another, after a
//! backoff; a definite one ends the daemon with exit code 69. What was read and what
//! is settled outlives the sessions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::checkpoint::Lineage;
use super::reading::Reading;
use super::session::{self, Ended};
use crate::config::Config;
use crate::delivery::backoff::backoff;
use crate::lane::endpoint::Shared;
use crate::lsn::Lsn;
use crate::postgres::failure::Phase;
use crate::store::{SlotState, StartAt, StoreCallError};
use crate::telemetry::systemd;
use crate::telemetry::view::StreamState;

const BACKOFF_MAX: Duration = Duration::from_secs(15);
/// A session that streamed so long starts the backoff anew.
const STEADY: Duration = Duration::from_secs(30);
/// The same failure is told again after so long.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// Why the source ended.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// With what to do about it.
    #[error("{0}")]
    Definite(String),
    #[error("failed to keep the state")]
    Store(#[from] StoreCallError),
}

impl SourceError {
    pub fn is_definite(&self) -> bool {
        match self {
            SourceError::Definite(_) => true,
            SourceError::Store(StoreCallError::Store(error)) => error.needs_person(),
            SourceError::Store(StoreCallError::Stopped(_)) => false,
        }
    }
}

#[derive(Debug)]
pub struct Source {
    pub(super) config: Arc<Config>,
    pub(super) state: SlotState,
    pub(super) reading: Reading,
    pub(super) shared: Shared,
    pub(super) lineage: watch::Sender<Option<Lineage>>,
    /// What is durable, and so may be confirmed.
    pub(super) durable: watch::Receiver<Lsn>,
    /// Before the first session that streamed.
    pub(super) phase: Phase,
    pub(super) told: Told,
}

/// What a source is made with.
#[derive(Debug)]
pub struct Parts {
    pub config: Arc<Config>,
    pub state: SlotState,
    pub reading: Reading,
    pub shared: Shared,
    pub lineage: watch::Sender<Option<Lineage>>,
    pub durable: watch::Receiver<Lsn>,
}

/// The tokens that end a source: first it reads no more, then it closes the stream.
#[derive(Clone, Debug)]
pub struct SourceStop {
    pub reading: CancellationToken,
    pub stream: CancellationToken,
}

impl Source {
    pub fn new(parts: Parts) -> Self {
        Source {
            config: parts.config,
            state: parts.state,
            reading: parts.reading,
            shared: parts.shared,
            lineage: parts.lineage,
            durable: parts.durable,
            phase: Phase::Starting,
            told: Told::default(),
        }
    }

    pub async fn run(mut self, stop: SourceStop) -> Result<(), SourceError> {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let ended = session::run(&mut self, &stop).await?;
            let reason = match ended {
                Ended::Stopped => return Ok(()),
                Ended::Failed(reason) => reason,
            };
            self.shared.metrics.streaming.set(0);
            if began.elapsed() >= STEADY {
                failures = 0;
            }
            let wait =
                backoff(failures, BACKOFF_MAX, fastrand::u64(..)).max(Duration::from_millis(50));
            failures = failures.saturating_add(1);
            if self.told.is_news(&reason) {
                warn!(reason, "not streaming; trying again");
            }
            systemd::waiting(&reason);
            self.shared
                .view
                .set_stream(StreamState::Waiting { reason }, SystemTime::now());
            tokio::select! {
                () = stop.reading.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// The stream runs.
    pub(super) fn streaming(&mut self) {
        self.phase = Phase::Running;
        // What skip or adopt asked for holds for the first session.
        self.state.start = StartAt::Slot;
        self.shared.metrics.streaming.set(1);
        self.shared.metrics.connects.inc();
        self.shared
            .view
            .set_stream(StreamState::Streaming, SystemTime::now());
        systemd::ready();
        info!(slot = %self.config.source.slot, "streaming");
    }
}

/// What was said lately: the same thing is not a line every few seconds.
#[derive(Debug, Default)]
pub(super) struct Told {
    at: HashMap<String, Instant>,
}

impl Told {
    pub(super) fn is_news(&mut self, text: &str) -> bool {
        let now = Instant::now();
        self.at.retain(|_, at| now - *at < TOLD_AGAIN);
        if self.at.contains_key(text) {
            return false;
        }
        self.at.insert(text.to_owned(), now);
        true
    }
}
