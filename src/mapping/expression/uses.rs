//! Uses: which columns an expression reads, and of which row.

use std::collections::BTreeSet;

use super::super::row::Side;

/// The columns read of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Columns {
    /// In the order of the alphabet; empty when the row is not read.
    Named(BTreeSet<String>),
    /// The row is used as a whole, or a column whose name is worked out.
    All,
}

/// What an expression reads.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Uses {
    pub new: Columns,
    pub old: Columns,
    /// The columns of `changed("...")`.
    pub changed: BTreeSet<String>,
    /// Columns that `has(...)` or `.?` asks for: they need not exist.
    pub asked: BTreeSet<String>,
    /// Rows that are used as a whole.
    pub whole: BTreeSet<Side>,
}

impl Default for Columns {
    fn default() -> Self {
        Columns::Named(BTreeSet::new())
    }
}

impl Columns {
    pub fn names(&self) -> impl Iterator<Item = &String> {
        match self {
            Columns::Named(names) => Some(names).into_iter().flatten(),
            Columns::All => None.into_iter().flatten(),
        }
    }

    pub fn is_none(&self) -> bool {
        matches!(self, Columns::Named(names) if names.is_empty())
    }

    fn add(&mut self, column: &str) {
        if let Columns::Named(names) = self {
            names.insert(column.to_owned());
        }
    }

    fn join(&mut self, other: &Columns) {
        match other {
            Columns::All => *self = Columns::All,
            Columns::Named(_) => other.names().for_each(|name| self.add(name)),
        }
    }
}

impl Uses {
    fn side_mut(&mut self, side: Side) -> &mut Columns {
        match side {
            Side::New => &mut self.new,
            Side::Old => &mut self.old,
        }
    }

    pub(super) fn add(&mut self, side: Side, column: &str) {
        self.side_mut(side).add(column);
    }

    /// A column whose name is worked out.
    pub(super) fn add_any(&mut self, side: Side) {
        *self.side_mut(side) = Columns::All;
    }

    pub(super) fn add_whole(&mut self, side: Side) {
        self.add_any(side);
        self.whole.insert(side);
    }

    /// As one that does both.
    pub fn join(&mut self, other: &Uses) {
        self.new.join(&other.new);
        self.old.join(&other.old);
        self.changed.extend(other.changed.iter().cloned());
        self.asked.extend(other.asked.iter().cloned());
        self.whole.extend(&other.whole);
    }

    pub fn needs_old(&self) -> bool {
        !self.old.is_none() || !self.changed.is_empty()
    }

    /// The columns that the table must have.
    pub fn columns(&self) -> Vec<String> {
        let named = self.new.names().chain(self.old.names());
        let mut columns: Vec<String> = named
            .chain(&self.changed)
            .filter(|name| !self.asked.contains(*name))
            .cloned()
            .collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}
