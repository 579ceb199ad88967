//! A table bound to its rules: worked out once per Relation message.

use std::sync::Arc;

use super::body;
use super::mapper::{EndpointMapping, KeyUse};
use super::outbox::OutboxPlan;
use super::plan::TablePlan;
use super::report::BindProblem;
use super::rule::{ColumnSelection, TableRules, TypeTemplate};
use crate::change::{Operation, Relation};
use crate::event::EndpointIndex;
use crate::pgoutput::value::{LargeNumbers, Types};

#[derive(Debug)]
pub(super) struct BoundTable {
    pub plan: TablePlan,
    /// The constant part of `source`.
    pub source: Vec<u8>,
    pub key: BoundKey,
    /// By operation, in the order of the file; those of messages in the place of inserts.
    rules: [Vec<BoundRule>; Operation::ALL.len()],
}

/// What orders an event with `order: key`.
#[derive(Debug)]
pub(super) enum BoundKey {
    /// Places of columns; empty when there are none.
    Columns(Vec<usize>),
    /// Of a message's content; empty: its prefix.
    Members(Vec<String>),
}

/// The type of a rule's events.
#[derive(Debug, PartialEq)]
pub(super) enum BoundType {
    Fixed(Arc<str>),
    /// The row decides.
    OfRow(TypeTemplate),
}

#[derive(Debug)]
pub(super) struct BoundRule {
    /// In the entry's rules.
    pub place: usize,
    pub event_type: BoundType,
    /// By how they take large numbers. Empty: all go to a rule before it.
    pub endpoints: Vec<(LargeNumbers, Vec<EndpointIndex>)>,
    /// One of the endpoints orders by key.
    pub key_use: KeyUse,
}

impl BoundTable {
    pub fn new(
        entry: &TableRules,
        relation: &Relation,
        types: &Types,
        endpoints: &[EndpointMapping],
        database: &str,
        problems: &mut Vec<BindProblem>,
    ) -> Self {
        let mut plan = TablePlan::new(relation, types, &entry.columns, any_strings(endpoints));
        plan.outbox = entry
            .outbox
            .as_ref()
            .map(|outbox| OutboxPlan::new(outbox, &plan));
        named_columns(entry, &plan, problems);
        let key = key(entry, relation, &plan);
        let no_key = key.is_empty();
        let table = BoundTable {
            source: body::source_head(database, &plan),
            key: BoundKey::Columns(key),
            rules: Operation::ALL
                .map(|operation| rules(entry, relation, operation, endpoints, problems)),
            plan,
        };
        let mut rules = table.rules.iter().flatten();
        if no_key && rules.any(|rule| rule.key_use == KeyUse::Needed) {
            problems.push(BindProblem::NoKey);
        }
        table
    }

    /// For the messages of an entry, of which `relation` describes the rows.
    pub fn of_messages(
        entry: &TableRules,
        relation: &Relation,
        endpoints: &[EndpointMapping],
        database: &str,
    ) -> Self {
        // The walk has found the problems: all is known without the database.
        let rules = rules(
            entry,
            relation,
            Operation::Message,
            endpoints,
            &mut Vec::new(),
        );
        BoundTable {
            source: body::message_source_head(database),
            key: BoundKey::Members(entry.key.clone().unwrap_or_default()),
            rules: [rules, Vec::new(), Vec::new(), Vec::new()],
            plan: TablePlan::new(
                relation,
                &Types::default(),
                &ColumnSelection::All,
                any_strings(endpoints),
            ),
        }
    }

    pub fn rules(&self, operation: Operation) -> &[BoundRule] {
        match operation {
            Operation::Insert | Operation::Message => &self.rules[0],
            Operation::Update => &self.rules[1],
            Operation::Delete => &self.rules[2],
            Operation::Truncate => &self.rules[3],
        }
    }
}

impl BoundKey {
    pub fn columns(&self) -> &[usize] {
        match self {
            BoundKey::Columns(places) => places,
            BoundKey::Members(_) => &[],
        }
    }

    pub fn members(&self) -> &[String] {
        match self {
            BoundKey::Columns(_) => &[],
            BoundKey::Members(names) => names,
        }
    }
}

/// An endpoint takes large numbers as strings.
fn any_strings(endpoints: &[EndpointMapping]) -> bool {
    let strings = |endpoint: &EndpointMapping| endpoint.form.large_numbers == LargeNumbers::Strings;
    endpoints.iter().any(strings)
}

