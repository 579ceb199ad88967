//! `docs/metrics.md`, made from what `/metrics` says of itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::metrics::{
    ChangeCounters, EventCounters, Metrics, OfAlert, OfAttempt, OfEndpoint, OfKind, OfRule,
    OfStatus, OfTableAndEndpoint,
};
use crate::change::TableName;

const HEAD: &str = "# Metrics reference

Made from the code. `/metrics` of the admin port gives these as OpenMetrics text; counters begin at 0 with the daemon.

They add up, per table and endpoint: `changes_read = changes_filtered + changes_matched`, and
`events_made + events_waiting_at_start + events_retried = events_delivered + events_dead + events_waiting`.

## Worth an alarm

| metric | when | what it means | what to do |
|---|---|---|---|
| `walhook_streaming` | 0 for a minute | no change is read, the server keeps WAL | `/readyz` and the log say why |
| `walhook_slot_retained_bytes` | grows towards the disk or `max_slot_wal_keep_size` | what walhook has not settled keeps WAL | `walhook status`: which endpoint fails, or what it waits for |
| `walhook_slot_safe_wal_bytes` | below a quarter of `max_slot_wal_keep_size` | soon the server removes WAL that the slot needs, and the slot is lost | `walhook status` says what holds it; raise `max_slot_wal_keep_size` |
| `walhook_oldest_transaction_seconds` | above an hour | an open transaction keeps WAL, however little lag there is | `/readyz` names its pid once it keeps much; end it |
| `walhook_problems` | above 0 | somebody changed a table, a publication or the slot | `/readyz` or `walhook status`, which print the SQL that mends it |
| `walhook_oldest_waiting_seconds` | above what a subscriber may wait | the endpoint is slow or failing | `walhook status`; mend the receiver, nothing is lost meanwhile |
| `walhook_endpoint_up` | 0 for minutes | unreachable, paused or disabled | after a 410: `walhook endpoint enable NAME` |
| `walhook_dead_letters` | above 0 | an event was given up | `walhook dead list`, mend, `walhook dead retry` |
| `walhook_condition_failures_total` | grows | a rule's condition or payload fails on rows, or (`oversize`) a body is over `max_body` | the log names the rule and the kind |
| `walhook_spool_bytes` | above half of `walhook_spool_bytes_max` | what waits for an endpoint fills the disk's share; when it is full, `spool.full` decides | `walhook status`: which endpoint; mend it, or `walhook dead drop` |
| `walhook_events_missed_total` | grows | the endpoint filled the spool and is disabled (`spool.full: disable`) | mend it, `walhook endpoint enable NAME`; `walhook status` shows the gap |
| `walhook_memory_bytes` | stays at `memory.max_bytes` | reading is held back by what waits | as for the oldest waiting event |

## All
";

/// The page, from metrics of which each family has a member.
fn page() -> String {
    let metrics = Metrics::new();
    let table = TableName::new("s", "t");
    let endpoint = || "e".to_owned();
    ChangeCounters::new(&metrics, &table);
    EventCounters::new(&metrics, &table, "e");
    let both = OfTableAndEndpoint {
        table: "s.t".to_owned(),
        endpoint: endpoint(),
    };
    let _ = metrics.events_waiting_at_start.get_or_create(&both);
    let _ = metrics.spool_events.get_or_create(&both);
    let _ = metrics.dead_letters.get_or_create(&both);
    let _ = metrics.delivery_seconds.get_or_create(&OfEndpoint {
        endpoint: endpoint(),
    });
    let _ = metrics.oldest_waiting_seconds.get_or_create(&OfEndpoint {
        endpoint: endpoint(),
    });
    let _ = metrics.endpoint_up.get_or_create(&OfEndpoint {
        endpoint: endpoint(),
    });
    let _ = metrics.attempts.get_or_create(&OfAttempt {
        endpoint: endpoint(),
        outcome: "delivered",
    });
    let _ = metrics.condition_failures.get_or_create(&OfRule {
        rule: "r".to_owned(),
        kind: "k",
    });
    let _ = metrics.slot_safe_wal_bytes.get_or_create(&[]);
    let _ = metrics
        .slot_wal_status
        .get_or_create(&OfStatus { status: "reserved" });
    let _ = metrics.problems.get_or_create(&OfKind { kind: "k" });
    let _ = metrics.alerts.get_or_create(&OfAlert {
        endpoint: endpoint(),
        kind: "k",
    });
    let _ = metrics.alerts_dropped.get_or_create(&OfEndpoint {
        endpoint: endpoint(),
    });
    let text = metrics.render().unwrap();
    let mut page = HEAD.to_owned();
    page.push_str("\n| metric | type | labels | |\n|---|---|---|---|\n");
    let mut kinds = BTreeMap::new();
    let mut helps: Vec<(String, String)> = Vec::new();
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            kinds.insert(name.to_owned(), kind.to_owned());
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            helps.push((name.to_owned(), help.to_owned()));
        } else if let Some((name, rest)) = line.split_once('{') {
            let (inside, _) = rest.rsplit_once('}').unwrap();
            let names = inside.split(',').filter_map(|label| label.split_once('='));
            let names: Vec<&str> = names
                .map(|(name, _)| name)
                .filter(|name| *name != "le")
                .collect();
            labels.insert(name.to_owned(), names.join(", "));
        }
    }
    for (name, help) in &helps {
        let kind = &kinds[name];
        let suffix = if kind == "counter" { "_total" } else { "" };
        let own = [format!("{name}{suffix}"), format!("{name}_count")];
        let labels = own.iter().find_map(|sample| labels.get(sample));
        let _ = writeln!(
            page,
            "| `{name}{suffix}` | {kind} | {} | {} |",
            labels.map_or("", String::as_str),
            help.trim_end_matches('.')
        );
    }
    page
}

/// With `WALHOOK_UPDATE_DOCS=1` the file is written instead.
#[test]
fn the_page_is_what_the_code_says_and_leaves_nothing_out() {
    let page = page();
    let source = include_str!("metrics.rs");
    for (at, _) in source.match_indices("registered!(\n") {
        let name = source[at..].split('"').nth(1).unwrap();
        assert!(
            page.contains(&format!("`walhook_{name}")),
            "{name} has no member here"
        );
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    if std::env::var_os("WALHOOK_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/metrics.md is out of date: WALHOOK_UPDATE_DOCS=1 cargo test --lib metrics_page"
    );
}
