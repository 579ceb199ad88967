//! The messages of pgoutput, protocol version 1, borrowed from the read buffer.
//!
//! <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>

use std::borrow::Cow;
use std::sync::Arc;

use crate::change::{Column, OldRows, OldTuple, Relation, ReplicaIdentity, TableName, Tuple};
use crate::lsn::Lsn;

/// One message. Times are microseconds since 2000-01-01 UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// `B`. `final_lsn` is the LSN of the commit record.
    Begin {
        final_lsn: Lsn,
        commit_time_us: i64,
        xid: u32,
    },
    /// `C`. `end_lsn` is what may be confirmed once the transaction is settled.
    Commit {
        commit_lsn: Lsn,
        end_lsn: Lsn,
        commit_time_us: i64,
    },
    /// `O`: the transaction was replicated here; follows its Begin.
    Origin { commit_lsn: Lsn, name: Cow<'a, str> },
    /// `R`: precedes the first row of a relation, and the next one after any change to it.
    Relation(RelationHeader<'a>),
    /// `Y`: the name of a type that is not built in.
    Type {
        oid: u32,
        schema: Cow<'a, str>,
        name: Cow<'a, str>,
    },
    /// `I`
    Insert { relation: u32, new: Tuple<'a> },
    /// `U`. `old` is there when the identity's columns changed or are toasted, and under FULL.
    Update {
        relation: u32,
        old: Option<OldTuple<'a>>,
        new: Tuple<'a>,
    },
    /// `D`
    Delete { relation: u32, old: OldTuple<'a> },
    /// `T`: several relations at once.
    Truncate {
        cascade: bool,
        restart_identity: bool,
        relations: Oids<'a>,
    },
    /// `M`: `pg_logical_emit_message`. Not transactional: `lsn` is its own.
    Logical {
        transactional: bool,
        lsn: Lsn,
        prefix: Cow<'a, str>,
        content: &'a [u8],
    },
}

/// A Relation message. Its columns are read in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationHeader<'a> {
    pub oid: u32,
    /// The wire's empty name stands for `pg_catalog`, and is replaced by it here.
    pub schema: Cow<'a, str>,
    pub name: Cow<'a, str>,
    pub identity: ReplicaIdentity,
    pub columns: Columns<'a>,
}

impl RelationHeader<'_> {
    /// The relation with `key`: the places of the real key's columns, from the catalog.
    pub fn into_relation(self, key: Vec<usize>) -> Relation {
        Relation {
            oid: self.oid,
            name: Arc::new(TableName::new(self.schema, self.name)),
            identity: self.identity,
            columns: self
                .columns
                .map(|column| Column {
                    name: column.name.into_owned(),
                    type_oid: column.type_oid,
                    type_modifier: column.type_modifier,
                    in_identity: column.in_identity,
                })
                .collect(),
            old_rows: OldRows::AsAnnounced,
            key,
        }
    }
}

/// A column in a Relation message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnHeader<'a> {
    pub name: Cow<'a, str>,
    pub type_oid: u32,
    /// `pg_attribute.atttypmod`, -1 when there is none.
    pub type_modifier: i32,
    /// Part of the replica identity; under FULL every column is.
    pub in_identity: bool,
}

/// The columns of a Relation message, which the decoder has checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns<'a> {
    pub(super) left: u16,
    pub(super) bytes: &'a [u8],
}

impl<'a> Iterator for Columns<'a> {
    type Item = ColumnHeader<'a>;

    fn next(&mut self) -> Option<ColumnHeader<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (flags, rest) = self.bytes.split_first()?;
        let (name, rest) = rest.split_at_checked(memchr::memchr(0, rest)?)?;
        let (_zero, rest) = rest.split_first()?;
        let (type_oid, rest) = rest.split_first_chunk()?;
        let (type_modifier, rest) = rest.split_first_chunk()?;
        self.bytes = rest;
        Some(ColumnHeader {
            name: String::from_utf8_lossy(name),
            type_oid: u32::from_be_bytes(*type_oid),
            type_modifier: i32::from_be_bytes(*type_modifier),
            in_identity: flags & 1 != 0,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for Columns<'_> {}

/// The relations of a TRUNCATE, in the message's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oids<'a> {
    pub(super) bytes: &'a [u8],
}

impl Iterator for Oids<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (oid, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(u32::from_be_bytes(*oid))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.bytes.len() / 4, Some(self.bytes.len() / 4))
    }
}

impl ExactSizeIterator for Oids<'_> {}