/// A key that the config names counts only as a whole: half of it orders nothing.
fn key(entry: &TableRules, relation: &Relation, plan: &TablePlan) -> Vec<usize> {
    match &entry.key {
        None => relation.key.clone(),
        Some(names) => names
            .iter()
            .map(|name| plan.column(name))
            .collect::<Option<_>>()
            .unwrap_or_default(),
    }
}

fn rules(
    entry: &TableRules,
    relation: &Relation,
    operation: Operation,
    endpoints: &[EndpointMapping],
    problems: &mut Vec<BindProblem>,
) -> Vec<BoundRule> {
    let mut bound: Vec<BoundRule> = Vec::new();
    let wanted = entry.rules.iter().enumerate();
    for (place, rule) in wanted.filter(|(_, rule)| rule.operation == operation) {
        let event_type = match rule.event_type.render(&relation.name, operation) {
            Some(fixed) => BoundType::Fixed(fixed.into()),
            None => BoundType::OfRow(rule.event_type.clone()),
        };
        let mut ours = rule.endpoints.clone();
        for before in bound
            .iter()
            .filter(|before| before.event_type == event_type)
        {
            let count = ours.len();
            let theirs = || before.endpoints.iter().flat_map(|(_, endpoints)| endpoints);
            ours.retain(|endpoint| !theirs().any(|their| their == endpoint));
            if let (true, Some(first)) = (ours.len() < count, entry.rules.get(before.place)) {
                problems.push(BindProblem::SameType {
                    first: Arc::clone(&first.name),
                    second: Arc::clone(&rule.name),
                    event_type: match &event_type {
                        BoundType::Fixed(fixed) => Arc::clone(fixed),
                        BoundType::OfRow(template) => template.to_string().into(),
                    },
                });
            }
        }
        let by_key = |endpoint: &EndpointIndex| {
            endpoints
                .get(endpoint.0)
                .is_some_and(|endpoint| endpoint.key_use == KeyUse::Needed)
        };
        bound.push(BoundRule {
            place,
            event_type,
            key_use: if ours.iter().any(by_key) {
                KeyUse::Needed
            } else {
                KeyUse::NotNeeded
            },
            endpoints: by_large_numbers(&ours, endpoints),
        });
    }
    bound
}

fn by_large_numbers(
    wanted: &[EndpointIndex],
    endpoints: &[EndpointMapping],
) -> Vec<(LargeNumbers, Vec<EndpointIndex>)> {
    let takes = |large_numbers| {
        let of = |at: &&EndpointIndex| {
            let endpoint = endpoints.get(at.0);
            endpoint.is_some_and(|endpoint| endpoint.form.large_numbers == large_numbers)
        };
        (large_numbers, wanted.iter().filter(of).copied().collect())
    };
    let mut groups = vec![takes(LargeNumbers::Numbers), takes(LargeNumbers::Strings)];
    groups.retain(|(_, endpoints): &(_, Vec<_>)| !endpoints.is_empty());
    groups
}

/// Every column that the entry names, and the table does not have.
fn named_columns(entry: &TableRules, plan: &TablePlan, problems: &mut Vec<BindProblem>) {
    let mut missing = |named_in: String, columns: &[String]| {
        for column in columns.iter().filter(|name| plan.column(name).is_none()) {
            problems.push(BindProblem::NoColumn {
                named_in: named_in.clone(),
                column: column.clone(),
            });
        }
    };
    let table = &entry.name;
    match &entry.columns {
        ColumnSelection::All => {}
        ColumnSelection::Include(names) => {
            missing(format!("tables.\"{table}\".columns.include"), names)
        }
        ColumnSelection::Exclude(names) => {
            missing(format!("tables.\"{table}\".columns.exclude"), names)
        }
    }
    if let Some(names) = &entry.key {
        missing(format!("tables.\"{table}\".key"), names);
    }
    if let Some(outbox) = &entry.outbox {
        let names: Vec<String> = outbox.columns().cloned().collect();
        missing(format!("tables.\"{table}\".outbox"), &names);
    }
    for rule in &entry.rules {
        if let Some(condition) = &rule.when {
            missing(format!("{}.when", rule.name), condition.columns());
        }
        if let Some(payload) = &rule.payload {
            missing(format!("{}.payload", rule.name), &payload.columns());
        }
    }
}
