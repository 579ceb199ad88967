//! What mapping tells its caller beside the events.

use std::fmt;
use std::sync::Arc;

use super::failure::FailureKind;
use crate::event::Event;

/// What a Relation message led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    pub problems: Vec<BindProblem>,
    /// Places of the columns by which its rows are ordered.
    pub key: Vec<usize>,
}

/// The config asks of a table what it does not have. Mapping goes on: what names
/// such a column fails on every row, as `when_error` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindProblem {
    /// `named_in` is a key path of the config.
    NoColumn { named_in: String, column: String },
    /// Two rules with the same type go to the same endpoints; those get the event
    /// of the first alone.
    SameType {
        first: Arc<str>,
        second: Arc<str>,
        event_type: Arc<str>,
    },
    /// An endpoint orders by key, and the table has none: all its rows stay in order.
    NoKey,
}

impl fmt::Display for BindProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindProblem::NoColumn { named_in, column } => {
                write!(
                    f,
                    "{named_in} names column \"{column}\", which the table does not have"
                )
            }
            BindProblem::SameType {
                first,
                second,
                event_type,
            } => write!(
                f,
                "{first} and {second} both make \"{event_type}\" for the same endpoint, which gets the first alone"
            ),
            BindProblem::NoKey => {
                f.write_str("an endpoint has order: key, but the table has no key")
            }
        }
    }
}

/// What became of a change.
#[derive(Clone, Debug)]
pub struct Mapped {
    pub matched: Matched,
    /// Events for the dead letters, of rules with `when_error: dead_letter`.
    pub parked: Vec<ParkedEvent>,
    /// Conditions and payloads without a result, in the order of the rules.
    pub failures: Vec<RuleFailure>,
    /// The types of columns with values that did not have their form; those went
    /// as text. To read the types again and map the change again changes no id.
    pub misfit_types: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// At least one event was made.
    Matched,
    /// No rule wants the change.
    Filtered,
    /// No rule speaks of the table, or it was not bound.
    Unbound,
}

/// An event that goes to the dead letters at once. It has its place among the
/// change's events to its endpoint, `n` and `last_of_change` as they all have.
#[derive(Clone, Debug)]
pub struct ParkedEvent {
    pub event: Event,
    /// The rule's key path.
    pub rule: Arc<str>,
    pub kind: FailureKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFailure {
    /// The rule's key path.
    pub rule: Arc<str>,
    pub kind: FailureKind,
    pub seen: Seen,
}

/// Whether a rule failed so before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The first time since start: worth a warning.
    First,
    Again,
}

impl Mapped {
    pub(super) fn of(matched: Matched) -> Self {
        Mapped {
            matched,
            parked: Vec::new(),
            failures: Vec::new(),
            misfit_types: Vec::new(),
        }
    }
}
