//! A change: what one row (or one TRUNCATE of a relation) went through, as the WAL tells it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::lsn::Lsn;

/// What happened to the row. The order is that of the config file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    Insert,
    Update,
    Delete,
    Truncate,
    /// A logical message: it is no table's.
    Message,
}

impl Operation {
    /// Those of a table.
    pub const ALL: [Operation; 4] = [
        Operation::Insert,
        Operation::Update,
        Operation::Delete,
        Operation::Truncate,
    ];

    /// The word of the config file, of a webhook's `source.operation` and of CEL's `operation`.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Insert => "insert",
            Operation::Update => "update",
            Operation::Delete => "delete",
            Operation::Truncate => "truncate",
            Operation::Message => "message",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A table's schema and name, as Postgres spells them (not folded, not quoted).
/// Printed with a part in double quotes when it has a dot, a star or a quote,
/// as the config file writes it.
///
/// Logical messages are counted, ordered and kept as those of a table would be: an entry
/// of `messages:` stands in its place, in a schema without a name, which no table is in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    pub schema: String,
    pub table: String,
}

impl TableName {
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> Self {
        TableName {
            schema: schema.into(),
            table: table.into(),
        }
    }

    /// Of the messages of an entry of `messages:`, by what the config calls it.
    pub fn of_messages(entry: impl Into<String>) -> Self {
        TableName::new("", entry)
    }

    pub fn is_of_messages(&self) -> bool {
        self.schema.is_empty()
    }
}

/// What the name of messages is printed with: `message order.paid`.
const MESSAGE: &str = "message ";

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_of_messages() {
            return write!(f, "{MESSAGE}{}", self.table);
        }
        let part = |f: &mut fmt::Formatter<'_>, name: &str| {
            let quoted = name.contains(['.', '*', '"']) || name.starts_with(MESSAGE);
            if quoted || name.is_empty() {
                write!(f, "\"{}\"", name.replace('"', "\"\""))
            } else {
                f.write_str(name)
            }
        };
        part(f, &self.schema)?;
        f.write_str(".")?;
        part(f, &self.table)
    }
}

/// What a table's replica identity makes the WAL carry of an old row.
///
/// <https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-REPLICA-IDENTITY>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// `d`: the primary key's columns.
    Default,
    /// `n`: nothing.
    Nothing,
    /// `f`: all columns.
    Full,
    /// `i`: the columns of a chosen unique index.
    Index,
}

/// Whether `identity` and `in_identity` hold of the old row of every change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OldRows {
    #[default]
    AsAnnounced,
    /// The rows of a partitioned table are those of its leaves, and one of these has another
    /// identity: what it does not carry comes as null.
    NullsUnknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// `pg_type.oid` at the time of the change.
    pub type_oid: u32,
    /// `pg_attribute.atttypmod`, -1 when there is none.
    pub type_modifier: i32,
    /// Part of the replica identity; under FULL every column is.
    pub in_identity: bool,
}

/// A table as the latest Relation message of this connection describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    pub oid: u32,
    pub name: Arc<TableName>,
    pub identity: ReplicaIdentity,
    pub columns: Vec<Column>,
    pub old_rows: OldRows,
    /// Places in `columns` of the real key: the primary key, else the identity
    /// index; empty when there is neither. From the catalog, because under FULL
    /// the Relation message marks every column.
    pub key: Vec<usize>,
}

impl Relation {
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The places of the real key's columns, in order, when the catalog says now that these
    /// are its names. The stream is as old as the rows, so what it says comes first: under
    /// DEFAULT it marks the primary key.
    pub fn key_by(&self, catalog: &[String]) -> Vec<usize> {
        let marked = || -> Vec<usize> {
            let places = self.columns.iter().enumerate();
            let marked = places.filter(|(_, column)| column.in_identity);
            marked.map(|(place, _)| place).collect()
        };
        if self.identity == ReplicaIdentity::Default {
            let marked = marked();
            if !marked.is_empty() {
                return marked;
            }
        }
        let names = catalog.iter().map(|name| self.column(name));
        match names.collect::<Option<Vec<usize>>>() {
            Some(mut key) if !key.is_empty() => {
                key.sort_unstable();
                key
            }
            // Half a key orders nothing.
            _ if self.identity == ReplicaIdentity::Index => marked(),
            _ => Vec::new(),
        }
    }

