//! Metrics: every counter and gauge of the daemon, as Prometheus reads them.
//!
//! Per table and endpoint, since the start of the process:
//!
//! ```text
//! changes read = filtered + matched
//! events made + waiting at start + retried from dead = delivered + newly dead + waiting
//! ```
//!
//! Repeats that a lane's position dropped are counted apart and are not "made".

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::change::TableName;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfTable {
    pub table: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfTableAndEndpoint {
    pub table: String,
    pub endpoint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfEndpoint {
    pub endpoint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfAttempt {
    pub endpoint: String,
    pub outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfAlert {
    pub endpoint: String,
    /// Its type.
    pub kind: &'static str,
}

/// Of a kind of problem, or a status.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfKind {
    pub kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfStatus {
    pub status: &'static str,
}

/// A gauge that is not always there.
pub type Absent = [(String, String); 0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfRule {
    pub rule: String,
    pub kind: &'static str,
}

/// Upper bounds of the buckets from commit to 2xx, in seconds.
const DELIVERY_BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0, 3600.0, 86400.0,
];

type Seconds = Gauge<f64, AtomicU64>;
type DeliveryHistogram = Family<OfEndpoint, Histogram, fn() -> Histogram>;

/// All metrics of one daemon. No globals: two daemons can run in one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub changes_read: Family<OfTable, Counter>,
    pub changes_filtered: Family<OfTable, Counter>,
    pub changes_matched: Family<OfTable, Counter>,
    pub changes_repeated: Counter,
    pub value_misfits: Family<OfTable, Counter>,
    pub condition_failures: Family<OfRule, Counter>,
    pub events_made: Family<OfTableAndEndpoint, Counter>,
    pub events_repeated: Family<OfTableAndEndpoint, Counter>,
    pub events_retried: Family<OfTableAndEndpoint, Counter>,
    pub events_missed: Family<OfTableAndEndpoint, Counter>,
    pub events_delivered: Family<OfTableAndEndpoint, Counter>,
    pub events_dead: Family<OfTableAndEndpoint, Counter>,
    pub events_waiting: Family<OfTableAndEndpoint, Gauge>,
    pub events_waiting_at_start: Family<OfTableAndEndpoint, Gauge>,
    pub spool_events: Family<OfTableAndEndpoint, Gauge>,
    pub spool_bytes: Gauge<i64, AtomicI64>,
    pub spool_bytes_max: Gauge<i64, AtomicI64>,
    pub dead_letters: Family<OfTableAndEndpoint, Gauge>,
    pub attempts: Family<OfAttempt, Counter>,
    pub delivery_seconds: DeliveryHistogram,
    pub oldest_waiting_seconds: Family<OfEndpoint, Seconds>,
    pub endpoint_up: Family<OfEndpoint, Gauge>,
    pub streaming: Gauge,
    pub stuck: Gauge,
    pub connects: Counter,
    pub slot_lag_bytes: Gauge<i64, AtomicI64>,
    pub slot_retained_bytes: Gauge<i64, AtomicI64>,
    pub slot_safe_wal_bytes: Family<Absent, Gauge<i64, AtomicI64>>,
    pub slot_wal_status: Family<OfStatus, Gauge>,
    pub oldest_transaction_seconds: Gauge<i64, AtomicI64>,
    pub problems: Family<OfKind, Gauge>,
    pub alerts: Family<OfAlert, Counter>,
    pub alerts_dropped: Family<OfEndpoint, Counter>,
    pub memory_bytes: Gauge<i64, AtomicI64>,
    pub checkpoints: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("walhook");
        // `register` copies a handle; family, name and help stand together here alone.
        macro_rules! registered {
            ($metric:expr, $name:literal, $help:literal) => {{
                let metric = $metric;
                registry.register($name, $help, Clone::clone(&metric));
                metric
            }};
        }
        let delivery_seconds: DeliveryHistogram =
            Family::new_with_constructor(|| Histogram::new(DELIVERY_BUCKETS));
        registry.register_with_unit(
            "delivery",
            "Time from commit to 2xx",
            Unit::Seconds,
            delivery_seconds.clone(),
        );
        Metrics {
            changes_read: registered!(
                Family::default(),
                "changes_read",
                "Changes read from the WAL of tables that a rule speaks of"
            ),
            changes_filtered: registered!(
                Family::default(),
                "changes_filtered",
                "Changes read that no rule wanted"
            ),
            changes_matched: registered!(
                Family::default(),
                "changes_matched",
                "Changes read that made an event"
            ),
            changes_repeated: registered!(
                Counter::default(),
                "changes_repeated",
                "Changes that Postgres sent again and that had been read before"
            ),
            value_misfits: registered!(
                Family::default(),
                "value_misfits",
                "Values that did not have the form of their type and went as text"
            ),
            condition_failures: registered!(
                Family::default(),
                "condition_failures",
                "Conditions and payloads that failed on a row"
            ),
            events_made: registered!(
                Family::default(),
                "events_made",
                "Events made and put into a lane"
            ),
            events_repeated: registered!(
                Family::default(),
                "events_repeated",
                "Events dropped because a lane's position had passed them"
            ),
            events_retried: registered!(
                Family::default(),
                "events_retried",
                "Dead letters that a person sent again"
            ),
            events_missed: registered!(
                Family::default(),
                "events_missed",
                "Events not made because the endpoint is disabled for filling the spool"
            ),
            events_delivered: registered!(
                Family::default(),
                "events_delivered",
                "Events that were answered with 2xx"
            ),
            events_dead: registered!(
                Family::default(),
                "events_dead",
                "Events that became dead letters"
            ),
            events_waiting: registered!(
                Family::default(),
                "events_waiting",
                "Events that wait for their delivery"
            ),
            events_waiting_at_start: registered!(
                Family::default(),
                "events_waiting_at_start",
                "Events that waited when the daemon started"
            ),
            spool_events: registered!(
                Family::default(),
                "spool_events",
                "Events that wait on disk"
            ),
            spool_bytes: registered!(
                Gauge::default(),
                "spool_bytes",
                "Bytes that events on disk and dead letters take, of walhook_spool_bytes_max"
            ),
            spool_bytes_max: registered!(
                Gauge::default(),
                "spool_bytes_max",
                "spool.max_bytes, or less where the disk has less"
            ),
            dead_letters: registered!(
                Family::default(),
                "dead_letters",
                "Dead letters in the state file"
            ),
            attempts: registered!(
                Family::default(),
                "attempts",
                "Requests by what came of them"
            ),
            delivery_seconds,
            oldest_waiting_seconds: registered!(
                Family::default(),
                "oldest_waiting_seconds",
                "Age of the oldest waiting event, from its commit"
            ),
            endpoint_up: registered!(
                Family::default(),
                "endpoint_up",
                "1 while the endpoint answers, 0 while it is unreachable, paused or disabled"
            ),
            streaming: registered!(
                Gauge::default(),
                "streaming",
                "1 while changes are streamed"
            ),
            stuck: registered!(
                Gauge::default(),
                "stuck",
                "1 while the server fails to decode a change, each time that it is tried"
            ),
            connects: registered!(
                Counter::default(),
                "connects",
                "Connections made to Postgres' replication"
            ),
            slot_lag_bytes: registered!(
                Gauge::default(),
                "slot_lag_bytes",
                "WAL between the confirmed position and the server's end of WAL"
            ),
            slot_retained_bytes: registered!(
                Gauge::default(),
                "slot_retained_bytes",
                "WAL that the server keeps for the slot"
            ),
            slot_safe_wal_bytes: registered!(
                Family::default(),
                "slot_safe_wal_bytes",
                "WAL that can be written until the server removes some that the slot needs; absent while it keeps all"
            ),
            slot_wal_status: registered!(
                Family::default(),
                "slot_wal_status",
                "1 for the slot's wal_status, 0 for the others"
            ),
            oldest_transaction_seconds: registered!(
                Gauge::default(),
                "oldest_transaction_seconds",
                "Age of the oldest open transaction that has written, in any database of the server; it keeps WAL"
            ),
            problems: registered!(
                Family::default(),
                "problems",
                "What is wrong with the database for this config, by kind; /readyz and walhook status have the words"
            ),
            alerts: registered!(
                Family::default(),
                "alerts",
                "Alerts that were answered with 2xx"
            ),
            alerts_dropped: registered!(
                Family::default(),
                "alerts_dropped",
                "Alerts given up because the endpoint did not take them; gaps are told again"
            ),
            memory_bytes: registered!(
                Gauge::default(),
                "memory_bytes",
                "Memory that events take, of memory.max_bytes"
            ),
            checkpoints: registered!(
                Counter::default(),
                "checkpoints",
                "Checkpoints written to the state file"
            ),
            registry,
        }
    }

    /// The text exposition format.
    /// <https://prometheus.io/docs/specs/om/open_metrics_spec/>
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl OfTable {
    pub fn new(table: &TableName) -> Self {
        OfTable {
            table: table.to_string(),
        }
    }
}

/// The counters of one table's changes, looked up once.
#[derive(Clone, Debug)]
pub struct ChangeCounters {
    pub read: Counter,
    pub filtered: Counter,
    pub matched: Counter,
    pub misfits: Counter,
}

impl ChangeCounters {
    pub fn new(metrics: &Metrics, table: &TableName) -> Self {
        let of = OfTable::new(table);
        ChangeCounters {
            read: metrics.changes_read.get_or_create_owned(&of),
            filtered: metrics.changes_filtered.get_or_create_owned(&of),
            matched: metrics.changes_matched.get_or_create_owned(&of),
            misfits: metrics.value_misfits.get_or_create_owned(&of),
        }
    }
}

/// The counters of one table at one endpoint, looked up once.
#[derive(Clone, Debug)]
pub struct EventCounters {
    pub made: Counter,
    pub repeated: Counter,
    pub retried: Counter,
    pub missed: Counter,
    pub delivered: Counter,
    pub dead: Counter,
    pub waiting: Gauge,
}

impl EventCounters {
    pub fn new(metrics: &Metrics, table: &TableName, endpoint: &str) -> Self {
        let of = OfTableAndEndpoint {
            table: table.to_string(),
            endpoint: endpoint.to_owned(),
        };
        EventCounters {
            made: metrics.events_made.get_or_create(&of).clone(),
            repeated: metrics.events_repeated.get_or_create(&of).clone(),
            retried: metrics.events_retried.get_or_create(&of).clone(),
            missed: metrics.events_missed.get_or_create(&of).clone(),
            delivered: metrics.events_delivered.get_or_create(&of).clone(),
            dead: metrics.events_dead.get_or_create(&of).clone(),
            waiting: metrics.events_waiting.get_or_create(&of).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_at_an_endpoint_has_all_its_counters() {
        let metrics = Metrics::new();
        let table = TableName::new("public", "or\"ders");
        EventCounters::new(&metrics, &table, "billing").made.inc();
        let text = metrics.render().unwrap();
        assert!(text.contains("walhook_events_made_total{table=\"public.\\\"or\\\"\\\"ders\\\"\",endpoint=\"billing\"} 1"), "{text}");
        assert!(text.contains("walhook_events_delivered_total{"), "{text}");
    }
}
