//! Mapping what was read, once, and counting it.

use std::collections::HashMap;
use std::sync::Arc;

use tracing::warn;

use crate::change::{Change, Operation, Relation, TableName};
use crate::daemon::types_read::TypesRead;
use crate::event::{Event, Fate, Unsent};
use crate::lsn::Lsn;
use crate::mapping::{Bound, FailureKind, Mapped, Mapper, Matched, ParkedEvent, Seen};
use crate::pgoutput::LogicalMessage;
use crate::pgoutput::value::Types;
use crate::telemetry::metrics::{ChangeCounters, Metrics, OfRule};

/// Where a change stands: commit LSN and ordinal.
type Place = (Lsn, u64);

/// The mapper, and what it made of the last message.
#[derive(Debug)]
pub(super) struct Mapping {
    /// Made once Postgres has said which cluster and database it is.
    pub mapper: Option<Mapper>,
    metrics: Arc<Metrics>,
    counters: HashMap<u32, ChangeCounters>,
    message_counters: HashMap<Arc<TableName>, ChangeCounters>,
    /// Of the last message, not staged yet.
    pub events: Vec<Event>,
    /// The last change that was mapped, and the last one that was staged.
    pub mapped_to: Place,
    pub staged_to: Place,
}

/// What became of a change.
pub(super) enum Changed {
    Mapped,
    /// Nothing: values may not have the form of these types any more.
    Misfits(Vec<u32>),
}

impl Mapping {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Mapping {
            mapper: None,
            metrics,
            counters: HashMap::new(),
            message_counters: HashMap::new(),
            events: Vec::new(),
            mapped_to: (Lsn::ZERO, 0),
            staged_to: (Lsn::ZERO, 0),
        }
    }

    /// The relation has another name: its counters are another's.
    pub fn forget_counters(&mut self, oid: u32) {
        self.counters.remove(&oid);
    }

    /// Whether what stands at `place` is to be mapped: it was not staged before.
    fn is_new(&mut self, place: Place, repeat: bool) -> bool {
        if repeat || place <= self.staged_to {
            self.metrics.changes_repeated.inc();
            return false;
        }
        self.mapped_to = place;
        true
    }

    /// Takes a relation, or what is now known of its types; what came of it when a rule
    /// speaks of it.
    pub fn bind(&mut self, relation: &Relation, types: &Types) -> Option<Bound> {
        let mapper = self.mapper.as_mut()?;
        let bound = mapper.bind(relation, types);
        for problem in &bound.problems {
            warn!(table = %relation.name, "{problem}");
        }
        mapper.is_bound(relation.oid).then_some(bound)
    }

    pub fn change(&mut self, change: &Change<'_>, repeat: bool, read: &TypesRead) -> Changed {
        let commit = change.transaction.commit_lsn;
        if !self.is_new((commit, change.ordinal), repeat) {
            return Changed::Mapped;
        }
        // A truncate has no values: whatever its types are, it is mapped.
        if change.operation != Operation::Truncate
            && let Some(types) = read.due(change.relation.oid, commit)
        {
            return self.not_mapped(types.to_vec());
        }
        let Some(mapper) = &mut self.mapper else {
            return Changed::Mapped;
        };
        let mapped = mapper.map(change, &mut self.events);
        if read.are_older(&mapped.misfit_types, commit) {
            mapper.forget(&mapped.failures);
            return self.not_mapped(mapped.misfit_types);
        }
        let metrics = &self.metrics;
        let counters = self
            .counters
            .entry(change.relation.oid)
            .or_insert_with(|| ChangeCounters::new(metrics, &change.relation.name));
        count(&mapped, counters, metrics);
        take_parked(mapped.parked, &mut self.events);
        Changed::Mapped
    }

    fn not_mapped(&mut self, types: Vec<u32>) -> Changed {
        self.events.clear();
        self.mapped_to = self.staged_to;
        Changed::Misfits(types)
    }

    /// `hash` is of a message that stands alone.
    pub fn message(&mut self, message: &LogicalMessage<'_>, hash: u64, place: Place, repeat: bool) {
        if !self.is_new(place, repeat) {
            return;
        }
        let Some(mapper) = &mut self.mapper else {
            return;
        };
        let Some((name, mapped)) = mapper.map_message(message, hash, &mut self.events) else {
            return;
        };
        let metrics = &self.metrics;
        let counters = self
            .message_counters
            .entry(name)
            .or_insert_with_key(|name| ChangeCounters::new(metrics, name));
        count(&mapped, counters, metrics);
        take_parked(mapped.parked, &mut self.events);
    }
}

fn count(mapped: &Mapped, counters: &ChangeCounters, metrics: &Metrics) {
    match mapped.matched {
        // A table that another config published: no rule speaks of it.
        Matched::Unbound => return,
        Matched::Filtered => {
            counters.read.inc();
            counters.filtered.inc();
        }
        Matched::Matched => {
            counters.read.inc();
            counters.matched.inc();
        }
    }
    if !mapped.misfit_types.is_empty() {
        counters.misfits.inc_by(mapped.misfit_types.len() as u64);
    }
    for failure in &mapped.failures {
        metrics
            .condition_failures
            .get_or_create(&OfRule {
                rule: failure.rule.to_string(),
                kind: failure.kind.as_str(),
            })
            .inc();
        if failure.seen == Seen::First && failure.kind == FailureKind::Oversize {
            warn!(
                rule = %failure.rule,
                "a body is larger than its endpoint's max_body; further ones are counted in walhook_condition_failures_total"
            );
        } else if failure.seen == Seen::First {
            warn!(
                rule = %failure.rule,
                kind = failure.kind.as_str(),
                "a rule failed on a row; further failures are counted in walhook_condition_failures_total"
            );
        }
    }
}

/// Events of rules that failed go to their lanes with the others: they become dead
/// letters in their turn, so that no position passes one that is not stored.
fn take_parked(parked: Vec<ParkedEvent>, events: &mut Vec<Event>) {
    if parked.is_empty() {
        return;
    }
    events.extend(parked.into_iter().map(|parked| Event {
        fate: Fate::DeadLetter(match parked.kind {
            FailureKind::Oversize => Unsent::TooLarge,
            _ => Unsent::RuleFailed,
        }),
        ..parked.event
    }));
    events.sort_by_key(|event| (event.position, event.endpoint));
}