    /// Whether a leaf of this table carries at least the old columns that this announces.
    pub fn carries_like(&self, leaf: &Relation) -> bool {
        let marked = |relation: &Relation| -> BTreeSet<String> {
            let columns = relation.columns.iter().filter(|column| column.in_identity);
            columns.map(|column| column.name.clone()).collect()
        };
        match (self.identity, leaf.identity) {
            (_, ReplicaIdentity::Full) => true,
            (ReplicaIdentity::Full, _) => false,
            _ => marked(self) == marked(leaf),
        }
    }
}

/// One value of a tuple, in the text form of the type's output function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Null,
    /// A TOASTed value that the UPDATE did not touch: the WAL does not carry it.
    Unchanged,
    /// UTF-8, save for a database in SQL_ASCII.
    Text(&'a [u8]),
}

/// The values of a row in the order of the relation's columns, read in place.
///
/// The bytes are those of a TupleData after its column count; the decoder checked
/// that they hold exactly `columns` values.
/// <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple<'a> {
    columns: u16,
    bytes: &'a [u8],
}

impl<'a> Tuple<'a> {
    /// `bytes` must have been checked to hold exactly `columns` values. If they
    /// do not, the iterator ends early; it does not panic.
    pub fn new(columns: u16, bytes: &'a [u8]) -> Self {
        Tuple { columns, bytes }
    }

    pub fn len(&self) -> usize {
        usize::from(self.columns)
    }

    pub fn is_empty(&self) -> bool {
        self.columns == 0
    }

    pub fn values(&self) -> Values<'a> {
        Values {
            left: self.columns,
            bytes: self.bytes,
        }
    }

    /// The value of the column at `index`, walking there.
    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        self.values().nth(index)
    }
}

/// The values of a [`Tuple`], first column first.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    left: u16,
    bytes: &'a [u8],
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (&kind, rest) = self.bytes.split_first()?;
        match kind {
            b'n' => {
                self.bytes = rest;
                Some(Value::Null)
            }
            b'u' => {
                self.bytes = rest;
                Some(Value::Unchanged)
            }
            b't' => {
                let (length, rest) = rest.split_first_chunk::<4>()?;
                let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
                let (text, rest) = rest.split_at_checked(length)?;
                self.bytes = rest;
                Some(Value::Text(text))
            }
            _ => None,
        }
    }
}

/// What the WAL has of the row before the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldTuple<'a> {
    /// The columns of the replica identity; every other column is null and means nothing.
    Key(Tuple<'a>),
    /// The whole row (REPLICA IDENTITY FULL).
    Full(Tuple<'a>),
}

impl<'a> OldTuple<'a> {
    pub fn tuple(&self) -> Tuple<'a> {
        match self {
            OldTuple::Key(tuple) | OldTuple::Full(tuple) => *tuple,
        }
    }
}

/// In the place of a commit's time, where there was no commit.
pub const NO_TIME: i64 = i64::MIN;

/// A committed transaction, known from its BEGIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// LSN of the commit record. It orders transactions and is what a webhook calls `lsn`.
    pub commit_lsn: Lsn,
    /// Microseconds since 2000-01-01 UTC. Not in the order of commit LSNs.
    pub commit_time_us: i64,
    /// 0: of a message that stands alone, in the place of a transaction.
    pub xid: u32,
    /// Name of the replication origin, when the change was replicated from elsewhere.
    pub origin: Option<Arc<str>>,
}

