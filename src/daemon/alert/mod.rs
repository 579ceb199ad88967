//! Alerts: events about walhook itself, posted to the endpoints of `alerts.to`.
//!
//! ```text
//! view --(once a second)--> news --.
//!                                   +--> an outbox an endpoint --> HTTP
//! store --gaps to announce---------'                                |
//!   ^-------------------- announced, once all have it -------------'
//! ```
//!
//! It reads what others show and holds nobody up. Alerts are best effort: an hour, and a
//! hundred an endpoint. Gaps are on record until they were told. An alert about an
//! endpoint never goes to that endpoint, and one that is not taken makes no alert.

mod event;
mod gaps;
mod news;
mod outbox;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::delivery::client::{Client, ClientError, tls_config};
use crate::delivery::outcome::Answer;
use crate::lane::clock::unix_us;
use crate::lane::endpoint::Shared;
use crate::store::{Gap, StoreCallError};
use crate::telemetry::metrics::{OfAlert, OfEndpoint};
use event::{Alert, Rendered};
use gaps::{GapKey, Gaps};
use news::News;
use outbox::{Ended, Item, Outbox};

const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Alerts {
    shared: Shared,
    outboxes: Vec<Outbox>,
    news: News,
    gaps: Gaps,
}

/// Alerts could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum AlertsError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// The answer to an outbox's request.
type Posting = BoxFuture<'static, (usize, Answer)>;

impl Alerts {
    /// `None`: nobody wants any.
    pub fn new(config: &Config, shared: &Shared) -> Result<Option<Self>, AlertsError> {
        if config.alerts.is_empty() {
            return Ok(None);
        }
        let tls = tls_config()?;
        let mut outboxes = Vec::new();
        for endpoint in config
            .alerts
            .iter()
            .filter_map(|at| config.endpoints.get(at.0))
        {
            let client = Client::new(endpoint.target.clone(), tls.clone())?;
            let batched = endpoint.lanes.batch.is_some();
            outboxes.push(Outbox::new(endpoint.name.clone(), client, batched));
        }
        Ok(Some(Alerts {
            shared: shared.clone(),
            outboxes,
            news: News::default(),
            gaps: Gaps::default(),
        }))
    }

    /// Runs until `stop`, and waits for nothing then: a gap that was not told is told by
    /// the next daemon.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), StoreCallError> {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut running: FuturesUnordered<Posting> = FuturesUnordered::new();
        loop {
            let due = self.outboxes.iter().filter_map(Outbox::due).min();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some((outbox, answer)) = running.next(), if !running.is_empty() => {
                    self.answered(outbox, &answer).await?;
                }
                _ = tick.tick() => self.look().await?,
                () = sleep_until(due), if due.is_some() => {}
            }
            let now = Instant::now();
            for (place, outbox) in self.outboxes.iter_mut().enumerate() {
                if let Some(attempt) = outbox.attempt(now) {
                    running.push(Box::pin(async move { (place, attempt.await) }));
                }
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreCallError> {
        let slot = self.shared.slot.to_string();
        let store = &self.shared.store;
        let (tallies, gaps) = store
            .call(move |store| Ok((store.counts(&slot)?, store.gaps_to_announce(&slot)?)))
            .await?;
        let shown = self.shared.view.shown();
        let mut waiting: BTreeMap<String, u64> = BTreeMap::new();
        for tally in tallies {
            *waiting.entry(tally.endpoint).or_default() += tally.waiting.events;
        }
        for endpoint in &shown.endpoints {
            *waiting.entry(endpoint.name.to_string()).or_default() += endpoint.waiting_events;
        }
        let now_ms = unix_us().div_euclid(1000);
        for alert in self.news.of(&shown, &waiting, now_ms) {
            let rendered = alert.render(&self.shared.slot, now_ms);
            for target in self.told(alert.about()) {
                self.push(target, &rendered, None);
            }
        }
        self.tell_gaps(gaps, now_ms);
        Ok(())
    }

    fn tell_gaps(&mut self, gaps: Vec<Gap>, now_ms: i64) {
        let outboxes = &self.outboxes;
        let targets = |gap: &Gap| told(outboxes, gap.endpoint.as_deref());
        for (gap, targets) in self.gaps.news(gaps, targets, now_ms) {
            let key = GapKey::of(&gap);
            let recorded_at_ms = gap.recorded_at_ms;
            let rendered = Alert::Gap(gap).render(&self.shared.slot, recorded_at_ms);
            for target in targets {
                self.push(target, &rendered, Some(key.clone()));
            }
        }
    }

    fn told(&self, about: Option<&str>) -> BTreeSet<usize> {
        told(&self.outboxes, about)
    }

    fn push(&mut self, target: usize, alert: &Rendered, gap: Option<GapKey>) {
        let Some(outbox) = self.outboxes.get_mut(target) else {
            return;
        };
        if let Some(item) = outbox.push(alert, gap, Instant::now()) {
            self.dropped(target, &item);
        }
    }

    async fn answered(&mut self, target: usize, answer: &Answer) -> Result<(), StoreCallError> {
        let Some(outbox) = self.outboxes.get_mut(target) else {
            return Ok(());
        };
        match outbox.answered(answer, Instant::now()) {
            None => Ok(()),
            Some(Ended::GivenUp(item)) => {
                self.dropped(target, &item);
                Ok(())
            }
            Some(Ended::Delivered(item)) => {
                let of = OfAlert {
                    endpoint: outbox.name.to_string(),
                    kind: item.kind,
                };
                self.shared.metrics.alerts.get_or_create(&of).inc();
                let gap = item.gap.and_then(|key| self.gaps.delivered(&key, target));
                match gap {
                    Some(gap) => self.announced(gap).await,
                    None => Ok(()),
                }
            }
        }
    }

    async fn announced(&self, gap: Gap) -> Result<(), StoreCallError> {
        let slot = self.shared.slot.to_string();
        let at_ms = unix_us().div_euclid(1000);
        let store = &self.shared.store;
        let marked = store.call(move |store| store.announced(&slot, &gap, at_ms));
        match marked.await {
            // It is told again, under the same id.
            Err(StoreCallError::Store(error)) if error.may_pass() => Ok(()),
            marked => marked,
        }
    }

    fn dropped(&mut self, target: usize, item: &Item) {
        if let Some(key) = &item.gap {
            self.gaps.given_up(key, target);
        }
        if let Some(outbox) = self.outboxes.get(target) {
            let of = OfEndpoint {
                endpoint: outbox.name.to_string(),
            };
            self.shared.metrics.alerts_dropped.get_or_create(&of).inc();
        }
    }
}

/// The outboxes that may hear of something about this endpoint.
fn told(outboxes: &[Outbox], about: Option<&str>) -> BTreeSet<usize> {
    let places = outboxes.iter().enumerate();
    places
        .filter(|(_, outbox)| about != Some(&*outbox.name))
        .map(|(place, _)| place)
        .collect()
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
