//! Rules: which change makes an event of which type for which endpoints.

use std::sync::Arc;

use super::condition::Condition;
use super::payload::PayloadTemplate;
use crate::change::{Operation, TableName};
use crate::event::EndpointIndex;

pub use super::event_type::{TypeError, TypeOf, TypePiece, TypeTemplate};
pub use super::outbox::Outbox;
pub use super::pattern::{NamePattern, TablePattern};

/// Which columns go into `data` and `previous`, and into `new` and `old` where
/// a template or a condition takes them as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnSelection {
    All,
    Include(Vec<String>),
    Exclude(Vec<String>),
}

impl ColumnSelection {
    pub fn contains(&self, column: &str) -> bool {
        match self {
            ColumnSelection::All => true,
            ColumnSelection::Include(names) => names.iter().any(|name| name == column),
            ColumnSelection::Exclude(names) => names.iter().all(|name| name != column),
        }
    }
}

/// What becomes of a change on which a rule's condition or payload fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WhenError {
    /// No match: counted, and a warning once.
    #[default]
    Skip,
    /// As if the condition were true; in the place of a payload that failed
    /// goes the standard body.
    Emit,
    /// The event is made and goes to the dead letters at once.
    DeadLetter,
}

impl WhenError {
    /// The word of the config file.
    pub fn as_str(self) -> &'static str {
        match self {
            WhenError::Skip => "skip",
            WhenError::Emit => "emit",
            WhenError::DeadLetter => "dead_letter",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Rule {
    /// Its key path in the config, for messages: `tables."public.orders".events.update[0]`.
    pub name: Arc<str>,
    pub operation: Operation,
    pub event_type: TypeTemplate,
    pub when: Option<Condition>,
    pub when_error: WhenError,
    /// Never empty, no repeats.
    pub endpoints: Vec<EndpointIndex>,
    /// `None`: the standard body.
    pub payload: Option<PayloadTemplate>,
}

/// An entry of `tables:`, or of `messages:`: then the pattern is one of prefixes, in the
/// schema without a name.
#[derive(Clone, Debug)]
pub struct TableRules {
    /// As the config writes it, for messages.
    pub name: Arc<str>,
    pub pattern: TablePattern,
    pub columns: ColumnSelection,
    /// The ordering key, when the config names one. Of messages: members of the content.
    pub key: Option<Vec<String>>,
    /// Each row is an event; its one rule is for inserts.
    pub outbox: Option<Outbox>,
    /// Never empty.
    pub rules: Vec<Rule>,
}

/// The entry that speaks of a table: the exact one, else the pattern with the
/// longest literal part. A tie is an error of the config; here the first wins.
pub fn select<'a>(rules: &'a [TableRules], name: &TableName) -> Option<&'a TableRules> {
    let mut best: Option<&TableRules> = None;
    for entry in rules.iter().filter(|entry| entry.pattern.matches(name)) {
        if entry.pattern.is_exact() {
            return Some(entry);
        }
        let length = entry.pattern.literal_length();
        if best.is_none_or(|best| best.pattern.literal_length() < length) {
            best = Some(entry);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> TableRules {
        let part = |text: &str| {
            if text.contains('*') {
                NamePattern::Pieces(text.split('*').map(str::to_owned).collect())
            } else {
                NamePattern::Exact(text.to_owned())
            }
        };
        let (schema, table) = name.split_once('.').unwrap();
        TableRules {
            name: name.into(),
            pattern: TablePattern {
                schema: part(schema),
                table: part(table),
            },
            columns: ColumnSelection::All,
            key: None,
            outbox: None,
            rules: Vec::new(),
        }
    }

    #[test]
    fn a_table_takes_its_exact_entry_else_the_longest_pattern() {
        let entries = ["*.*", "app.o*", "app.or*", "app.orders", "app.*s"].map(entry);
        let selected = |schema: &str, table: &str| {
            select(&entries, &TableName::new(schema, table)).map(|entry| &*entry.name)
        };
        assert_eq!(selected("app", "orders"), Some("app.orders"));
        assert_eq!(selected("app", "order_lines"), Some("app.or*"));
        assert_eq!(selected("app", "users"), Some("app.*s"));
        assert_eq!(selected("app", "mouse"), Some("*.*"));
        assert_eq!(selected("App", "orders"), Some("*.*"));
        assert_eq!(
            select(&[], &TableName::new("app", "orders")).map(|_| ()),
            None
        );
    }

    #[test]
    fn columns_are_included_or_excluded_by_name() {
        let names = || vec!["a".to_owned(), "b".to_owned()];
        let contained = |selection: ColumnSelection| ["a", "c"].map(|c| selection.contains(c));
        assert_eq!(contained(ColumnSelection::All), [true, true]);
        assert_eq!(contained(ColumnSelection::Include(names())), [true, false]);
        assert_eq!(contained(ColumnSelection::Exclude(names())), [false, true]);
    }
}
