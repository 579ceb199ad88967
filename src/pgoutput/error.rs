//! Why bytes of the stream were refused. No error shows a value of a row.

use std::fmt;

use crate::lsn::Lsn;

/// The stream is not what pgoutput writes: a definite failure, because the
/// server sends the same bytes again after a reconnect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// `at` is the byte offset in the message, the tag being byte 0.
    #[error("malformed message {tag} at byte {at}: {problem}")]
    Malformed {
        tag: Tag,
        at: usize,
        problem: Malformed,
    },

    #[error("message {0} outside a transaction")]
    OutsideTransaction(Tag),

    #[error("transaction {found} begins inside transaction {open}")]
    NestedBegin { open: Lsn, found: Lsn },

    #[error("transaction {begun} ends with a commit at {committed}")]
    CommitElsewhere { begun: Lsn, committed: Lsn },

    #[error("commit at {commit} ends before it, at {end}")]
    CommitEndsEarly { commit: Lsn, end: Lsn },

    #[error("origin named after the first change of transaction {0}")]
    LateOrigin(Lsn),

    #[error("relation {0} was not announced")]
    UnknownRelation(u32),

    #[error("row of relation {relation} has {found} columns, expected {expected}")]
    ColumnCount {
        relation: u32,
        expected: usize,
        found: usize,
    },
}

/// What is wrong in one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the message is empty")]
    Empty,
    #[error("unknown message type")]
    UnknownTag,
    #[error("{needed} bytes expected, {left} left")]
    Short { needed: usize, left: usize },
    #[error("a name has no end")]
    UnterminatedName,
    #[error("a length is negative: {0}")]
    NegativeLength(i32),
    #[error("a count is negative: {0}")]
    NegativeCount(i32),
    #[error("{0} bytes left over")]
    Trailing(usize),
    #[error("unknown flags {0:#04x}")]
    UnknownFlags(u8),
    #[error("unknown replica identity")]
    UnknownIdentity,
    #[error("unknown kind of tuple")]
    UnknownTupleKind,
    #[error("unknown kind of value")]
    UnknownValueKind,
    #[error("a value is in binary form, which was not asked for")]
    BinaryValue,
}

/// A message's first byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tag(pub u8);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
