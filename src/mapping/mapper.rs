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

use bytes::Bytes;

use super::body;
use super::bound::{BoundRule, BoundTable};
use super::failure::FailureKind;
use super::findings::Findings;
use super::id::event_id;
use super::keys::keys;
use super::report::{BindProblem, Bound, Mapped, Matched, ParkedEvent, RuleFailure, Seen};
use super::row::{Cells, RowView};
use super::rule::{Rule, TableRules, WhenError, select};
use crate::change::{Change, Relation};
use crate::event::{Event, EventId, Keys, Position};
use crate::pgoutput::value::Types;

/// A body larger than this is not copied out of its buffer: it takes it along.
const SCRATCH_BYTES_MAX: usize = 1 << 20;

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
    /// What failed before, by rule.
    failed: HashSet<(Arc<str>, FailureKind)>,
    scratch: Scratch,
}

/// Kept from change to change.
#[derive(Debug, Default)]
struct Scratch {
    cells: Cells<'static>,
    body: Vec<u8>,
    findings: Findings,
    planned: Vec<Planned>,
    /// By endpoint: events of the change so far, and where the last of them stands.
    counts: Vec<(u32, usize)>,
    /// The commit time last rendered.
    timestamp: (i64, String),
}

/// An event that is not numbered yet.
#[derive(Debug)]
struct Planned {
    event: Event,
    parked: Option<(Arc<str>, FailureKind)>,
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
            failed: HashSet::new(),
            scratch: Scratch {
                timestamp: (0, body::timestamp(0)),
                ..Scratch::default()
            },
        }
    }

    /// Takes a relation as it is from now on, also one that was bound before.
    /// Whatever its types are made of must be in `types`.
    pub fn bind(&mut self, relation: &Relation, types: &Types) -> Bound {
        let mut bound = Bound::default();
        self.tables.remove(&relation.oid);
        let Some(entry) = select(&self.rules, &relation.name) else {
            bound.problems.push(BindProblem::NoRules);
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
        if let Some(place) = place {
            self.tables.insert(relation.oid, (place, table));
        }
        bound
    }

    /// Appends the change's events, those of one endpoint in the order of the rules.
    pub fn map(&mut self, change: &Change<'_>, events: &mut Vec<Event>) -> Mapped {
        let Mapper {
            rules,
            endpoints,
            source,
            tables,
            failed,
            scratch,
        } = self;
        let Some((entry, table)) = tables.get(&change.relation.oid) else {
            return Mapped::of(Matched::Unbound);
        };
        let bound_rules = table.rules(change.operation);
        let Some(entry) = rules.get(*entry).filter(|_| !bound_rules.is_empty()) else {
            return Mapped::of(Matched::Filtered);
        };
        let cells = Cells::of(change, std::mem::take(&mut scratch.cells));
        scratch.prepare(endpoints.len(), change.transaction.commit_time_us);
        let mut mapping = Mapping {
            change,
            table,
            row: RowView::new(&table.plan, change, &cells),
            system_identifier: source.system_identifier,
            endpoints,
            scratch,
            keys: None,
            standard: Vec::new(),
            tail: None,
            failed,
            mapped: Mapped::of(Matched::Filtered),
        };
        for bound in bound_rules {
            if let Some(rule) = entry.rules.get(bound.place) {
                mapping.rule(rule, bound);
            }
        }
        let mapped = mapping.finish(events);
        scratch.cells = cells.emptied();
        mapped
    }
}

impl Scratch {
    fn prepare(&mut self, endpoints: usize, commit_time_us: i64) {
        self.findings.clear();
        self.planned.clear();
        self.counts.clear();
        self.counts.resize(endpoints, (0, 0));
        if self.timestamp.0 != commit_time_us {
            self.timestamp = (commit_time_us, body::timestamp(commit_time_us));
        }
    }
}

/// One change on its way to events.
struct Mapping<'m> {
    change: &'m Change<'m>,
    table: &'m BoundTable,
    row: RowView<'m>,
    system_identifier: u64,
    endpoints: &'m [EndpointMapping],
    scratch: &'m mut Scratch,
    keys: Option<Keys>,
    /// Standard bodies by type, and what they have in common.
    standard: Vec<(Arc<str>, Bytes)>,
    tail: Option<Bytes>,
    failed: &'m mut HashSet<(Arc<str>, FailureKind)>,
    mapped: Mapped,
}

