//! The mapper: a change in, its events out.
//!
//! ```text
//! Relation --bind--> bound table (encoders, types, rules an operation)
//! change ----map---> conditions --> bodies, each rendered once --> events, one an endpoint
//! ```
//!
//! Rules know nothing of one another: each that matches makes its events, in the
//! order of the file. The same change gives the same events, whatever was mapped
//! before it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::bound::BoundTable;
use super::failure::FailureKind;
use super::form::BodyForm;
use super::id::IdBasis;
use super::making::{Around, Making, Scratch};
use super::message;
use super::report::{Bound, Mapped, Matched, RuleFailure, Seen};
use super::row::Cells;
use super::rule::{TableRules, select};
use crate::change::{Change, NO_TIME, Operation, Relation, TableName, Transaction};
use crate::event::Event;
use crate::pgoutput::value::Types;
use crate::pgoutput::{LogicalMessage, MessagePlace};

/// Where the changes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceIdentity {
    pub system_identifier: u64,
    pub database: Arc<str>,
}

/// What mapping knows of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointMapping {
    pub name: Arc<str>,
    pub key_use: KeyUse,
    pub form: BodyForm,
}

/// Whether an endpoint orders its events by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    Needed,
    NotNeeded,
}

#[derive(Debug)]
pub struct Mapper {
    rules: Arc<[TableRules]>,
    endpoints: Arc<[EndpointMapping]>,
    source: SourceIdentity,
    /// By the relation's OID, with the place of its entry in `rules`.
    tables: HashMap<u32, (usize, BoundTable)>,
    messages: Vec<Messages>,
    /// Names of origins whose changes make no event.
    ignored_origins: Arc<[String]>,
    /// What failed before, by rule.
    failed: HashSet<(Arc<str>, FailureKind)>,
    scratch: Scratch,
}

/// An entry of `messages:`, bound.
#[derive(Debug)]
struct Messages {
    rules: TableRules,
    relation: Relation,
    table: BoundTable,
}

impl Mapper {
    pub fn new(
        rules: Arc<[TableRules]>,
        endpoints: Arc<[EndpointMapping]>,
        source: SourceIdentity,
    ) -> Self {
        Mapper {
            rules,
            endpoints,
            source,
            tables: HashMap::new(),
            messages: Vec::new(),
            ignored_origins: Arc::new([]),
            failed: HashSet::new(),
            scratch: Scratch::default(),
        }
    }

    /// With the entries of `messages:`.
    pub fn with_messages(mut self, entries: &[TableRules]) -> Self {
        let bound = |entry: &TableRules| {
            let relation = message::relation(TableName::of_messages(&*entry.name));
            let database = &self.source.database;
            Messages {
                table: BoundTable::of_messages(entry, &relation, &self.endpoints, database),
                rules: entry.clone(),
                relation,
            }
        };
        self.messages = entries.iter().map(bound).collect();
        self
    }

    /// Without events of changes that come from these origins.
    pub fn ignoring(mut self, origins: Arc<[String]>) -> Self {
        self.ignored_origins = origins;
        self
    }

    /// Takes a relation as it is from now on, also one that was bound before. One that no
    /// entry speaks of makes no event: partitions are announced beside their root.
    /// Whatever its types are made of must be in `types`.
    pub fn bind(&mut self, relation: &Relation, types: &Types) -> Bound {
        let mut bound = Bound::default();
        self.tables.remove(&relation.oid);
        let Some(entry) = select(&self.rules, &relation.name) else {
            return bound;
        };
        let table = BoundTable::new(
            entry,
            relation,
            types,
            &self.endpoints,
            &self.source.database,
            &mut bound.problems,
        );
        let place = self
            .rules
            .iter()
            .position(|rules| std::ptr::eq(rules, entry));
        bound.key = table.key.columns().to_vec();
        if let Some(place) = place {
            self.tables.insert(relation.oid, (place, table));
        }
        bound
    }

    /// Whether an entry speaks of the relation.
    pub fn is_bound(&self, oid: u32) -> bool {
        self.tables.contains_key(&oid)
    }

