//! Refreshing: gauges that are read off the state rather than counted, and the
//! store's counts of dead letters.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::lane::clock::since_commit;
use crate::lane::endpoint::Shared;
use crate::store::StoreCallError;
use crate::telemetry::metrics::{OfEndpoint, OfTableAndEndpoint};
use crate::telemetry::systemd;

/// How often the store is asked for its counts.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct Refresher {
    shared: Shared,
}

impl Refresher {
    pub fn new(shared: &Shared) -> Self {
        Refresher {
            shared: shared.clone(),
        }
    }

    /// Sets the gauges that need no I/O.
    pub fn gauges(&self) {
        let metrics = &self.shared.metrics;
        let shown = self.shared.view.shown();
        for endpoint in &shown.endpoints {
            let age = endpoint
                .oldest_commit_time_us
                .filter(|_| endpoint.waiting_events > 0)
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

    /// Keeps the counts of dead letters up to date until `stop`.
    pub async fn run(self, stop: CancellationToken) -> Result<(), StoreCallError> {
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = tick.tick() => {
                    self.dead_letters().await?;
                    // The runtime turns, and the store's thread has answered.
                    systemd::alive();
                }
            }
        }
    }

    async fn dead_letters(&self) -> Result<(), StoreCallError> {
        let slot = self.shared.slot.to_string();
        let tallies = self
            .shared
            .store
            .call(move |store| store.counts(&slot))
            .await?;
        // What is gone from the store is gone from the page.
        let gauges = &self.shared.metrics.dead_letters;
        gauges.clear();
        for tally in tallies {
            let of = OfTableAndEndpoint {
                table: tally.table.to_string(),
                endpoint: tally.endpoint,
            };
            let dead = i64::try_from(tally.dead.events).unwrap_or(i64::MAX);
            gauges.get_or_create(&of).set(dead);
        }
        Ok(())
    }
}
