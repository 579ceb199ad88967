//! One change on its way to events: which rules match, what they send, and in
//! which place it stands.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::body;
use super::bound::{BoundRule, BoundTable, BoundType};
use super::failure::FailureKind;
use super::findings::Findings;
use super::form::{DEAD_BYTES_MAX, LargeNumbers, Oversize};
use super::id::{IdBasis, event_id};
use super::keys::keys;
use super::mapper::{EndpointMapping, KeyUse, SourceIdentity};
use super::report::{Mapped, Matched, ParkedEvent, RuleFailure, Seen};
use super::row::{Cells, RowView};
use super::rule::{Rule, TypeTemplate, WhenError};
use crate::change::Change;
use crate::event::{EndpointIndex, Event, EventId, Fate, Keys, Position, Room};

/// A body larger than this is not copied out of its buffer: it takes it along.
const SCRATCH_BYTES_MAX: usize = 1 << 20;

/// The type of an event of which the row gives none: it becomes a dead letter.
const UNTYPED: &str = "untyped";

/// Kept from change to change.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub cells: Cells<'static>,
    body: Vec<u8>,
    findings: Findings,
    planned: Vec<Planned>,
    /// By endpoint: events of the change so far, and where the last of them stands.
    counts: Vec<(u32, usize)>,
    /// The commit time last rendered, and its JSON; empty at first.
    timestamp: (i64, String),
}

/// An event that is not numbered yet.
#[derive(Debug)]
struct Planned {
    event: Event,
    parked: Option<(Arc<str>, FailureKind)>,
}

impl Scratch {
    fn prepare(&mut self, endpoints: usize, commit_time_us: i64) {
        self.findings.clear();
        self.planned.clear();
        self.counts.clear();
        self.counts.resize(endpoints, (0, 0));
        if self.timestamp.0 != commit_time_us || self.timestamp.1.is_empty() {
            self.timestamp = (commit_time_us, body::timestamp(commit_time_us));
        }
    }
}

/// What a change meets.
pub(super) struct Around<'m> {
    pub source: &'m SourceIdentity,
    pub endpoints: &'m [EndpointMapping],
    /// What failed before, by rule.
    pub failed: &'m mut HashSet<(Arc<str>, FailureKind)>,
    pub scratch: &'m mut Scratch,
}

/// One change on its way to events.
pub(super) struct Making<'m> {
    change: &'m Change<'m>,
    table: &'m BoundTable,
    row: RowView<'m>,
    id_basis: IdBasis,
    around: Around<'m>,
    keys: Option<Keys>,
    /// Standard bodies by type, and what they have in common.
    standard: Vec<(Arc<str>, LargeNumbers, Bytes)>,
    tails: Vec<(LargeNumbers, Bytes)>,
    mapped: Mapped,
}

impl<'m> Making<'m> {
    pub fn new(
        change: &'m Change<'m>,
        table: &'m BoundTable,
        cells: &'m Cells<'m>,
        id_basis: IdBasis,
        around: Around<'m>,
    ) -> Self {
        let scratch = &mut *around.scratch;
        scratch.prepare(around.endpoints.len(), change.transaction.commit_time_us);
        Making {
            change,
            table,
            row: RowView::new(&table.plan, change, cells),
            id_basis,
            around,
            keys: None,
            standard: Vec::new(),
            tails: Vec::new(),
            mapped: Mapped::of(Matched::Filtered),
        }
    }

    /// Makes the rule's events, if it matches.
    pub fn rule(&mut self, rule: &Rule, bound: &BoundRule) {
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
        let event_type = match &bound.event_type {
            BoundType::Fixed(event_type) => Arc::clone(event_type),
            BoundType::OfRow(template) => match self.type_of_row(template) {
                Ok(event_type) => event_type,
                Err(kind) if self.failed(rule, kind, &mut parked) => UNTYPED.into(),
                Err(_) => return,
            },
        };
        let id = event_id(
            self.around.source.system_identifier,
            self.id_basis,
            &event_type,
        );
        let mut payload = rule.payload.as_ref();
        for (large_numbers, endpoints) in &bound.endpoints {
            self.row.large_numbers = *large_numbers;
            let mut body = None;
            if let Some(template) = payload {
                let mut json = Vec::new();
                let findings = &mut self.around.scratch.findings;
                match template.render(&self.row, &mut json, findings) {
                    Ok(()) => body = Some(Bytes::from(json.into_boxed_slice())),
                    // As it would in every form.
                    Err(kind) if self.failed(rule, kind, &mut parked) => payload = None,
                    Err(_) => return,
                }
            }
            let body = body.unwrap_or_else(|| self.standard(id, &event_type));
            for endpoint in endpoints {
                self.event(rule, *endpoint, (id, &event_type), &body, parked);
            }
        }
    }

