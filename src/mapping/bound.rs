//! A table bound to its rules: worked out once per Relation message.

use std::sync::Arc;

use super::body;
use super::mapper::{EndpointMapping, KeyUse};
use super::plan::TablePlan;
use super::report::BindProblem;
use super::rule::{ColumnSelection, TableRules};
use crate::change::{Operation, Relation};
use crate::event::EndpointIndex;
use crate::pgoutput::value::{LargeNumbers, Types};

#[derive(Debug)]
pub(super) struct BoundTable {
    pub plan: TablePlan,
    /// The constant part of `source`.
    pub source: Vec<u8>,
    /// Places of the ordering key's columns; empty when there is none.
    pub key: Vec<usize>,
    /// By operation, in the order of the file.
    rules: [Vec<BoundRule>; Operation::ALL.len()],
}

#[derive(Debug)]
pub(super) struct BoundRule {
    /// In the entry's rules.
    pub place: usize,
    pub event_type: Arc<str>,
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
        let strings =
            |endpoint: &EndpointMapping| endpoint.form.large_numbers == LargeNumbers::Strings;
        let strings = endpoints.iter().any(strings);
        let plan = TablePlan::new(relation, types, &entry.columns, strings);
        named_columns(entry, &plan, problems);
        let table = BoundTable {
            source: body::source_head(database, &plan),
            key: key(entry, relation, &plan),
            rules: Operation::ALL
                .map(|operation| rules(entry, relation, operation, endpoints, problems)),
            plan,
        };
        let mut rules = table.rules.iter().flatten();
        if table.key.is_empty() && rules.any(|rule| rule.key_use == KeyUse::Needed) {
            problems.push(BindProblem::NoKey);
        }
        table
    }

    pub fn rules(&self, operation: Operation) -> &[BoundRule] {
        match operation {
            Operation::Insert => &self.rules[0],
            Operation::Update => &self.rules[1],
            Operation::Delete => &self.rules[2],
            Operation::Truncate => &self.rules[3],
        }
    }
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
        let event_type = rule.event_type.render(&relation.name, operation);
        let mut ours = rule.endpoints.clone();
        for before in bound
            .iter()
            .filter(|before| *before.event_type == event_type)
        {
            let count = ours.len();
            let theirs = || before.endpoints.iter().flat_map(|(_, endpoints)| endpoints);
            ours.retain(|endpoint| !theirs().any(|their| their == endpoint));
            if let (true, Some(first)) = (ours.len() < count, entry.rules.get(before.place)) {
                problems.push(BindProblem::SameType {
                    first: Arc::clone(&first.name),
                    second: Arc::clone(&rule.name),
                    event_type: event_type.as_str().into(),
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
            event_type: event_type.into(),
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
    for rule in &entry.rules {
        if let Some(condition) = &rule.when {
            missing(format!("{}.when", rule.name), condition.columns());
        }
        if let Some(payload) = &rule.payload {
            missing(format!("{}.payload", rule.name), &payload.columns());
        }
    }
}
