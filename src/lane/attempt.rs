//! What the lanes and their endpoint's task say to one another.

use std::sync::Arc;

use crate::change::TableName;
use crate::event::{Event, EventId, Position, Unsent};
use crate::lsn::Lsn;

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

/// What may be done next.
#[derive(Debug)]
pub enum Next {
    Attempt(Attempt),
    /// Not attempted: make dead letters of these, as for [`Finished::Park`].
    Park(Park),
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
    /// The endpoint is disabled because the spool is full, and never gets it.
    Missed,
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
    pub progress: Progress,
    /// The events were dead letters that a person sent again: no position moved.
    pub retried: bool,
}

/// What a step means for what is durable.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Events that are settled now, in runs of (commit LSN, count). Those that had
    /// been written to disk were settled then.
    pub settled: Vec<(Lsn, u64)>,
    /// Of their bodies.
    pub settled_bytes: u64,
    pub positions: Vec<LaneProgress>,
    pub on_disk: Vec<DiskProgress>,
}

/// Events to be parked as dead letters.
#[derive(Debug)]
pub struct Park {
    pub ticket: Ticket,
    pub events: Vec<Arc<Event>>,
    pub lane: Arc<str>,
    pub attempts: u32,
    pub first_attempt: MonotonicMs,
    pub reason: ParkReason,
    /// Where the lanes will stand once it is done, and those that may share events with
    /// them: to be stored in the same commit.
    pub positions: Vec<LaneProgress>,
    pub on_disk: Vec<DiskProgress>,
    pub retried: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParkReason {
    /// A status of `retry.park_statuses`.
    Refused,
    /// `retry.for` is over.
    TooOld,
    /// It was not attempted.
    Unsent(Unsent),
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

/// How much of what a lane has on disk is settled: all before `sequence`, and of that
/// run `settled` entries from its front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskProgress {
    pub lane: Arc<str>,
    pub sequence: i64,
    pub settled: u32,
    pub left: Left,
    /// Attempts of the first entry that is left; 0 when there was none.
    pub attempts: u32,
    pub first_attempt: Option<MonotonicMs>,
}

/// What of a run stands behind a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Left {
    pub entries: u32,
    /// Without markers, as the bytes of their bodies.
    pub events: u32,
    pub bytes: u64,
}

/// Where the head of a lane stands that has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadProgress {
    Memory(LaneProgress),
    Disk(DiskProgress),
}

/// Events to be written to disk in one commit, with where their lanes stand then, and
/// those that may share events with them.
#[derive(Debug)]
pub struct Write {
    /// Those of one lane in order.
    pub runs: Vec<WriteRun>,
    pub positions: Vec<LaneProgress>,
    /// Of all bodies.
    pub bytes: u64,
}

/// Events of one lane and table, one after another.
#[derive(Debug)]
pub struct WriteRun {
    pub lane: Arc<str>,
    pub table: Arc<TableName>,
    /// When they went to the spool.
    pub since: MonotonicMs,
    /// Of the first, when it heads its lane.
    pub attempts: u32,
    pub first_attempt: Option<MonotonicMs>,
    pub entries: Vec<WriteEntry>,
}

#[derive(Debug)]
pub enum WriteEntry {
    Event(Arc<Event>),
    /// The event's body is in another lane of it.
    Marker(Arc<Event>),
}

/// Events to be read back from disk: runs of the lane after a sequence, and no more
/// once their bodies are so large together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    pub lane: LaneIndex,
    pub name: Arc<str>,
    pub after: i64,
    pub bytes_max: u64,
}

/// Names a lane until it was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LaneIndex(pub(super) usize);

/// A run as it was read back, without what is settled of it.
#[derive(Debug)]
pub struct LoadedRun {
    pub sequence: i64,
    pub since: MonotonicMs,
    /// Entries before the first of these.
    pub settled: u32,
    pub attempts: u32,
    pub first_attempt: Option<MonotonicMs>,
    pub entries: Vec<LoadedEntry>,
}

#[derive(Debug)]
pub enum LoadedEntry {
    Event(Event),
    Marker(EventId),
}

/// What a lane has on disk at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnDisk {
    pub lane: super::name::LaneName,
    pub last_sequence: i64,
    /// Microseconds since 2000-01-01 UTC: about the commit of the oldest.
    pub oldest_commit_time_us: i64,
}
