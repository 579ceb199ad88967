//! What an endpoint says of order, concurrency, batches and retries.

use std::time::Duration;

use super::cursor::{At, Fields, Walk};
use super::keys;
use crate::lane::options::{Batch, LaneOptions, Order, Retry, RetryThen};

const KEY_LANES: u16 = 16;
const CONCURRENCY: u64 = 16;
const BATCH_EVENTS: u64 = 100;
const BATCH_WAIT: Duration = Duration::from_millis(5);
const BATCH_BYTES: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// As humantime counts them.
const TEN_YEARS: Duration = Duration::from_secs(315_576_000);
const RETRY_MAX: Duration = Duration::from_secs(30);

#[derive(Clone, Copy)]
enum OrderWord {
    Table,
    Key,
    Endpoint,
}

impl Walk<'_> {
    pub(super) fn lanes(&mut self, endpoint: &Fields<'_>) -> Option<LaneOptions> {
        let order = self.order(endpoint);
        let concurrency = self.number_or(endpoint, "concurrency", 1..=1000, CONCURRENCY);
        let batch = match endpoint.get("batch") {
            Some(at) => self.batch(&at).map(Some),
            None => Some(None),
        };
        let retry = match endpoint.get("retry") {
            Some(at) => self.retry(&at),
            None => Some(Retry {
                give_up_after: 3 * DAY,
                then: RetryThen::DeadLetter,
                backoff_max: RETRY_MAX,
                park_statuses: Vec::new(),
            }),
        };
        Some(LaneOptions {
            order: order?,
            concurrency: usize::try_from(concurrency?).ok()?,
            batch: batch?,
            retry: retry?,
        })
    }

    fn order(&mut self, endpoint: &Fields<'_>) -> Option<Order> {
        let word = match endpoint.get("order") {
            Some(at) => self.choice(
                &at,
                &[
                    ("table", OrderWord::Table),
                    ("key", OrderWord::Key),
                    ("endpoint", OrderWord::Endpoint),
                ],
            ),
            None => Some(OrderWord::Table),
        };
        let lanes = match endpoint.get("key_lanes") {
            Some(at) => {
                let lanes = self.number(&at, 1..=1024);
                if let Some(OrderWord::Table | OrderWord::Endpoint) = word {
                    self.problem(&at, "it means nothing without \"order: key\"")
                        .hint("write \"order: key\" beside it, or take it out");
                }
                lanes.and_then(|lanes| u16::try_from(lanes).ok())
            }
            None => Some(KEY_LANES),
        };
        match word? {
            OrderWord::Table => Some(Order::Table),
            OrderWord::Key => Some(Order::Key { lanes: lanes? }),
            OrderWord::Endpoint => Some(Order::Endpoint),
        }
    }

    fn batch(&mut self, at: &At<'_>) -> Option<Batch> {
        let fields = self.fields(at, &keys::BATCH)?;
        let events_max = self.number_or(&fields, "events", 1..=10_000, BATCH_EVENTS);
        let wait = self.duration_or(&fields, "wait", 0, 60_000, BATCH_WAIT);
        let bytes_max = match fields.get("bytes") {
            Some(at) => self.size(&at, 1 << 10..=64 << 20),
            None => Some(BATCH_BYTES),
        };
        Some(Batch {
            events_max: usize::try_from(events_max?).ok()?,
            wait: wait?,
            bytes_max: usize::try_from(bytes_max?).ok()?,
        })
    }

    fn retry(&mut self, at: &At<'_>) -> Option<Retry> {
        let fields = self.fields(at, &keys::RETRY)?;
        let give_up_after = match fields.get("for") {
            Some(at) => self.duration(&at, Duration::ZERO..=TEN_YEARS),
            None => Some(3 * DAY),
        };
        let then = match fields.get("then") {
            Some(at) => self.choice(
                &at,
                &[
                    ("dead_letter", RetryThen::DeadLetter),
                    ("block", RetryThen::Block),
                ],
            ),
            None => Some(RetryThen::DeadLetter),
        };
        let backoff_max = self.duration_or(&fields, "max", 1, 24 * 60 * 60 * 1000, RETRY_MAX);
        let park_statuses = match fields.get("park_statuses") {
            Some(at) => self.park_statuses(&at),
            None => Some(Vec::new()),
        };
        Some(Retry {
            give_up_after: give_up_after?,
            then: then?,
            backoff_max: backoff_max?,
            park_statuses: park_statuses?,
        })
    }

    fn park_statuses(&mut self, at: &At<'_>) -> Option<Vec<u16>> {
        let mut statuses = Some(Vec::new());
        for item in self.one_or_list(at) {
            match (self.park_status(&item), &mut statuses) {
                (Some(status), Some(statuses)) if statuses.contains(&status) => {
                    self.problem(&item, format!("{status} stands twice"))
                        .hint("leave one of the two");
                }
                (Some(status), Some(statuses)) => statuses.push(status),
                _ => statuses = None,
            }
        }
        statuses
    }

    fn park_status(&mut self, at: &At<'_>) -> Option<u16> {
        let status = self.number(at, 100..=599)?;
        let why = match status {
            200..=299 => "means that the event was delivered",
            410 => "disables the endpoint",
            429 => "means that the endpoint asks for a pause",
            _ => return u16::try_from(status).ok(),
        };
        let found = format!("{} {why}", self.shown(at));
        self.problem(at, found)
            .hint("write statuses from 100 to 599 other than 2xx, 410 and 429");
        None
    }

    fn number_or(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        range: std::ops::RangeInclusive<u64>,
        default: u64,
    ) -> Option<u64> {
        match fields.get(key) {
            Some(at) => self.number(&at, range),
            None => Some(default),
        }
    }

    fn duration_or(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        min_ms: u64,
        max_ms: u64,
        default: Duration,
    ) -> Option<Duration> {
        match fields.get(key) {
            Some(at) => self.duration(
                &at,
                Duration::from_millis(min_ms)..=Duration::from_millis(max_ms),
            ),
            None => Some(default),
        }
    }
}
