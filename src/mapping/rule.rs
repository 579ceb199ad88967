//! Rules: which change makes an event of which type for which endpoints.

use std::sync::Arc;

use super::condition::Condition;
use super::payload::PayloadTemplate;
use crate::change::Operation;
use crate::event::EndpointIndex;

/// Which tables an entry of `tables:` speaks of.
///
/// Written `schema.table`; a `*` in an unquoted part stands for any run of
/// characters; a part with a dot or a star of its own stands in double quotes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TablePattern {
    pub schema: NamePattern,
    pub table: NamePattern,
}

/// One part of a [`TablePattern`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NamePattern {
    Exact(String),
    /// The literal pieces between the stars: `a*b` is `["a", "b"]`, `*` is `["", ""]`.
    Pieces(Vec<String>),
}

/// Which columns go into `data` and `previous`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnSelection {
    All,
    Include(Vec<String>),
    Exclude(Vec<String>),
}

/// What becomes of a change on which a rule's condition fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WhenError {
    /// No match: counted, and a warning once.
    #[default]
    Skip,
    /// As if the condition were true.
    Emit,
    /// The event is made and goes to the dead letters at once.
    DeadLetter,
}

/// An event type, in which `{schema}`, `{table}` and `{operation}` may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeTemplate(pub Vec<TypePiece>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypePiece {
    Literal(String),
    Schema,
    Table,
    Operation,
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

/// An entry of `tables:`.
#[derive(Clone, Debug)]
pub struct TableRules {
    /// As the config writes it, for messages.
    pub name: Arc<str>,
    pub pattern: TablePattern,
    pub columns: ColumnSelection,
    /// The ordering key, when the config names one.
    pub key: Option<Vec<String>>,
    /// Never empty.
    pub rules: Vec<Rule>,
}
