//! The metrics page, parsed. Names of metrics stand here and nowhere else in the tests.

use std::collections::BTreeMap;

pub const CHANGES_READ: &str = "walhook_changes_read_total";
pub const CHANGES_FILTERED: &str = "walhook_changes_filtered_total";
pub const CHANGES_MATCHED: &str = "walhook_changes_matched_total";
pub const CHANGES_REPEATED: &str = "walhook_changes_repeated_total";
pub const EVENTS_MADE: &str = "walhook_events_made_total";
pub const EVENTS_WAITING_AT_START: &str = "walhook_events_waiting_at_start";
pub const EVENTS_RETRIED: &str = "walhook_events_retried_total";
pub const EVENTS_MISSED: &str = "walhook_events_missed_total";
pub const EVENTS_DELIVERED: &str = "walhook_events_delivered_total";
pub const EVENTS_DEAD: &str = "walhook_events_dead_total";
pub const EVENTS_WAITING: &str = "walhook_events_waiting";
pub const CHECKPOINTS: &str = "walhook_checkpoints_total";
pub const OLDEST_WAITING: &str = "walhook_oldest_waiting_seconds";
pub const SPOOL_EVENTS: &str = "walhook_spool_events";
pub const SPOOL_BYTES: &str = "walhook_spool_bytes";
pub const SPOOL_BYTES_MAX: &str = "walhook_spool_bytes_max";
pub const DEAD_LETTERS: &str = "walhook_dead_letters";
pub const PROBLEMS: &str = "walhook_problems";
pub const OLDEST_TRANSACTION: &str = "walhook_oldest_transaction_seconds";
pub const SAFE_WAL: &str = "walhook_slot_safe_wal_bytes";
pub const WAL_STATUS: &str = "walhook_slot_wal_status";

/// One line of the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

#[derive(Clone, Debug)]
pub struct Metrics {
    pub samples: Vec<Sample>,
}

impl Metrics {
    /// Panics on a line that is not of the text format.
    pub fn parse(page: &str) -> Metrics {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter(|line| !line.is_empty()).map(sample).collect();
        Metrics { samples }
    }

    /// The sum over all samples with this name and these labels. 0 without any.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted = |sample: &&Sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|v| v == value))
        };
        self.samples.iter().filter(wanted).map(|s| s.value).sum()
    }

    pub fn has(&self, name: &str) -> bool {
        self.samples.iter().any(|sample| sample.name == name)
    }
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| bad(line));
    let (name, labels) = match series.split_once('{') {
        None => (series, ""),
        Some((name, labels)) => (name, labels.strip_suffix('}').unwrap_or_else(|| bad(line))),
    };
    let mut sample = Sample {
        name: name.to_owned(),
        labels: BTreeMap::new(),
        value: value.parse().unwrap_or_else(|_| bad(line)),
    };
    let mut rest = labels;
    while let Some((key, quoted)) = rest.split_once("=\"") {
        // A quote inside a value is escaped by a backslash.
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        let end = loop {
            match chars.next().unwrap_or_else(|| bad(line)) {
                (_, '\\') => match chars.next().unwrap_or_else(|| bad(line)).1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (end, '"') => break end,
                (_, other) => value.push(other),
            }
        };
        sample.labels.insert(key.to_owned(), value);
        rest = quoted[end + 1..].trim_start_matches(',');
    }
    sample
}

fn bad<T>(line: &str) -> T {
    panic!("not a line of the metrics format: {line}")
}
