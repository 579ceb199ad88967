//! One lane: its events in order, the front of them in memory, the rest perhaps on disk.
//!
//! ```text
//!   front: [disk | outgoing | memory]    unread: on disk    outgoing: on their way there
//!          `-- attempted from here
//! ```
//!
//! Without anything unread or outgoing behind it the front is the whole lane. While
//! something is unread, all of the front is on disk too.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::event::{Event, EventId, Position};
use crate::lane::attempt::{DiskProgress, LaneProgress, Left, MonotonicMs};

#[derive(Debug)]
pub(super) struct Lane {
    pub name: Arc<str>,
    pub state: LaneState,
    /// All before it is delivered, dead or on disk.
    pub position: Position,
    pub front: VecDeque<Entry>,
    /// So many at the beginning of the front are on disk, and after them so many on
    /// their way there.
    pub front_on_disk: usize,
    pub front_outgoing: usize,
    /// Of the bodies in the front.
    pub front_bytes: u64,
    pub head: Option<Head>,
    pub disk: Disk,
    pub retried: VecDeque<Arc<Event>>,
    pub retried_head: Option<Head>,
    /// What went to the spool before then is too old, and not attempted.
    pub expired: Option<MonotonicMs>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneState {
    /// Nothing to send.
    Empty,
    /// A batch waits for more events.
    Gathering { until: MonotonicMs },
    /// In the list of ready lanes.
    Ready,
    /// Its turn has come, and its head is being read back from disk.
    Loading,
    /// Its head is in flight.
    Sending,
    /// Its head failed.
    Waiting { until: MonotonicMs },
    /// Its head is being made a dead letter.
    Parking,
    /// Its head stands in other lanes too, which are not there yet, or leads from one of them.
    Blocked,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub what: What,
    pub home: Home,
    /// When it came, or went to the spool.
    pub since: MonotonicMs,
    /// Of the body; a marker counts for nothing.
    pub bytes: u64,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Own(Arc<Event>),
    /// The event is in `shared`, if it was read already.
    Shared(EventId),
}

/// Where an entry of the front is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// In memory alone: it is not settled.
    Memory,
    /// In memory, on its way to disk.
    Outgoing,
    /// On disk too: it is settled, as Postgres sees it.
    Disk(Place),
}

/// An entry's place on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub sequence: i64,
    pub index: u32,
    /// Behind it in its run.
    pub left: Left,
}

/// The events at the front of a queue that were attempted together: they stay together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub count: usize,
    pub attempts: u32,
    pub first_attempt: MonotonicMs,
}

/// What stands behind the front.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// New events of the lane go to disk.
    pub writing: bool,
    /// On their way to disk, not in the front.
    pub outgoing: usize,
    /// Of the front, settled before they were written.
    pub settled_early: usize,
    /// On disk and not in the front: from this entry on.
    pub unread: Option<(i64, u32)>,
    /// How far it is settled, in this life of the daemon.
    pub settled: Option<Place>,
    /// The lane's last run.
    pub last_sequence: i64,
    pub is_loading: bool,
    /// What is being read no longer follows on the front.
    pub load_is_stale: bool,
    /// Of the first that is unread, when known: microseconds since 2000-01-01 UTC.
    pub oldest_commit_time_us: Option<i64>,
}

impl Lane {
    pub fn new(name: Arc<str>, position: Position, head: Option<Head>) -> Self {
        Lane {
            name,
            state: LaneState::Empty,
            position,
            front: VecDeque::new(),
            front_on_disk: 0,
            front_outgoing: 0,
            front_bytes: 0,
            head,
            disk: Disk::default(),
            retried: VecDeque::new(),
            retried_head: None,
            expired: None,
        }
    }

    /// Its head, or a part of it, must be read back before it can be attempted.
    pub fn is_short(&self) -> bool {
        let wanted = self.head.map_or(1, |head| head.count.max(1));
        self.disk.unread.is_some() && self.front.len() < wanted
    }

