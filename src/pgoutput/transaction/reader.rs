//! The state machine over messages.

use std::collections::HashMap;
use std::sync::Arc;

use super::step::{LogicalMessage, MessagePlace, Step, Truncation};
use crate::change::{Change, OldTuple, Operation, Relation, Transaction, Tuple};
use crate::lsn::Lsn;
use crate::pgoutput::error::{DecodeError, Tag};
use crate::pgoutput::message::{Message, Oids};

/// What is known on one connection: the open transaction and the relations.
#[derive(Debug, Default)]
pub struct Reader {
    open: Option<Open>,
    relations: HashMap<u32, Relation>,
    /// The latest origin: transactions that follow one another often share it.
    origin: Option<Arc<str>>,
}

#[derive(Debug)]
struct Open {
    transaction: Transaction,
    /// Of the latest change; 0 before the first.
    ordinal: u64,
}

/// A row message, its relation not yet looked up.
struct Row<'a> {
    tag: Tag,
    relation: u32,
    operation: Operation,
    old: Option<OldTuple<'a>>,
    new: Option<Tuple<'a>>,
}

impl Reader {
    /// For a connection that is about to stream.
    pub fn new() -> Self {
        Reader::default()
    }

    /// The open transaction: its BEGIN was read, its COMMIT was not.
    pub fn transaction(&self) -> Option<&Transaction> {
        self.open.as_ref().map(|open| &open.transaction)
    }

    /// A relation that was bound, as its latest announcement describes it.
    pub fn relation(&self, oid: u32) -> Option<&Relation> {
        self.relations.get(&oid)
    }

    pub fn relation_mut(&mut self, oid: u32) -> Option<&mut Relation> {
        self.relations.get_mut(&oid)
    }

