//! What one message means.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::change::{Change, Operation, Relation, Transaction};
use crate::lsn::Lsn;
use crate::pgoutput::message::{Oids, RelationHeader};

/// What one message means. Borrows the reader and the message's bytes.
#[derive(Clone, Debug)]
pub enum Step<'a> {
    /// Its `origin` is not known before the next step.
    Begin(&'a Transaction),
    Change(Change<'a>),
    Truncate(Truncation<'a>),
    Message(LogicalMessage<'a>),
    /// To be completed with the key's columns and given to
    /// [`Reader::bind`](super::Reader::bind): rows that come before are an error.
    Relation(RelationHeader<'a>),
    /// `end_lsn` is what may be confirmed once all of the transaction is settled.
    Commit {
        transaction: Transaction,
        end_lsn: Lsn,
    },
    /// An Origin or a Type.
    Nothing,
}

/// A TRUNCATE: a change for each of its relations, all of which are bound.
#[derive(Clone, Debug)]
pub struct Truncation<'a> {
    pub transaction: &'a Transaction,
    pub cascade: bool,
    pub restart_identity: bool,
    pub(super) first_ordinal: u64,
    pub(super) oids: Oids<'a>,
    pub(super) relations: &'a HashMap<u32, Relation>,
}

impl<'a> Truncation<'a> {
    /// One change per relation, in the message's order.
    pub fn changes(&self) -> impl Iterator<Item = Change<'a>> + use<'a> {
        let transaction = self.transaction;
        let relations = self.relations;
        let ordinals = self.first_ordinal..;
        ordinals
            .zip(self.oids.clone())
            .filter_map(move |(ordinal, oid)| {
                Some(Change {
                    transaction,
                    ordinal,
                    relation: relations.get(&oid)?,
                    operation: Operation::Truncate,
                    new: None,
                    old: None,
                })
            })
    }
}

/// What `pg_logical_emit_message` wrote.
///
/// <https://www.postgresql.org/docs/current/functions-admin.html#PG-LOGICAL-EMIT-MESSAGE>
#[derive(Clone, Debug)]
pub struct LogicalMessage<'a> {
    pub place: MessagePlace<'a>,
    pub prefix: Cow<'a, str>,
    pub content: &'a [u8],
}

impl LogicalMessage<'_> {
    pub fn is_transactional(&self) -> bool {
        matches!(self.place, MessagePlace::Change { .. })
    }
}

#[derive(Clone, Copy, Debug)]
pub enum MessagePlace<'a> {
    /// Transactional: one of the transaction's changes.
    Change {
        transaction: &'a Transaction,
        ordinal: u64,
    },
    /// Not transactional: stands alone, at the LSN where its record ends, also if the
    /// transaction that wrote it rolled back. A commit record can begin there: its
    /// transaction comes later.
    Alone { lsn: Lsn },
}
