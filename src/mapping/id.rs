//! Ids and hashes: the same for the same change on every machine, in every run and
//! build. What is hashed is laid out so that no two inputs are the same bytes.

use sha2::{Digest, Sha256};

use super::rule::{Rule, TableRules};
use crate::change::{Change, Relation, TableName};
use crate::event::EventId;
use crate::lsn::Lsn;

/// So much of a message's content tells it from others.
const CONTENT_HASHED_MAX: usize = 64 << 10;

/// What an event's id is made of beside its type.
#[derive(Clone, Copy, Debug)]
pub enum IdBasis {
    Change {
        commit_lsn: Lsn,
        commit_time_us: i64,
        ordinal: u64,
    },
    /// Not transactional. It has no commit time: its hash does that work.
    Message { lsn: Lsn, hash: u64 },
}

impl IdBasis {
    pub fn of(change: &Change<'_>) -> Self {
        IdBasis::Change {
            commit_lsn: change.transaction.commit_lsn,
            commit_time_us: change.transaction.commit_time_us,
            ordinal: change.ordinal,
        }
    }
}

/// The first 16 bytes of SHA-256 over
///
/// | bytes | what, big-endian |
/// |---|---|
/// | 8 | `walhook1`: the version of this layout |
/// | 8 | system identifier of the cluster |
/// | 8 | commit LSN |
/// | 8 | commit time, microseconds since 2000 |
/// | 8 | ordinal of the change in its transaction |
/// | the rest | event type |
///
/// The commit time is there because a cluster restored from a snapshot hands out
/// the same LSNs again. A message that is not transactional has `walhookm` in front, its
/// own LSN, in the time's place its [`message_hash`], and ordinal 0.
pub fn event_id(system_identifier: u64, basis: IdBasis, event_type: &str) -> EventId {
    let mut bytes = [0; 40];
    let (version, lsn, distinct, ordinal) = match basis {
        IdBasis::Change {
            commit_lsn,
            commit_time_us,
            ordinal,
        } => (
            b"walhook1",
            commit_lsn,
            commit_time_us.to_be_bytes(),
            ordinal,
        ),
        IdBasis::Message { lsn, hash } => (b"walhookm", lsn, hash.to_be_bytes(), 0),
    };
    let fields = [
        *version,
        system_identifier.to_be_bytes(),
        lsn.0.to_be_bytes(),
        distinct,
        ordinal.to_be_bytes(),
    ];
    for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
        place.copy_from_slice(&field);
    }
    let digest = Sha256::new()
        .chain_update(bytes)
        .chain_update(event_type)
        .finalize();
    EventId(first(&digest))
}

/// A hash over parts that each have their length in front.
#[derive(Clone, Debug, Default)]
pub struct Parts(Sha256);

impl Parts {
    pub fn add(&mut self, part: impl AsRef<[u8]>) {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    pub fn finish(self) -> u64 {
        u64::from_be_bytes(first(&self.0.finalize()))
    }
}

/// A hash of table and key; the values are the columns' texts, `None` for null.
pub fn key_hash<'a>(table: &TableName, values: impl IntoIterator<Item = Option<&'a [u8]>>) -> u64 {
    let mut parts = Parts::default();
    parts.add("walhook key 1");
    parts.add(&table.schema);
    parts.add(&table.table);
    for value in values {
        parts.add(if value.is_some() { "text" } else { "null" });
        parts.add(value.unwrap_or_default());
    }
    parts.finish()
}

/// By which a message is known again: its prefix, length and beginning.
pub fn message_hash(prefix: &str, content: &[u8]) -> u64 {
    let mut parts = Parts::default();
    parts.add("walhook message 1");
    parts.add(prefix);
    parts.add((content.len() as u64).to_be_bytes());
    parts.add(content.get(..CONTENT_HASHED_MAX).unwrap_or(content));
    parts.finish()
}

/// Changes when a change may make another number of events for an endpoint, or in
/// another order: operations, types, conditions, what a payload may fail on, and
/// the names of the endpoints.
pub fn rules_hash<'t>(
    tables: impl IntoIterator<Item = &'t TableRules>,
    endpoints: &[impl AsRef<str>],
) -> u64 {
    let mut parts = Parts::default();
    parts.add("walhook rules 1");
    for table in tables {
        parts.add("table");
        parts.add(&*table.name);
        for rule in &table.rules {
            add_rule(&mut parts, rule, endpoints);
        }
    }
    parts.finish()
}

/// Changes when `key` of an entry of `tables` or `messages` does.
pub fn keys_hash<'t>(tables: impl IntoIterator<Item = &'t TableRules>) -> u64 {
    let mut parts = Parts::default();
    parts.add("walhook keys 1");
    for table in tables {
        parts.add("table");
        parts.add(&*table.name);
        for column in table.key.iter().flatten() {
            parts.add("column");
            parts.add(column);
        }
    }
    parts.finish()
}

/// A hash of the columns that tell a table's rows apart; with another type a value has
/// another text, and with it another hash.
pub fn key_columns_hash(relation: &Relation, key: &[usize]) -> u64 {
    let mut parts = Parts::default();
    parts.add("walhook key columns 2");
    for column in key.iter().filter_map(|place| relation.columns.get(*place)) {
        parts.add(&column.name);
        parts.add(column.type_oid.to_be_bytes());
        parts.add(column.type_modifier.to_be_bytes());
    }
    parts.finish()
}

fn add_rule(parts: &mut Parts, rule: &Rule, endpoints: &[impl AsRef<str>]) {
    parts.add("rule");
    parts.add(rule.operation.as_str());
    parts.add(rule.event_type.to_string());
    parts.add(rule.when_error.as_str());
    if let Some(condition) = &rule.when {
        parts.add("when");
        parts.add(condition.source());
    }
    for source in rule.payload.iter().flat_map(|payload| payload.sources()) {
        parts.add("payload");
        parts.add(source);
    }
    for endpoint in &rule.endpoints {
        parts.add("to");
        parts.add(endpoints.get(endpoint.0).map_or("", AsRef::as_ref));
    }
}

fn first<const N: usize>(digest: &[u8]) -> [u8; N] {
    // SHA-256 has 32 bytes, and no caller wants more than 16.
    digest.first_chunk().copied().unwrap_or([0; N])
}
