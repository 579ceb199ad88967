//! What is to be posted to one endpoint of `alerts.to`, one request after another.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tracing::{info, warn};

use super::event::Rendered;
use super::gaps::GapKey;
use crate::delivery::backoff::backoff;
use crate::delivery::client::Client;
use crate::delivery::outcome::{Answer, Outcome, outcome};
use crate::delivery::request::Webhook;
use crate::lane::clock::unix_us;

/// Alerts that may wait; the oldest gives way.
const WAITING_MAX: usize = 100;
/// So long an alert is tried.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3600);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Outbox {
    pub name: Arc<str>,
    batched: bool,
    client: Client,
    waiting: VecDeque<Item>,
    /// The first of them is under way.
    in_flight: bool,
    failures: u32,
    not_before: Option<Instant>,
}

/// An alert that waits.
#[derive(Debug)]
pub struct Item {
    pub kind: &'static str,
    pub gap: Option<GapKey>,
    webhook: Webhook,
    since: Instant,
    attempts: u32,
}

/// What became of an item.
#[derive(Debug)]
pub enum Ended {
    Delivered(Item),
    /// It is not tried again.
    GivenUp(Item),
}

impl Outbox {
    pub fn new(name: Arc<str>, client: Client, batched: bool) -> Self {
        Outbox {
            name,
            batched,
            client,
            waiting: VecDeque::new(),
            in_flight: false,
            failures: 0,
            not_before: None,
        }
    }

    /// Returns one that had to give way.
    pub fn push(&mut self, alert: &Rendered, gap: Option<GapKey>, now: Instant) -> Option<Item> {
        let webhook = if self.batched {
            Webhook::batch(std::iter::once((alert.id, &alert.body)))
        } else {
            Webhook::single(alert.id, alert.body.clone())
        };
        self.waiting.push_back(Item {
            kind: alert.kind,
            gap,
            webhook,
            since: now,
            attempts: 0,
        });
        if self.waiting.len() <= WAITING_MAX {
            return None;
        }
        self.waiting.remove(usize::from(self.in_flight))
    }

    /// When the next attempt is due.
    pub fn due(&self) -> Option<Instant> {
        let front = self.waiting.front().filter(|_| !self.in_flight)?;
        Some(self.not_before.unwrap_or(front.since))
    }

    /// The next attempt, if it is due.
    pub fn attempt(&mut self, now: Instant) -> Option<BoxFuture<'static, Answer>> {
        if self.due()? > now {
            return None;
        }
        let front = self.waiting.front_mut()?;
        self.in_flight = true;
        front.attempts = front.attempts.saturating_add(1);
        let (client, webhook, attempt) =
            (self.client.clone(), front.webhook.clone(), front.attempts);
        Some(Box::pin(async move {
            let timestamp = unix_us().div_euclid(1_000_000);
            client.post(&webhook, timestamp, attempt).await
        }))
    }

    /// What follows from an answer. Nothing of it makes an alert: an endpoint that takes
    /// none would be told of for ever.
    pub fn answered(&mut self, answer: &Answer, now: Instant) -> Option<Ended> {
        self.in_flight = false;
        let outcome = outcome(answer, &[], SystemTime::now());
        if outcome == Outcome::Delivered {
            if self.failures > 0 {
                info!(endpoint = %self.name, "endpoint takes alerts again");
            }
            self.failures = 0;
            self.not_before = None;
            return self.waiting.pop_front().map(Ended::Delivered);
        }
        if self.failures == 0 {
            warn!(endpoint = %self.name, %outcome, "endpoint does not take alerts; trying again");
        }
        let wait = match outcome {
            Outcome::Paused { wait, .. } => wait,
            _ => backoff(self.failures, BACKOFF_MAX, fastrand::u64(..)),
        };
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + wait);
        let front = self.waiting.front()?;
        if now - front.since < GIVE_UP_AFTER {
            return None;
        }
        warn!(endpoint = %self.name, kind = front.kind, "an alert is given up");
        self.waiting.pop_front().map(Ended::GivenUp)
    }
}
