//! What the config wants of the database: the rules, seen from the catalog's side.
//!
//! It knows tables, operations and columns; of endpoints only whether they order
//! by key; of conditions only which old values they read.

use std::sync::Arc;

use crate::change::{Operation, TableName};
use crate::event::EndpointIndex;
use crate::mapping::Columns;
use crate::mapping::condition::Condition;
use crate::mapping::payload::PayloadTemplate;
use crate::mapping::rule::{ColumnSelection, NamePattern, Outbox, Rule, TablePattern, TableRules};

/// The entries of `tables:`, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub entries: Vec<Entry>,
}

/// One entry of `tables:`.
#[derive(Clone, Debug)]
pub struct Entry {
    /// As the config writes it, for messages.
    pub name: Arc<str>,
    pub pattern: TablePattern,
    /// Without repeats, in the order of [`Operation::ALL`].
    pub operations: Vec<Operation>,
    /// Every column that the entry names.
    pub columns: Vec<NamedColumn>,
    /// `key:`
    pub key: Option<Vec<String>>,
    /// What is read of the old row, per rule.
    pub old: Vec<OldNeed>,
    /// Names of the entry's endpoints with `order: key`.
    pub keyed_endpoints: Vec<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedColumn {
    pub column: String,
    pub named_in: NamedIn,
}

/// Where a column is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedIn {
    Include,
    Exclude,
    Key,
    /// In the condition or the payload of the rule with this key path.
    Rule(Arc<str>),
}

/// A rule for updates or deletes reads the old row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldNeed {
    /// The rule's key path.
    pub rule: Arc<str>,
    pub operation: Operation,
    /// The columns it reads; empty when they cannot be told, so that all are needed.
    pub columns: Vec<String>,
}

/// Which entry speaks of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selected {
    Entry(usize),
    /// Two patterns with equally long literal parts.
    Tie(usize, usize),
    Nothing,
}

impl Wanted {
    /// `keyed` are the endpoints with `order: key` and their names.
    pub fn new(tables: &[TableRules], keyed: &[(EndpointIndex, Arc<str>)]) -> Self {
        Wanted {
            entries: tables.iter().map(|table| entry(table, keyed)).collect(),
        }
    }

    /// The exact entry, else the one pattern with the longest literal part.
    pub fn select(&self, table: &TableName) -> Selected {
        let mut best: Option<(usize, usize)> = None;
        let mut tie = None;
        for (index, entry) in self.entries.iter().enumerate() {
            if !entry.pattern.matches(table) {
                continue;
            }
            if entry.exact().is_some() {
                return Selected::Entry(index);
            }
            let length = entry.pattern.literal_length();
            match best {
                Some((_, longest)) if length < longest => {}
                Some((first, longest)) if length == longest => tie = Some((first, index)),
                _ => {
                    best = Some((index, length));
                    tie = None;
                }
            }
        }
        match (tie, best) {
            (Some((first, second)), _) => Selected::Tie(first, second),
            (None, Some((index, _))) => Selected::Entry(index),
            (None, None) => Selected::Nothing,
        }
    }
}

impl Entry {
    /// The one table it speaks of, when it is no pattern.
    pub fn exact(&self) -> Option<TableName> {
        match (&self.pattern.schema, &self.pattern.table) {
            (NamePattern::Exact(schema), NamePattern::Exact(table)) => {
                Some(TableName::new(schema, table))
            }
            _ => None,
        }
    }

    pub fn wants(&self, operation: Operation) -> bool {
        self.operations.contains(&operation)
    }

    /// The operations for which Postgres asks for a replica identity.
    pub fn needs_identity(&self) -> bool {
        self.wants(Operation::Update) || self.wants(Operation::Delete)
    }
}

fn entry(table: &TableRules, keyed: &[(EndpointIndex, Arc<str>)]) -> Entry {
    let wanted = |operation: &Operation| table.rules.iter().any(|r| r.operation == *operation);
    let fed = |endpoint: &EndpointIndex| table.rules.iter().any(|r| r.endpoints.contains(endpoint));
    Entry {
        name: table.name.clone(),
        pattern: table.pattern.clone(),
        operations: Operation::ALL.into_iter().filter(wanted).collect(),
        columns: named_columns(table),
        key: table.key.clone(),
        old: table.rules.iter().filter_map(old_need).collect(),
        keyed_endpoints: keyed
            .iter()
            .filter(|(endpoint, _)| fed(endpoint))
            .map(|(_, name)| name.clone())
            .collect(),
    }
}