    /// Something of it is not in the front.
    pub fn has_more_behind(&self) -> bool {
        self.disk.unread.is_some() || self.disk.outgoing > 0
    }

    /// Nothing of it that is in memory is missing on disk.
    pub fn front_is_on_disk(&self) -> bool {
        self.front_on_disk == self.front.len()
    }

    pub fn first_in_memory(&self) -> Option<&Entry> {
        self.front.get(self.front_on_disk + self.front_outgoing)
    }

    pub fn append(&mut self, entry: Entry) {
        match entry.home {
            Home::Disk(_) => self.front_on_disk += 1,
            Home::Outgoing => self.front_outgoing += 1,
            Home::Memory => {}
        }
        self.front_bytes += entry.bytes;
        self.front.push_back(entry);
    }

    /// The next entry of the front that was on its way to disk is there, or it was
    /// settled before: then its lane has come so far.
    pub fn written(&mut self, place: Place) -> Option<Place> {
        if self.disk.settled_early > 0 {
            self.disk.settled_early -= 1;
            return Some(place);
        }
        if let Some(entry) = self.front.get_mut(self.front_on_disk) {
            debug_assert_eq!(entry.home, Home::Outgoing);
            entry.home = Home::Disk(place);
            self.front_on_disk += 1;
            self.front_outgoing = self.front_outgoing.saturating_sub(1);
        }
        None
    }

    /// From now on the lane's events go to disk; those that are in memory alone do so now.
    pub fn start_writing(&mut self, now: MonotonicMs) -> Vec<What> {
        self.disk.writing = true;
        let from = self.front_on_disk + self.front_outgoing;
        self.front_outgoing = self.front.len() - self.front_on_disk;
        let entries = self.front.iter_mut().skip(from);
        entries
            .map(|entry| {
                entry.home = Home::Outgoing;
                entry.since = now;
                entry.what.clone()
            })
            .collect()
    }

    /// Takes the first `count` entries off the front.
    pub fn take_front(&mut self, count: usize) -> Vec<Entry> {
        let entries: Vec<Entry> = self.front.drain(..count.min(self.front.len())).collect();
        for entry in &entries {
            self.front_bytes = self.front_bytes.saturating_sub(entry.bytes);
            match entry.home {
                Home::Disk(_) => self.front_on_disk -= 1,
                Home::Outgoing => {
                    self.front_outgoing -= 1;
                    self.disk.settled_early += 1;
                }
                Home::Memory => {}
            }
        }
        entries
    }

    /// Drops what the front has behind its first `keep` entries, when all of it can be
    /// read back.
    pub fn unload(&mut self, keep: usize) -> Vec<Entry> {
        if !self.front_is_on_disk() || self.front.len() <= keep {
            return Vec::new();
        }
        let dropped: Vec<Entry> = self.front.drain(keep..).collect();
        self.disk.load_is_stale = self.disk.is_loading;
        self.front_on_disk = self.front.len();
        for entry in &dropped {
            self.front_bytes = self.front_bytes.saturating_sub(entry.bytes);
        }
        if let Some(first) = dropped.first() {
            if let Home::Disk(place) = first.home {
                self.disk.unread = Some((place.sequence, place.index));
            }
            if let What::Own(event) = &first.what {
                self.disk.oldest_commit_time_us = Some(event.commit_time_us);
            }
        }
        dropped
    }

    /// How much of the lane's runs is settled once the entry at `place` is.
    pub fn settled_at(&self, place: Place) -> DiskProgress {
        DiskProgress {
            lane: Arc::clone(&self.name),
            sequence: place.sequence,
            settled: place.index + 1,
            left: place.left,
            attempts: 0,
            first_attempt: None,
        }
    }

    pub fn at(&self, position: Position) -> LaneProgress {
        LaneProgress {
            lane: Arc::clone(&self.name),
            position,
            attempts: 0,
            first_attempt: None,
        }
    }
}
