//! The checkpoint task: makes progress durable, then lets the stream confirm it.
//!
//! ```text
//! tracker --what changed--> store (one commit, fsynced) --LSN--> stream (status update)
//! ```
//!
//! A few times a second while events are settled; once a second while only
//! keepalives come, which a busy cluster sends 200 times a second. What does not fit on
//! the disk is tried again until it does; nothing is confirmed meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::event::EndpointIndex;
use crate::failpoint;
use crate::lane::attempt::Left;
use crate::lane::clock::unix_us;
use crate::lane::endpoint::kept::settled;
use crate::lane::spool_room::SpoolRoom;
use crate::lsn::Lsn;
use crate::progress::tracker::{DiskPlace, Tracker, Unsaved};
use crate::store::{
    Checkpoint, Gap, GapReason, JournalEntry, LanePosition, Progress, RunProgress, StoreCallError,
    StoreError, StoreHandle, StoreStopped, of_key,
};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::view::View;

const EVERY: Duration = Duration::from_millis(200);
const IDLE_EVERY: Duration = Duration::from_secs(1);

/// Which cluster the LSNs are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage {
    pub system_identifier: u64,
    pub timeline: u32,
}

#[derive(Debug)]
pub struct Checkpointer {
    pub slot: Arc<str>,
    /// Names by endpoint.
    pub endpoints: Vec<Arc<str>>,
    pub tracker: Arc<Tracker>,
    pub store: StoreHandle,
    /// Told when its disk is full.
    pub spool: Arc<SpoolRoom>,
    pub metrics: Arc<Metrics>,
    pub view: Arc<View>,
    /// Known once Postgres was asked; nothing is settled before.
    pub lineage: watch::Receiver<Option<Lineage>>,
    /// What is durable, for the stream to confirm.
    pub durable: watch::Sender<Lsn>,
}

