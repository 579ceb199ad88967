//! A row as a rule sees it: what is known of each column, new and old.
//!
//! Postgres does not send all. An UPDATE leaves out TOASTed values that it did
//! not touch, and of the old row it sends what the replica identity says: all
//! columns, the identity's columns when one of them changed (or was TOASTed), or
//! nothing. What follows from that is decided here and nowhere else.

use super::failure::FailureKind;
use super::plan::TablePlan;
use crate::change::{Change, OldRows, OldTuple, Operation, ReplicaIdentity, Value};
use crate::pgoutput::value::LargeNumbers;

/// A value that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'a> {
    Null,
    Text(&'a [u8]),
}

/// The values of a change's tuples, for access by place.
#[derive(Debug, Default)]
pub struct Cells<'a> {
    new: Vec<Value<'a>>,
    old: Vec<Value<'a>>,
}

impl<'a> Cells<'a> {
    pub fn of(change: &Change<'a>, space: Cells<'_>) -> Self {
        let mut cells = space.emptied();
        if let Some(new) = &change.new {
            cells.new.extend(new.values());
        }
        if let Some(old) = &change.old {
            cells.old.extend(old.tuple().values());
        }
        cells
    }

    /// The same allocations, for values of another lifetime.
    pub fn emptied<'b>(mut self) -> Cells<'b> {
        self.new.clear();
        self.old.clear();
        Cells {
            new: self.new.into_iter().map(|_| Value::Null).collect(),
            old: self.old.into_iter().map(|_| Value::Null).collect(),
        }
    }
}

/// Which row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    New,
    Old,
}

#[derive(Clone, Copy, Debug)]
enum Old<'a> {
    /// The columns of the identity alone.
    Key(&'a [Value<'a>]),
    Full(&'a [Value<'a>]),
    /// An update that left the identity's columns as they were.
    SameKey,
    None,
}

/// One change of one row.
#[derive(Clone, Copy, Debug)]
pub struct RowView<'a> {
    pub table: &'a TablePlan,
    pub operation: Operation,
    /// As whoever it is rendered for wants them.
    pub large_numbers: LargeNumbers,
    new: Option<&'a [Value<'a>]>,
    old: Old<'a>,
    old_rows: OldRows,
}

impl<'a> RowView<'a> {
    pub fn new(table: &'a TablePlan, change: &Change<'_>, cells: &'a Cells<'a>) -> Self {
        // Under FULL every column is marked, and an old row always comes.
        let (identity, old_rows) = (change.relation.identity, change.relation.old_rows);
        let has_same_key = identity != ReplicaIdentity::Full && old_rows == OldRows::AsAnnounced;
        RowView {
            table,
            operation: change.operation,
            large_numbers: LargeNumbers::Numbers,
            new: change.new.map(|_| &*cells.new),
            old: match (&change.old, change.operation) {
                (Some(OldTuple::Full(_)), _) => Old::Full(&cells.old),
                (Some(OldTuple::Key(_)), _) => Old::Key(&cells.old),
                (None, Operation::Update) if has_same_key => Old::SameKey,
                (None, _) => Old::None,
            },
            old_rows,
        }
    }

    pub fn value(&self, side: Side, column: usize) -> Result<Known<'a>, FailureKind> {
        match side {
            Side::New => self.new_value(column),
            Side::Old => self.old_value(column),
        }
    }

    /// A value that the UPDATE did not touch is the old one, where that is known.
    pub fn new_value(&self, column: usize) -> Result<Known<'a>, FailureKind> {
        let new = self.new.ok_or(FailureKind::NoRow)?;
        match new.get(column).ok_or(FailureKind::NoSuchColumn)? {
            Value::Null => Ok(Known::Null),
            Value::Text(text) => Ok(Known::Text(text)),
            Value::Unchanged => self.old_tuple_value(column).ok_or(FailureKind::Unchanged),
        }
    }

    pub fn old_value(&self, column: usize) -> Result<Known<'a>, FailureKind> {
        if let Some(known) = self.old_tuple_value(column) {
            return Ok(known);
        }
        if column >= self.table.columns.len() {
            return Err(FailureKind::NoSuchColumn);
        }
        match (self.old, self.operation) {
            (Old::SameKey, _) if self.in_identity(column) => {
                self.new_value(column).map_err(|_| FailureKind::OldUnknown)
            }
            (_, Operation::Truncate) => Err(FailureKind::NoRow),
            _ => Err(FailureKind::OldUnknown),
        }
    }

    /// Whether the change changed the column: an insert and a delete change all.
    pub fn changed(&self, column: usize) -> Result<bool, FailureKind> {
        match self.operation {
            Operation::Insert | Operation::Delete | Operation::Message => return Ok(true),
            Operation::Truncate => return Err(FailureKind::NoRow),
            Operation::Update => {}
        }
        let new = self.new.ok_or(FailureKind::NoRow)?;
        let new = match new.get(column).ok_or(FailureKind::NoSuchColumn)? {
            Value::Unchanged => return Ok(false),
            Value::Null => Known::Null,
            Value::Text(text) => Known::Text(text),
        };
        match (self.old_tuple_value(column), self.old) {
            (Some(old), _) => Ok(old != new),
            (None, Old::SameKey) if self.in_identity(column) => Ok(false),
            (None, _) => Err(FailureKind::OldUnknown),
        }
    }

    /// Whether `previous` has anything to say: a key that is in the WAL because it
    /// was TOASTed did not change.
    pub fn has_previous(&self) -> bool {
        match self.old {
            Old::Full(_) => self.operation == Operation::Update,
            Old::Key(_) => {
                let columns = 0..self.table.columns.len();
                self.operation == Operation::Update
                    && columns
                        .into_iter()
                        .any(|at| self.in_identity(at) && self.changed(at) == Ok(true))
            }
            Old::SameKey | Old::None => false,
        }
    }

    /// What the old tuple itself says. Nulls of a key tuple's other columns mean nothing, and
    /// those of its own are not there: columns of an identity are NOT NULL.
    fn old_tuple_value(&self, column: usize) -> Option<Known<'a>> {
        let old = match self.old {
            Old::Full(old) => old,
            Old::Key(old) if self.in_identity(column) => old,
            Old::Key(_) | Old::SameKey | Old::None => return None,
        };
        let is_whole = matches!(self.old, Old::Full(_)) && self.old_rows == OldRows::AsAnnounced;
        match old.get(column)? {
            Value::Null => is_whole.then_some(Known::Null),
            Value::Text(text) => Some(Known::Text(text)),
            Value::Unchanged => None,
        }
    }

    fn in_identity(&self, column: usize) -> bool {
        let column = self.table.columns.get(column);
        column.is_some_and(|column| column.in_identity)
    }
}
