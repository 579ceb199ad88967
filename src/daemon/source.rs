//! The source: keeps a session with Postgres, for ever.
//!
//! A session that ends for a transient reason is followed by another, after a
//! backoff; a definite one ends the daemon with exit code 69. What was read and what
//! is settled outlives the sessions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::checkpoint::Lineage;
use super::reading::Reading;
use super::session;
use super::session_error::Ended;
use super::stuck::{self, Stuck};
use super::watch::Watched;
use crate::config::Config;
use crate::delivery::backoff::backoff;
use crate::lane::endpoint::Shared;
use crate::lsn::Lsn;
use crate::postgres::failure::Phase;
use crate::progress::lineage::OtherHistory;
use crate::store::{SlotState, StoreCallError};
use crate::telemetry::systemd;
use crate::telemetry::view::StreamState;

const BACKOFF_MAX: Duration = Duration::from_secs(15);
/// A session that streamed so long starts the backoff anew, as does one that read a
/// transaction which was new.
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
    pub(super) stuck: Option<Stuck>,
    pub(super) told: Told,
    /// Warnings that the log has.
    pub(super) warned: HashSet<String>,
    pub(super) watched: Watched,
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
            stuck: None,
            told: Told::default(),
            warned: HashSet::new(),
            watched: Watched::default(),
        }
    }

    pub async fn run(mut self, stop: SourceStop) -> Result<(), SourceError> {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let known = self.last_known();
            let ended = session::run(&mut self, &stop).await?;
            self.shared.metrics.streaming.set(0);
            if began.elapsed() >= STEADY || self.last_known() > known {
                failures = 0;
            }
            let wait = match ended {
                Ended::Stopped => return Ok(()),
                Ended::Failed(reason) => {
                    self.tell_failure(reason);
                    failures += 1;
                    let wait = backoff(failures - 1, BACKOFF_MAX, fastrand::u64(..));
                    wait.max(Duration::from_millis(50))
                }
                Ended::Stuck => self.tell_stuck(),
            };
            tokio::select! {
                () = stop.reading.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// The last transaction that was begun to be read.
    fn last_known(&self) -> Option<Lsn> {
        let known = self.reading.history().known();
        known.last().map(|transaction| transaction.commit_lsn)
    }

    fn tell_failure(&mut self, reason: String) {
        if self.told.is_news(&reason) {
            warn!(reason, "not streaming; trying again");
        }
        systemd::waiting(&reason);
        self.shared
            .view
            .set_stream(StreamState::Waiting { reason }, SystemTime::now());
    }

    /// How long to wait before it is tried again. Its own count of failures: a session
    /// that takes long to come to the change is no success.
    fn tell_stuck(&mut self) -> Duration {
        let Some(stuck) = &self.stuck else {
            return stuck::RETRY_MIN;
        };
        let news = self.told.is_news(&stuck.place());
        stuck::tell(stuck, &self.shared, news);
        let wait = backoff(stuck.failures, stuck::RETRY_MAX, fastrand::u64(..));
        wait.max(stuck::RETRY_MIN)
    }

    /// For `walhook adopt`.
    pub(super) async fn keep_difference(&self, error: &OtherHistory) -> Result<(), SourceError> {
        let (slot, from) = (self.config.source.slot.clone(), error.from());
        let kept = self
            .shared
            .store
            .call(move |store| store.differs(&slot, Some(from)));
        Ok(kept.await?)
    }

    /// All of the WAL that was read: here, before the checkpoint, or in part, by a lane.
    pub(super) fn reached(&self) -> Lsn {
        let lanes = self.state.positions.iter().map(|lane| lane.position.lsn);
        lanes.fold(self.reading.history().read_to(), Lsn::max)
    }

    /// The stream runs. One that is stuck is so until it has passed the change.
    pub(super) fn streaming(&mut self, flush: Lsn) {
        self.phase = Phase::Running;
        self.shared.metrics.connects.inc();
        match &mut self.stuck {
            Some(stuck) => {
                stuck.tried_again(flush);
                return stuck::tell(stuck, &self.shared, false);
            }
            None => stuck::show_streaming(&self.shared),
        }
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