impl Checkpointer {
    /// Runs until `stop`, then saves once more. It must be told to stop after the
    /// endpoints have ended, so that nothing they settled is missed.
    pub async fn run(self, stop: CancellationToken) -> Result<(), StoreCallError> {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut saved = Instant::now();
        // What was taken and is not on disk.
        let mut taken = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = tick.tick() => {}
            }
            if taken.is_none() && self.tracker.only_idle() && saved.elapsed() < IDLE_EVERY {
                continue;
            }
            let refused = taken.is_some();
            taken = taken.or_else(|| self.take());
            let Some(progress) = &taken else {
                continue;
            };
            match self.save(progress).await {
                Ok(()) => {
                    taken = None;
                    saved = Instant::now();
                    self.written(refused);
                }
                // Rolled back, and it may pass: what is not on disk is not confirmed.
                Err(StoreCallError::Store(error)) if error.may_pass() => {
                    self.not_written(&error, refused);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(progress) = &taken {
            self.save(progress).await?;
        }
        if let Some(progress) = self.take() {
            self.save(&progress).await?;
        }
        Ok(())
    }

    fn written(&self, refused: bool) {
        self.spool.checkpoint_fits(true);
        if refused {
            info!("checkpoints are written again");
        }
    }

    /// It is tried again; told once.
    fn not_written(&self, error: &StoreError, refused: bool) {
        let fits = !matches!(error, StoreError::DiskFull { .. });
        self.spool.checkpoint_fits(fits);
        if !refused {
            warn!(%error, "the checkpoint cannot be written, so nothing more is confirmed; trying again");
        }
    }

    /// What has changed since the last time; `None`: nothing.
    fn take(&self) -> Option<Arc<Progress>> {
        let lineage = (*self.lineage.borrow())?;
        let unsaved = self.tracker.take_unsaved();
        if unsaved.is_empty() {
            return None;
        }
        let name = |of: EndpointIndex| self.endpoints.get(of.0).map(|name| name.to_string());
        let now_ms = unix_us().div_euclid(1000);
        Some(Arc::new(progress(
            unsaved, &self.slot, lineage, name, now_ms,
        )))
    }

    async fn save(&self, progress: &Arc<Progress>) -> Result<(), StoreCallError> {
        failpoint::before("checkpoint").map_err(|_| StoreStopped)?;
        let written = Arc::clone(progress);
        self.store.call(move |store| store.commit(&written)).await?;
        failpoint::after("checkpoint").map_err(|_| StoreStopped)?;
        self.metrics.checkpoints.inc();
        if let Some(Checkpoint { lsn, .. }) = progress.checkpoint {
            debug!(%lsn, "checkpoint");
            self.view.update(|shown| shown.checkpoint = lsn);
            // No receiver while there is no stream.
            let _ = self.durable.send_replace(lsn);
        }
        Ok(())
    }
}

/// What a checkpoint writes. An endpoint that has no name is none of this config's.
pub fn progress(
    unsaved: Unsaved,
    slot: &str,
    lineage: Lineage,
    name: impl Fn(EndpointIndex) -> Option<String>,
    now_ms: i64,
) -> Progress {
    let positions = unsaved.places.into_iter().filter_map(|place| {
        Some(LanePosition {
            endpoint: name(place.endpoint)?,
            lane: place.lane.to_string(),
            position: place.position,
            first_attempt_at_ms: place.first_attempt_unix_ms,
            attempts: place.attempts,
        })
    });
    let runs = unsaved
        .on_disk
        .into_iter()
        .filter_map(|place| Some(run_progress(name(place.endpoint)?, &place)));
    let gaps = unsaved.missed.into_iter().filter_map(|missed| {
        Some(Gap {
            endpoint: Some(name(missed.endpoint)?),
            reason: GapReason::SpoolFull,
            from: missed.from,
            to: missed.to,
            events: Some(missed.events),
            recorded_at_ms: now_ms,
        })
    });
    let journal = unsaved.transactions.iter().map(|transaction| JournalEntry {
        kind: transaction.kind,
        commit_lsn: transaction.commit_lsn,
        xid: transaction.xid,
        commit_time_us: transaction.commit_time_us,
    });
    let keys = unsaved.keys.iter();
    Progress {
        checkpoint: unsaved.checkpoint.map(|lsn| Checkpoint {
            system_identifier: lineage.system_identifier,
            timeline: lineage.timeline,
            lsn,
            written_at_ms: now_ms,
        }),
        positions: positions.collect(),
        runs: runs.collect(),
        gaps: gaps.collect(),
        keys: keys.map(|key| (of_key(&key.table), key.hash)).collect(),
        journal: journal.collect(),
        ..Progress::of(slot)
    }
}

fn run_progress(endpoint: String, place: &DiskPlace) -> RunProgress {
    let left = Left {
        entries: place.entries_left,
        events: place.events_left,
        bytes: place.bytes_left,
    };
    RunProgress {
        endpoint,
        lane: place.lane.to_string(),
        sequence: place.sequence,
        settled: settled(place.settled, left),
        first_attempt_at_ms: place.first_attempt_unix_ms,
        attempts: place.attempts,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::store::{SpoolFull, StateLock, Store};

    #[tokio::test]
    async fn nothing_may_be_confirmed_before_it_is_on_disk() {
        let directory = tempfile::tempdir().unwrap();
        let lock = StateLock::acquire(&directory.path().join("state.db")).unwrap();
        let (store, thread) = StoreHandle::new(Store::open(lock).unwrap());
        let known = Lineage {
            system_identifier: 1,
            timeline: 1,
        };
        let (_known, lineage) = watch::channel(Some(known));
        let (durable, to_confirm) = watch::channel(Lsn(50));
        let tracker = Arc::new(Tracker::new(Lsn(50)));
        tracker.idle(Lsn(100));
        let checkpointer = Checkpointer {
            slot: "walhook".into(),
            endpoints: Vec::new(),
            tracker,
            store,
            spool: Arc::new(SpoolRoom::new(1 << 30, SpoolFull::Stop, 0)),
            metrics: Arc::new(Metrics::new()),
            view: Arc::new(View::new(Vec::new(), SystemTime::UNIX_EPOCH)),
            lineage,
            durable,
        };
        let taken = checkpointer.take().unwrap();
        let saving = tokio::spawn(async move { checkpointer.save(&taken).await });
        // The disk takes its time: the store's thread has not begun.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*to_confirm.borrow(), Lsn(50));
        let thread = tokio::task::spawn_blocking(move || thread.run());
        saving.await.unwrap().unwrap();
        assert_eq!(*to_confirm.borrow(), Lsn(100));
        thread.await.unwrap();
    }
}