impl Mapping<'_> {
    fn rule(&mut self, rule: &Rule, bound: &BoundRule) {
        let mut parked = None;
        let matches = match &rule.when {
            None => true,
            Some(condition) => match condition.evaluate(&self.row) {
                Ok(matches) => matches,
                Err(kind) => self.failed(rule, kind, &mut parked),
            },
        };
        if !matches || bound.endpoints.is_empty() {
            return;
        }
        let id = event_id(self.system_identifier, self.change, &bound.event_type);
        let body = match &rule.payload {
            None => self.standard(id, &bound.event_type),
            Some(payload) => {
                let mut json = Vec::new();
                match payload.render(&self.row, &mut json, &mut self.scratch.findings) {
                    Ok(()) => Bytes::from(json.into_boxed_slice()),
                    Err(kind) if self.failed(rule, kind, &mut parked) => {
                        self.standard(id, &bound.event_type)
                    }
                    Err(_) => return,
                }
            }
        };
        self.plan(
            bound,
            id,
            &body,
            parked.map(|kind| (Arc::clone(&rule.name), kind)),
        );
    }

    /// Notes a failure; whether an event is made in spite of it.
    fn failed(&mut self, rule: &Rule, kind: FailureKind, parked: &mut Option<FailureKind>) -> bool {
        let first = self.failed.insert((Arc::clone(&rule.name), kind));
        self.mapped.failures.push(RuleFailure {
            rule: Arc::clone(&rule.name),
            kind,
            seen: if first { Seen::First } else { Seen::Again },
        });
        match rule.when_error {
            WhenError::Skip => false,
            WhenError::Emit => true,
            WhenError::DeadLetter => {
                parked.get_or_insert(kind);
                true
            }
        }
    }

    fn standard(&mut self, id: EventId, event_type: &Arc<str>) -> Bytes {
        if let Some((_, body)) = self.standard.iter().find(|(made, _)| made == event_type) {
            return body.clone();
        }
        let mut json = std::mem::take(&mut self.scratch.body);
        json.clear();
        body::write_head(id, event_type, &mut json);
        let head = json.len();
        match &self.tail {
            Some(tail) => json.extend_from_slice(tail),
            None => body::write_tail(
                self.change,
                &self.row,
                self.scratch.timestamp.1.as_bytes(),
                &self.table.source,
                &mut json,
                &mut self.scratch.findings,
            ),
        }
        let body = if json.len() > SCRATCH_BYTES_MAX {
            Bytes::from(json.into_boxed_slice())
        } else {
            let body = Bytes::copy_from_slice(&json);
            self.scratch.body = json;
            body
        };
        self.tail.get_or_insert_with(|| body.slice(head..));
        self.standard.push((Arc::clone(event_type), body.clone()));
        body
    }

    fn plan(
        &mut self,
        bound: &BoundRule,
        id: EventId,
        body: &Bytes,
        parked: Option<(Arc<str>, FailureKind)>,
    ) {
        for endpoint in &bound.endpoints {
            let Some(known) = self.endpoints.get(endpoint.0) else {
                continue;
            };
            let keys = match known.key_use {
                KeyUse::NotNeeded => Keys::All,
                KeyUse::Needed => {
                    let (row, key) = (&self.row, &self.table.key);
                    *self.keys.get_or_insert_with(|| keys(row, key))
                }
            };
            let place = self.scratch.planned.len();
            let mut n = 0;
            if let Some(count) = self.scratch.counts.get_mut(endpoint.0) {
                n = count.0;
                *count = (n + 1, place);
            }
            let event = Event {
                id,
                endpoint: *endpoint,
                event_type: Arc::clone(&bound.event_type),
                table: Arc::clone(&self.table.plan.name),
                operation: self.change.operation,
                position: Position {
                    lsn: self.change.transaction.commit_lsn,
                    ordinal: self.change.ordinal,
                    n,
                },
                last_of_change: false,
                keys,
                commit_time_us: self.change.transaction.commit_time_us,
                body: body.clone(),
            };
            self.scratch.planned.push(Planned {
                event,
                parked: parked.clone(),
            });
        }
    }

    fn finish(self, events: &mut Vec<Event>) -> Mapped {
        let (mut mapped, scratch) = (self.mapped, self.scratch);
        if !scratch.planned.is_empty() {
            mapped.matched = Matched::Matched;
        }
        for (place, planned) in scratch.planned.drain(..).enumerate() {
            let mut event = planned.event;
            let count = scratch.counts.get(event.endpoint.0);
            event.last_of_change = count.is_some_and(|(_, last)| *last == place);
            match planned.parked {
                None => events.push(event),
                Some((rule, kind)) => mapped.parked.push(ParkedEvent { event, rule, kind }),
            }
        }
        let misfits = &mut scratch.findings.misfits;
        misfits.sort_unstable();
        misfits.dedup();
        let columns = misfits
            .iter()
            .filter_map(|at| self.table.plan.columns.get(*at));
        mapped
            .misfit_types
            .extend(columns.map(|column| column.type_oid));
        mapped
    }
}
