//! What the lanes and their endpoint's task say to one another.

use std::sync::Arc;

use crate::event::{Event, Position};

/// Milliseconds on a clock that never goes back. Its zero is the daemon's start, so
/// what began before a restart is negative.
pub type MonotonicMs = i64;

/// Names an attempt until its outcome is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(super) lane: usize,
    pub(super) queue: Queue,
}

/// Which of a lane's two queues: what was read, or dead letters a person sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Queue {
    Read,
    Retried,
}

/// An attempt to make.
#[derive(Debug)]
pub struct Attempt {
    pub ticket: Ticket,
    /// In order, at least one; more only with `batch`.
    pub events: Vec<Arc<Event>>,
    /// Counted from 1.
    pub number: u32,
}

/// What came of pushing an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    Queued,
    /// It was settled in an earlier life of the daemon.
    Repeat,
}

/// What follows from an outcome.
#[derive(Debug)]
pub enum Finished {
    /// Nothing yet: it is tried again.
    Again,
    Settled(Settled),
    /// Make dead letters of these, durably, then call [`Lanes::parked`](super::state::Lanes::parked).
    Park(Park),
}

/// Events that are done with, and how far their lanes are now.
#[derive(Debug)]
pub struct Settled {
    pub events: Vec<Arc<Event>>,
    pub positions: Vec<LaneProgress>,
    /// The events were dead letters that a person sent again: no position moved.
    pub retried: bool,
}

/// Events to be parked as dead letters.
#[derive(Debug)]
pub struct Park {
    pub ticket: Ticket,
    pub events: Vec<Arc<Event>>,
    pub attempts: u32,
    pub first_attempt: MonotonicMs,
    pub reason: ParkReason,
    /// Where the lanes will stand once it is done: to be stored in the same commit.
    pub positions: Vec<LaneProgress>,
    pub retried: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParkReason {
    /// A status of `retry.park_statuses`.
    Refused,
    /// `retry.for` is over.
    TooOld,
    /// Its rule failed on the row; it was not attempted.
    RuleFailed,
}

/// How far a lane is, and what its head has been through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneProgress {
    /// [`LaneName`](super::name::LaneName) as it is written.
    pub lane: Arc<str>,
    pub position: Position,
    /// Attempts of the event at `position`; 0 when there was none.
    pub attempts: u32,
    pub first_attempt: Option<MonotonicMs>,
}