    /// All that are bound.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values()
    }

    /// From here on rows of its OID are read as rows of `relation`.
    pub fn bind(&mut self, relation: Relation) {
        self.relations.insert(relation.oid, relation);
    }

    /// The latest message, a change, is going to be given once more.
    pub fn unread_change(&mut self) {
        if let Some(open) = &mut self.open {
            open.ordinal = open.ordinal.saturating_sub(1);
        }
    }

    /// Takes the next message of the stream.
    ///
    /// # Errors
    /// The message does not follow from those before it. The connection is then
    /// to be given up, and this reader with it.
    pub fn step<'a>(&'a mut self, message: Message<'a>) -> Result<Step<'a>, DecodeError> {
        match message {
            Message::Insert { relation, new } => self.row(Row {
                tag: Tag(b'I'),
                relation,
                operation: Operation::Insert,
                old: None,
                new: Some(new),
            }),
            Message::Update { relation, old, new } => self.row(Row {
                tag: Tag(b'U'),
                relation,
                operation: Operation::Update,
                old,
                new: Some(new),
            }),
            Message::Delete { relation, old } => self.row(Row {
                tag: Tag(b'D'),
                relation,
                operation: Operation::Delete,
                old: Some(old),
                new: None,
            }),
            Message::Truncate {
                cascade,
                restart_identity,
                relations,
            } => {
                let (transaction, first_ordinal) =
                    truncate(&mut self.open, &self.relations, &relations)?;
                Ok(Step::Truncate(Truncation {
                    transaction,
                    cascade,
                    restart_identity,
                    first_ordinal,
                    oids: relations,
                    relations: &self.relations,
                }))
            }
            Message::Logical {
                transactional,
                lsn,
                prefix,
                content,
            } => Ok(Step::Message(LogicalMessage {
                place: if transactional {
                    numbered(&mut self.open)?
                } else {
                    MessagePlace::Alone { lsn }
                },
                prefix,
                content,
            })),
            Message::Begin {
                final_lsn,
                commit_time_us,
                xid,
            } => self.begin(Transaction {
                commit_lsn: final_lsn,
                commit_time_us,
                xid,
                origin: None,
            }),
            Message::Commit {
                commit_lsn,
                end_lsn,
                ..
            } => self.commit(commit_lsn, end_lsn),
            Message::Origin { name, .. } => self.name_origin(&name),
            Message::Relation(header) => {
                self.relations.remove(&header.oid);
                Ok(Step::Relation(header))
            }
            Message::Type { .. } => Ok(Step::Nothing),
        }
    }

    fn begin(&mut self, transaction: Transaction) -> Result<Step<'_>, DecodeError> {
        if let Some(open) = &self.open {
            return Err(DecodeError::NestedBegin {
                open: open.transaction.commit_lsn,
                found: transaction.commit_lsn,
            });
        }
        let open = self.open.insert(Open {
            transaction,
            ordinal: 0,
        });
        Ok(Step::Begin(&open.transaction))
    }

    fn commit(&mut self, commit_lsn: Lsn, end_lsn: Lsn) -> Result<Step<'static>, DecodeError> {
        let begun = inside(&mut self.open, Tag(b'C'))?.transaction.commit_lsn;
        if begun != commit_lsn {
            return Err(DecodeError::CommitElsewhere {
                begun,
                committed: commit_lsn,
            });
        }
        if end_lsn < commit_lsn {
            return Err(DecodeError::CommitEndsEarly {
                commit: commit_lsn,
                end: end_lsn,
            });
        }
        match self.open.take() {
            Some(Open { transaction, .. }) => Ok(Step::Commit {
                transaction,
                end_lsn,
            }),
            None => Err(DecodeError::OutsideTransaction(Tag(b'C'))),
        }
    }

    fn name_origin(&mut self, name: &str) -> Result<Step<'static>, DecodeError> {
        let open = inside(&mut self.open, Tag(b'O'))?;
        if open.ordinal > 0 {
            return Err(DecodeError::LateOrigin(open.transaction.commit_lsn));
        }
        let origin = match self.origin.take() {
            Some(latest) if *latest == *name => latest,
            _ => Arc::from(name),
        };
        open.transaction.origin = Some(Arc::clone(&origin));
        self.origin = Some(origin);
        Ok(Step::Nothing)
    }

    fn row<'a>(&'a mut self, row: Row<'a>) -> Result<Step<'a>, DecodeError> {
        let open = inside(&mut self.open, row.tag)?;
        let relation = self
            .relations
            .get(&row.relation)
            .ok_or(DecodeError::UnknownRelation(row.relation))?;
        let expected = relation.columns.len();
        for tuple in row.old.map(|old| old.tuple()).iter().chain(&row.new) {
            if tuple.len() != expected {
                return Err(DecodeError::ColumnCount {
                    relation: row.relation,
                    expected,
                    found: tuple.len(),
                });
            }
        }
        open.ordinal += 1;
        Ok(Step::Change(Change {
            transaction: &open.transaction,
            ordinal: open.ordinal,
            relation,
            operation: row.operation,
            new: row.new,
            old: row.old,
        }))
    }
}

fn inside(open: &mut Option<Open>, tag: Tag) -> Result<&mut Open, DecodeError> {
    open.as_mut().ok_or(DecodeError::OutsideTransaction(tag))
}

/// Numbers the relations of a TRUNCATE; the number of the first.
fn truncate<'a>(
    open: &'a mut Option<Open>,
    relations: &HashMap<u32, Relation>,
    oids: &Oids<'_>,
) -> Result<(&'a Transaction, u64), DecodeError> {
    let open = inside(open, Tag(b'T'))?;
    let first = open.ordinal + 1;
    for oid in oids.clone() {
        if !relations.contains_key(&oid) {
            return Err(DecodeError::UnknownRelation(oid));
        }
        open.ordinal += 1;
    }
    Ok((&open.transaction, first))
}

/// The place of a transactional message.
fn numbered(open: &mut Option<Open>) -> Result<MessagePlace<'_>, DecodeError> {
    let open = inside(open, Tag(b'M'))?;
    open.ordinal += 1;
    Ok(MessagePlace::Change {
        transaction: &open.transaction,
        ordinal: open.ordinal,
    })
}
