//! Refreshing: gauges that are read off the state rather than counted, and the
//! store's counts of what waits on disk and is dead.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::spool_watch::SpoolWatch;
use crate::config::Config;
use crate::event::EndpointIndex;
use crate::lane::clock::since_commit;
use crate::lane::endpoint::Shared;
use crate::store::{StoreCallError, Tally};
use crate::telemetry::metrics::{OfEndpoint, OfTableAndEndpoint};
use crate::telemetry::systemd;
use crate::telemetry::view::SpoolShown;

/// How often the store is asked for its counts.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct Refresher {
    shared: Shared,
    /// By endpoint.
    endpoints: Arc<[Arc<str>]>,
}

impl Refresher {
    pub fn new(shared: &Shared, config: &Config) -> Self {
        let names = config.endpoints.iter();
        Refresher {
            shared: shared.clone(),
            endpoints: names.map(|endpoint| Arc::clone(&endpoint.name)).collect(),
        }
    }

    /// What waits on disk at the start, and how much more fits there.
    pub fn restored(&self, tallies: &[Tally], free_bytes: u64) {
        let metrics = &self.shared.metrics;
        for tally in tallies {
            let of = of_tally(tally);
            let waiting = i64::try_from(tally.waiting.events).unwrap_or(i64::MAX);
            metrics
                .events_waiting_at_start
                .get_or_create(&of)
                .set(waiting);
            metrics.events_waiting.get_or_create(&of).inc_by(waiting);
        }
        self.spool(tallies, free_bytes, &mut SpoolWatch::default());
    }

    /// Sets the gauges that need no I/O.
    pub fn gauges(&self) {
        let metrics = &self.shared.metrics;
        let shown = self.shared.view.shown();
        for endpoint in &shown.endpoints {
            let age = endpoint
                .oldest_commit_time_us
                .map_or(0.0, |oldest| since_commit(oldest).as_secs_f64());
            metrics
                .oldest_waiting_seconds
                .get_or_create(&OfEndpoint {
                    endpoint: endpoint.name.to_string(),
                })
                .set(age);
        }
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        metrics
            .slot_lag_bytes
            .set(gauge(shown.wal_end.bytes_since(shown.confirmed)));
        if let Some(retained) = shown.retained_bytes {
            metrics.slot_retained_bytes.set(gauge(retained));
        }
        metrics.memory_bytes.set(gauge(self.shared.budget.used()));
    }

    /// Keeps the store's counts up to date until `stop`.
    pub async fn run(self, stop: CancellationToken) -> Result<(), StoreCallError> {
        let mut tick = tokio::time::interval(EVERY);
        let mut watch = SpoolWatch::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = tick.tick() => {
                    self.stored(&mut watch).await?;
                    // The runtime turns, and the store's thread has answered.
                    systemd::alive();
                }
            }
        }
    }

    async fn stored(&self, watch: &mut SpoolWatch) -> Result<(), StoreCallError> {
        let slot = self.shared.slot.to_string();
        let (tallies, free) = self
            .shared
            .store
            .call(move |store| Ok((store.counts(&slot)?, store.free_bytes()?)))
            .await?;
        // What is gone from the store is gone from the page.
        let metrics = &self.shared.metrics;
        metrics.dead_letters.clear();
        metrics.spool_events.clear();
        for tally in &tallies {
            let of = of_tally(tally);
            let gauge = |events: u64| i64::try_from(events).unwrap_or(i64::MAX);
            metrics
                .dead_letters
                .get_or_create(&of)
                .set(gauge(tally.dead.events));
            metrics
                .spool_events
                .get_or_create(&of)
                .set(gauge(tally.waiting.events));
        }
        self.spool(&tallies, free, watch);
        Ok(())
    }

    /// How full the spool is, for the endpoints, the metrics and the pages.
    fn spool(&self, tallies: &[Tally], free: u64, watch: &mut SpoolWatch) {
        let bytes = |tally: &Tally| tally.waiting.bytes + tally.dead.bytes + tally.retrying.bytes;
        let used = tallies.iter().map(bytes).sum();
        let waiting = self.endpoints.iter().enumerate().map(|(index, name)| {
            let of_it = tallies.iter().filter(|tally| tally.endpoint == **name);
            let waiting = of_it.map(|tally| tally.waiting.bytes).sum();
            (EndpointIndex(index), waiting)
        });
        let room = &self.shared.spool;
        room.is(used, waiting, free);
        let now = room.now();
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.shared.metrics.spool_bytes.set(gauge(now.used));
        self.shared.metrics.spool_bytes_max.set(gauge(now.limit));
        let most = now.most.and_then(|most| self.endpoints.get(most.0));
        let at = Instant::now();
        let warning = watch.look(&now, most.map(AsRef::as_ref), at);
        let full_in = watch.full_in(&now, at);
        self.shared.view.update(|shown| {
            shown.spool = SpoolShown {
                used: now.used,
                limit: now.limit,
                most: most.cloned(),
                full_in,
                stops: now.stops,
                warning,
            };
        });
    }
}

fn of_tally(tally: &Tally) -> OfTableAndEndpoint {
    OfTableAndEndpoint {
        table: tally.table.to_string(),
        endpoint: tally.endpoint.clone(),
    }
}