/// One change of one row, the truncation of one relation, or a logical message as the
/// row that mapping makes of it.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub transaction: &'a Transaction,
    /// Counted from 1 over every row change, every transactional message and one
    /// per relation of a TRUNCATE, whatever a rule wants.
    pub ordinal: u64,
    pub relation: &'a Relation,
    pub operation: Operation,
    /// The row as it is now: of an insert and an update.
    pub new: Option<Tuple<'a>>,
    /// The row as it was, as far as the WAL has it: of an update and a delete.
    pub old: Option<OldTuple<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_is_read_in_place() {
        let bytes = b"nut\0\0\0\x02hit\0\0\0\0";
        let tuple = Tuple::new(4, bytes);
        let values: Vec<_> = tuple.values().collect();
        assert_eq!(
            values,
            [
                Value::Null,
                Value::Unchanged,
                Value::Text(b"hi"),
                Value::Text(b"")
            ]
        );
        assert_eq!(tuple.get(2), Some(Value::Text(b"hi")));
        assert_eq!(tuple.get(4), None);
    }

    #[test]
    fn a_table_name_is_printed_as_the_config_writes_it() {
        assert_eq!(
            TableName::new("public", "orders").to_string(),
            "public.orders"
        );
        assert_eq!(
            TableName::new("a.b", "c\"d").to_string(),
            "\"a.b\".\"c\"\"d\""
        );
    }

    #[test]
    fn the_name_of_messages_is_that_of_no_table() {
        let messages = TableName::of_messages("order.paid");
        assert_eq!(messages.to_string(), "message order.paid");
        let table = TableName::new("message order", "paid");
        assert_eq!(table.to_string(), "\"message order\".paid");
    }

    fn relation(identity: ReplicaIdentity, columns: &[(&str, bool)]) -> Relation {
        let columns = columns.iter().map(|(name, in_identity)| Column {
            name: (*name).to_owned(),
            type_oid: 23,
            type_modifier: -1,
            in_identity: *in_identity,
        });
        Relation {
            oid: 1,
            name: Arc::new(TableName::new("public", "t")),
            identity,
            columns: columns.collect(),
            old_rows: OldRows::AsAnnounced,
            key: Vec::new(),
        }
    }

    /// The catalog is that of now, the relation as old as its rows.
    #[test]
    fn the_key_is_that_of_the_stream_before_it_is_that_of_the_catalog() {
        use ReplicaIdentity::{Default, Full, Index};
        let key = |identity, columns, catalog: &[&str]| {
            let catalog: Vec<String> = catalog.iter().map(|&name| name.to_owned()).collect();
            relation(identity, columns).key_by(&catalog)
        };
        let by_a = &[("a", true), ("b", false)];
        assert_eq!(key(Default, by_a, &["renamed"]), [0]);
        assert_eq!(
            key(Default, &[("a", false), ("b", false)], &["b", "a"]),
            [0, 1]
        );
        assert_eq!(key(Full, &[("a", true), ("b", true)], &["b"]), [1]);
        assert_eq!(
            key(Full, &[("a", true), ("b", true)], &["b", "gone"]),
            [0; 0]
        );
        assert_eq!(key(Full, &[("a", true), ("b", true)], &[]), [0; 0]);
        assert_eq!(key(Index, by_a, &["b"]), [1]);
        assert_eq!(key(Index, by_a, &["gone"]), [0]);
    }

    #[test]
    fn a_leaf_carries_what_its_root_announces_or_more() {
        use ReplicaIdentity::{Default, Full, Index};
        let by_a = relation(Default, &[("a", true), ("b", false)]);
        let by_b = relation(Index, &[("b", true), ("a", false)]);
        let full = relation(Full, &[("b", true), ("a", true)]);
        let likewise = relation(Index, &[("b", false), ("a", true)]);
        assert!(by_a.carries_like(&likewise) && by_a.carries_like(&full));
        assert!(!by_a.carries_like(&by_b) && !full.carries_like(&by_a));
        assert!(full.carries_like(&full));
    }
}
