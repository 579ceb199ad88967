//! Events on their way to disk, of all lanes of the endpoint, in the order in which
//! they came.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::lane::Place;
use crate::event::Event;
use crate::lane::attempt::{Left, MonotonicMs};

/// A run holds no more: it is read back as a whole.
const RUN_ENTRIES_MAX: usize = 100;
const RUN_BYTES_MAX: usize = 256 << 10;
/// One commit writes no more.
const WRITE_EVENTS_MAX: usize = 1000;
const WRITE_BYTES_MAX: usize = 4 << 20;

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub items: VecDeque<Item>,
    /// So many at the front are being written, as these runs.
    pub writing: usize,
    pub plan: Vec<Planned>,
}

#[derive(Debug)]
pub(super) struct Item {
    pub event: Arc<Event>,
    /// The first one gets the body, the others a marker.
    pub stands: Vec<Stand>,
    pub since: MonotonicMs,
}

/// One lane that the event stands in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stand {
    pub lane: usize,
    /// It is in the lane's front too, or was when it was settled.
    pub in_front: bool,
}

/// A run to be written.
#[derive(Debug)]
pub(super) struct Planned {
    pub lane: usize,
    pub members: Vec<Member>,
    bytes: usize,
}

/// An entry of it: the item's number and which of its lanes this is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub item: usize,
    pub stand: usize,
}

impl Outgoing {
    pub fn oldest_commit_time_us(&self) -> Option<i64> {
        self.items.front().map(|item| item.event.commit_time_us)
    }

    /// Decides what the next commit writes: whole events, with all lanes that they stand
    /// in, so that none is on disk by half. False when there is nothing to write.
    pub fn plan(&mut self) -> bool {
        let mut bytes = 0;
        let mut open: HashMap<usize, usize> = HashMap::new();
        self.plan.clear();
        for (number, item) in self.items.iter().enumerate().take(WRITE_EVENTS_MAX) {
            if number > 0 && bytes + item.event.body.len() > WRITE_BYTES_MAX {
                break;
            }
            bytes += item.event.body.len();
            self.writing = number + 1;
            for (place, stand) in item.stands.iter().enumerate() {
                let size = if place == 0 { item.event.body.len() } else { 0 };
                let member = Member {
                    item: number,
                    stand: place,
                };
                let fitting = open.get(&stand.lane).copied().filter(|&run| {
                    let run = &self.plan[run];
                    let first = run.members.first().map(|member| member.item);
                    let table = first.map(|first| &self.items[first].event.table);
                    table == Some(&item.event.table)
                        && run.members.len() < RUN_ENTRIES_MAX
                        && run.bytes + size <= RUN_BYTES_MAX
                });
                let run = fitting.unwrap_or_else(|| {
                    self.plan.push(Planned {
                        lane: stand.lane,
                        members: Vec::new(),
                        bytes: 0,
                    });
                    self.plan.len() - 1
                });
                open.insert(stand.lane, run);
                self.plan[run].bytes += size;
                self.plan[run].members.push(member);
            }
        }
        self.writing > 0
    }

    /// The places of a planned run's entries, now that it is on disk.
    pub fn places(&self, run: &Planned, sequence: i64) -> Vec<Place> {
        let mut left = Left::default();
        let mut places = Vec::with_capacity(run.members.len());
        for (index, member) in run.members.iter().enumerate().rev() {
            places.push(Place {
                sequence,
                index: u32::try_from(index).unwrap_or(u32::MAX),
                left,
            });
            left.entries += 1;
            if member.stand == 0 {
                left.events += 1;
                left.bytes += self.items[member.item].event.body.len() as u64;
            }
        }
        places.reverse();
        places
    }
}