    /// Takes back that these were seen: the change will be mapped again.
    pub fn forget(&mut self, failures: &[RuleFailure]) {
        let first = failures
            .iter()
            .filter(|failure| failure.seen == Seen::First);
        for failure in first {
            self.failed
                .remove(&(Arc::clone(&failure.rule), failure.kind));
        }
    }

    /// Appends the change's events, those of one endpoint in the order of the rules.
    pub fn map(&mut self, change: &Change<'_>, events: &mut Vec<Event>) -> Mapped {
        let ignored = self.ignores(change.transaction);
        let Some((entry, table)) = self.tables.get(&change.relation.oid) else {
            return Mapped::of(Matched::Unbound);
        };
        let Some(entry) = self.rules.get(*entry).filter(|_| !ignored) else {
            return Mapped::of(Matched::Filtered);
        };
        let around = Around {
            source: &self.source,
            endpoints: &self.endpoints,
            failed: &mut self.failed,
            scratch: &mut self.scratch,
        };
        make(entry, table, change, IdBasis::of(change), around, events)
    }

    /// Appends the message's events. With the name by which they are counted and ordered;
    /// `None`: no entry speaks of its prefix. `hash` is its
    /// [`message_hash`](super::message_hash).
    pub fn map_message(
        &mut self,
        message: &LogicalMessage<'_>,
        hash: u64,
        events: &mut Vec<Event>,
    ) -> Option<(Arc<TableName>, Mapped)> {
        let entries = self.messages.iter();
        let ours = entries.filter(|entry| entry.rules.pattern.table.matches(&message.prefix));
        // The exact entry, else the longest pattern; of two that are as long the first.
        let entry = ours.min_by_key(|entry| {
            let pattern = &entry.rules.pattern;
            (!pattern.is_exact(), usize::MAX - pattern.literal_length())
        })?;
        let name = Arc::clone(&entry.relation.name);
        let alone;
        let (transaction, ordinal, id_basis) = match message.place {
            MessagePlace::Change {
                transaction,
                ordinal,
            } => (transaction, ordinal, None),
            MessagePlace::Alone { lsn } => {
                alone = Transaction {
                    commit_lsn: lsn,
                    commit_time_us: NO_TIME,
                    xid: 0,
                    origin: None,
                };
                (&alone, 0, Some(IdBasis::Message { lsn, hash }))
            }
        };
        if self.ignores(transaction) {
            return Some((name, Mapped::of(Matched::Filtered)));
        }
        let row = message::row(message);
        let change = Change {
            transaction,
            ordinal,
            relation: &entry.relation,
            operation: Operation::Message,
            new: Some(message::tuple(&row)),
            old: None,
        };
        let around = Around {
            source: &self.source,
            endpoints: &self.endpoints,
            failed: &mut self.failed,
            scratch: &mut self.scratch,
        };
        let id_basis = id_basis.unwrap_or_else(|| IdBasis::of(&change));
        let mapped = make(
            &entry.rules,
            &entry.table,
            &change,
            id_basis,
            around,
            events,
        );
        Some((name, mapped))
    }

    fn ignores(&self, transaction: &Transaction) -> bool {
        let origin = transaction.origin.as_deref();
        origin.is_some_and(|origin| self.ignored_origins.iter().any(|name| name == origin))
    }
}

fn make(
    entry: &TableRules,
    table: &BoundTable,
    change: &Change<'_>,
    id_basis: IdBasis,
    around: Around<'_>,
    events: &mut Vec<Event>,
) -> Mapped {
    let bound_rules = table.rules(change.operation);
    if bound_rules.is_empty() {
        return Mapped::of(Matched::Filtered);
    }
    let scratch = around.scratch;
    let cells = Cells::of(change, std::mem::take(&mut scratch.cells));
    let around = Around {
        scratch: &mut *scratch,
        ..around
    };
    let mut making = Making::new(change, table, &cells, id_basis, around);
    for bound in bound_rules {
        if let Some(rule) = entry.rules.get(bound.place) {
            making.rule(rule, bound);
        }
    }
    let mapped = making.finish(events);
    scratch.cells = cells.emptied();
    mapped
}