    /// The event for one endpoint, in the form that it takes.
    fn event(
        &mut self,
        rule: &Rule,
        endpoint: EndpointIndex,
        (id, event_type): (EventId, &Arc<str>),
        body: &Bytes,
        mut parked: Option<FailureKind>,
    ) {
        let Some(known) = self.around.endpoints.get(endpoint.0) else {
            return;
        };
        let mut body = body.clone();
        if body.len() > known.form.bytes_max {
            self.note(rule, FailureKind::Oversize);
            let reference = self.reference(id, event_type, body.len());
            let is_refused = reference.len() > known.form.bytes_max;
            if is_refused || known.form.oversize == Oversize::DeadLetter {
                parked.get_or_insert(FailureKind::Oversize);
            }
            if parked.is_none() || body.len() > DEAD_BYTES_MAX {
                body = reference;
            }
        }
        let parked = parked.map(|kind| (Arc::clone(&rule.name), kind));
        let named = (id, Arc::clone(event_type));
        self.plan(endpoint, known.key_use, named, body, parked);
    }

    /// The type of an outbox row or of a message; an outbox row needs its payload, too.
    fn type_of_row(&self, template: &TypeTemplate) -> Result<Arc<str>, FailureKind> {
        let outbox = self.table.plan.outbox.as_ref();
        if outbox.is_some_and(|outbox| outbox.payload.is_none()) {
            return Err(FailureKind::NoSuchColumn);
        }
        template.render_row(&self.row).map(Arc::from)
    }

    /// Notes a failure; whether an event is made in spite of it.
    fn failed(&mut self, rule: &Rule, kind: FailureKind, parked: &mut Option<FailureKind>) -> bool {
        self.note(rule, kind);
        match rule.when_error {
            WhenError::Skip => false,
            WhenError::Emit => true,
            WhenError::DeadLetter => {
                parked.get_or_insert(kind);
                true
            }
        }
    }

    fn note(&mut self, rule: &Rule, kind: FailureKind) {
        let first = self.around.failed.insert((Arc::clone(&rule.name), kind));
        self.mapped.failures.push(RuleFailure {
            rule: Arc::clone(&rule.name),
            kind,
            seen: if first { Seen::First } else { Seen::Again },
        });
    }

    fn standard(&mut self, id: EventId, event_type: &Arc<str>) -> Bytes {
        let form = self.row.large_numbers;
        let same = |(made, numbers, _): &&(Arc<str>, LargeNumbers, Bytes)| {
            made == event_type && *numbers == form
        };
        if let Some((_, _, body)) = self.standard.iter().find(same) {
            return body.clone();
        }
        let mut json = std::mem::take(&mut self.around.scratch.body);
        json.clear();
        body::write_head(id, event_type, &mut json);
        let head = json.len();
        let tail = self.tails.iter().find(|(numbers, _)| *numbers == form);
        let is_new = tail.is_none();
        match tail {
            Some((_, tail)) => json.extend_from_slice(tail),
            None => body::write_tail(
                self.change,
                &self.row,
                self.around.scratch.timestamp.1.as_bytes(),
                &self.table.source,
                &mut json,
                &mut self.around.scratch.findings,
            ),
        }
        let body = if json.len() > SCRATCH_BYTES_MAX {
            Bytes::from(json.into_boxed_slice())
        } else {
            let body = Bytes::copy_from_slice(&json);
            self.around.scratch.body = json;
            body
        };
        if is_new {
            self.tails.push((form, body.slice(head..)));
        }
        let made = (Arc::clone(event_type), form, body.clone());
        self.standard.push(made);
        body
    }

    /// In the place of a body of this many bytes.
    fn reference(&mut self, id: EventId, event_type: &str, size: usize) -> Bytes {
        let mut json = Vec::new();
        body::write_head(id, event_type, &mut json);
        body::write_reference_tail(
            (self.change, &self.row),
            (&self.table.key, size),
            (
                self.around.scratch.timestamp.1.as_bytes(),
                &self.table.source,
            ),
            &mut json,
            &mut self.around.scratch.findings,
        );
        Bytes::from(json.into_boxed_slice())
    }

    fn plan(
        &mut self,
        endpoint: EndpointIndex,
        key_use: KeyUse,
        (id, event_type): (EventId, Arc<str>),
        body: Bytes,
        parked: Option<(Arc<str>, FailureKind)>,
    ) {
        let keys = match key_use {
            KeyUse::NotNeeded => Keys::All,
            KeyUse::Needed => {
                let (row, key) = (&self.row, &self.table.key);
                *self.keys.get_or_insert_with(|| keys(row, key))
            }
        };
        let place = self.around.scratch.planned.len();
        let mut n = 0;
        if let Some(count) = self.around.scratch.counts.get_mut(endpoint.0) {
            n = count.0;
            *count = (n + 1, place);
        }
        let event = Event {
            id,
            endpoint,
            event_type,
            table: Arc::clone(&self.table.plan.name),
            operation: self.change.operation,
            position: Position {
                lsn: self.change.transaction.commit_lsn,
                ordinal: self.change.ordinal,
                n,
            },
            last_of_change: false,
            keys,
            rekeyed: false,
            fate: Fate::Deliver,
            commit_time_us: self.change.transaction.commit_time_us,
            body,
            room: Room::default(),
        };
        let planned = Planned { event, parked };
        self.around.scratch.planned.push(planned);
    }

    /// Numbers the events and hands them out.
    pub fn finish(self, events: &mut Vec<Event>) -> Mapped {
        let (mut mapped, scratch) = (self.mapped, self.around.scratch);
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
