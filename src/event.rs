//! An event: a change under the name that a rule gives it, rendered for one endpoint.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::change::{Operation, TableName};
use crate::lsn::Lsn;

/// An endpoint's place in the config file's list of endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointIndex(pub usize);

/// 128 bits that name an event for ever: `evt_` and 32 hexadecimal digits, no dot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub [u8; 16]);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evt_{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How far a lane is: all changes before `ordinal` of the transaction at `lsn`
/// are settled in it, and the first `n` events of the change `ordinal`.
/// So an event at a lower [`Position`] is settled, one at it or above is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Commit LSN; of a message that is not transactional its own.
    pub lsn: Lsn,
    /// From 1; 0 of a message that is not transactional. It comes before a transaction
    /// with its LSN: that is where its record ends, and the commit's may begin there.
    pub ordinal: u64,
    pub n: u32,
}

impl Position {
    /// Before everything of the transaction that commits at `lsn`.
    pub fn start_of(lsn: Lsn) -> Self {
        Position {
            lsn,
            ordinal: 0,
            n: 0,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} change {} event {}", self.lsn, self.ordinal, self.n)
    }
}

/// What orders an event with `order: key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keys {
    /// Not known or all rows (a TRUNCATE): ordered with every row.
    All,
    /// Hash of table and key.
    One(u64),
    /// The key changed: hash of the old and of the new one, which differ.
    Two(u64, u64),
}

/// What is to become of an event when it heads its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Deliver,
    DeadLetter(Unsent),
}

/// Why an event is not even attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// Its rule failed on the row, with `when_error: dead_letter`.
    RuleFailed,
    /// Its body is larger than the endpoint takes, with `oversize: dead_letter`.
    TooLarge,
}

/// Takes memory back from an event that is gone.
pub trait Lender: Send + Sync {
    fn give_back(&self, bytes: u64);

    /// They are held for an event that is on disk, too, and nobody need wait for them.
    fn on_disk(&self, bytes: u64);
}

/// An event's share of the memory that all events may take; it goes back when the
/// event is dropped, wherever that is. A clone takes none of its own.
#[derive(Default)]
pub struct Room(Option<Lent>);

struct Lent {
    lender: Arc<dyn Lender>,
    bytes: u64,
    on_disk: AtomicBool,
}

impl Room {
    /// `bytes` must have been taken from the lender.
    pub fn of(lender: Arc<dyn Lender>, bytes: u64) -> Self {
        Room(Some(Lent {
            lender,
            bytes,
            on_disk: AtomicBool::new(false),
        }))
    }

    /// The same, of an event that was read back from disk.
    pub fn of_disk(lender: Arc<dyn Lender>, bytes: u64) -> Self {
        Room(Some(Lent {
            lender,
            bytes,
            on_disk: AtomicBool::new(true),
        }))
    }

    /// The event has been written to disk.
    pub fn on_disk(&self) {
        if let Some(lent) = &self.0
            && !lent.on_disk.swap(true, Ordering::AcqRel)
        {
            lent.lender.on_disk(lent.bytes);
        }
    }
}

impl Clone for Room {
    fn clone(&self) -> Self {
        Room::default()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.on_disk();
        if let Some(lent) = self.0.take() {
            lent.lender.give_back(lent.bytes);
        }
    }
}

/// One change as one endpoint gets it.
#[derive(Clone)]
pub struct Event {
    pub id: EventId,
    pub endpoint: EndpointIndex,
    /// For example `order.paid`.
    pub event_type: Arc<str>,
    pub table: Arc<TableName>,
    pub operation: Operation,
    /// `n` counts this change's events to this endpoint from 0.
    pub position: Position,
    /// No further event of this change goes to this endpoint.
    pub last_of_change: bool,
    pub keys: Keys,
    /// Its table's key is another than when the lanes' places were kept: they say nothing
    /// of it.
    pub rekeyed: bool,
    pub fate: Fate,
    /// Microseconds since 2000-01-01 UTC. Of a message that is not transactional: when it
    /// was read.
    pub commit_time_us: i64,
    /// The JSON that is sent, the same bytes on every attempt.
    pub body: Bytes,
    pub room: Room,
}

/// Without the body: it holds row values.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("endpoint", &self.endpoint)
            .field("event_type", &self.event_type)
            .field("table", &self.table)
            .field("position", &self.position)
            .field("keys", &self.keys)
            .field("fate", &self.fate)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Event {
    /// The lane's position once this event is settled.
    pub fn position_after(&self) -> Position {
        if self.last_of_change {
            Position {
                ordinal: self.position.ordinal + 1,
                n: 0,
                ..self.position
            }
        } else {
            Position {
                n: self.position.n + 1,
                ..self.position
            }
        }
    }

    /// What the event counts for in the memory budget, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        (self.body.len() + std::mem::size_of::<Event>()) as u64
    }
}