fn named_columns(table: &TableRules) -> Vec<NamedColumn> {
    let (selection, named_in) = match &table.columns {
        ColumnSelection::All => (&[][..], NamedIn::Include),
        ColumnSelection::Include(columns) => (&columns[..], NamedIn::Include),
        ColumnSelection::Exclude(columns) => (&columns[..], NamedIn::Exclude),
    };
    let named = |column: &String, named_in: &NamedIn| NamedColumn {
        column: column.clone(),
        named_in: named_in.clone(),
    };
    let mut columns: Vec<_> = selection.iter().map(|c| named(c, &named_in)).collect();
    let key = table.key.iter().flatten();
    // Of an outbox it is one of its columns.
    let key = key.filter(|_| table.outbox.is_none());
    columns.extend(key.map(|c| named(c, &NamedIn::Key)));
    for rule in &table.rules {
        let named_in = NamedIn::Rule(rule.name.clone());
        let outbox = table.outbox.iter().flat_map(Outbox::columns);
        columns.extend(outbox.map(|c| named(c, &named_in)));
        columns.extend(rule_columns(rule).iter().map(|c| named(c, &named_in)));
    }
    columns
}

fn rule_columns(rule: &Rule) -> Vec<String> {
    let mut columns = Vec::new();
    if let Some(condition) = &rule.when {
        columns.extend_from_slice(condition.columns());
    }
    if let Some(payload) = &rule.payload {
        columns.extend(payload.columns());
    }
    columns.sort_unstable();
    columns.dedup();
    columns
}

fn old_need(rule: &Rule) -> Option<OldNeed> {
    let has_old = matches!(rule.operation, Operation::Update | Operation::Delete);
    let uses = || {
        let condition = rule.when.as_ref().map(Condition::uses);
        let payload = rule.payload.as_ref().map(PayloadTemplate::uses);
        condition.into_iter().chain(payload)
    };
    let all = uses().any(|uses| uses.old == Columns::All);
    let mut columns: Vec<String> = uses()
        .filter(|_| !all)
        .flat_map(|uses| uses.old.names().chain(&uses.changed))
        .cloned()
        .collect();
    if !has_old || (!all && columns.is_empty()) {
        return None;
    }
    columns.sort_unstable();
    columns.dedup();
    Some(OldNeed {
        rule: rule.name.clone(),
        operation: rule.operation,
        columns,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `public.orders`, `audit.*`: no quotes, for tests.
    pub fn test_entry(name: &str, operations: &[Operation]) -> Entry {
        let part = |text: &str| {
            if text.contains('*') {
                NamePattern::Pieces(text.split('*').map(str::to_owned).collect())
            } else {
                NamePattern::Exact(text.to_owned())
            }
        };
        let (schema, table) = name.split_once('.').unwrap();
        Entry {
            name: name.into(),
            pattern: TablePattern {
                schema: part(schema),
                table: part(table),
            },
            operations: operations.to_vec(),
            columns: Vec::new(),
            key: None,
            old: Vec::new(),
            keyed_endpoints: Vec::new(),
        }
    }

    #[test]
    fn a_table_takes_its_exact_entry_else_the_longest_pattern() {
        let names = ["*.*", "app.o*", "app.orders", "app.*s", "app.*ders"];
        let wanted = Wanted {
            entries: names.map(|name| test_entry(name, &[])).to_vec(),
        };
        let select = |table| wanted.select(&TableName::new("app", table));
        assert_eq!(select("orders"), Selected::Entry(2));
        assert_eq!(select("riders"), Selected::Entry(4));
        assert_eq!(select("oats"), Selected::Tie(1, 3));
        assert_eq!(select("other"), Selected::Entry(1));
        assert_eq!(select("user"), Selected::Entry(0));
        assert_eq!(
            Wanted::default().select(&TableName::new("a", "b")),
            Selected::Nothing
        );
    }
}
