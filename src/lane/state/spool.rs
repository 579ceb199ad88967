//! The spool, as the lanes see it: which events go to disk. `read_back.rs`
//! is the way back.
//!
//! ```text
//!   memory --age, pressure--> outgoing --take_write, written--> on disk
//!   front <--------- loaded <--------- next_load <-----------------'
//! ```
//!
//! A lane moves to disk when its events are too long in memory: its head fails, its
//! endpoint is slow or away. From then on its new events go to disk too, until all of it
//! is in its front again and nothing of it fails. Lanes that share an event move together,
//! so that an event is on disk in all of its lanes or in none.
//!
//! An event on its way to disk belongs to the spool already: delivered meanwhile, it is
//! settled on disk once it has been written.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::lane::{Disk, Entry, Home, Lane, LaneState, Place, What};
use super::outgoing::{Item, Member, Stand};
use super::sending::count_run;
use super::{Lanes, Shared};
use crate::event::{Event, Position};
use crate::lane::attempt::{MonotonicMs, OnDisk, Progress, Write, WriteEntry, WriteRun};
use crate::lane::health::Health;

/// An event whose lane fails, or whose endpoint is not well, is in memory no longer.
const FAILING_MS: MonotonicMs = 3_000;
/// And one of a lane that is slow.
const SLOW_MS: MonotonicMs = 6_000;
/// Nor this long while reading waits for memory of which its endpoint holds most.
const PRESSED_MS: MonotonicMs = 1_000;
/// What a lane's front holds of events that are on disk.
pub(super) const WINDOW_BYTES: u64 = 512 << 10;

/// Who decides that a lane moves to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Age,
    /// Reading waits for memory.
    Pressure,
}

impl Lanes {
    /// A lane that had events on disk at the start.
    pub(super) fn restore_on_disk(&mut self, found: OnDisk) {
        let lane = self.lane(found.lane);
        let state = &mut self.lanes[lane];
        state.disk = Disk {
            writing: true,
            unread: Some((0, 0)),
            last_sequence: found.last_sequence,
            oldest_commit_time_us: Some(found.oldest_commit_time_us),
            ..Disk::default()
        };
        state.state = LaneState::Ready;
        self.ready.push_back(lane);
    }

    /// Events are on their way to disk.
    pub fn has_outgoing(&self) -> bool {
        !self.outgoing.items.is_empty()
    }

    /// A lane has events on disk, or on their way there.
    pub fn is_spooling(&self) -> bool {
        let lanes = &mut self.lanes.iter();
        lanes.any(|lane| lane.has_more_behind() || lane.front_on_disk + lane.front_outgoing > 0)
    }

    /// Moves lanes to disk whose events are too long in memory. Returns how many moved.
    pub fn move_to_disk(&mut self, why: Why, now: MonotonicMs) -> usize {
        let well = self.health == Health::Open;
        let too_long = |lane: &Lane| {
            let waited = |limit| {
                lane.first_in_memory()
                    .is_some_and(|entry| now - entry.since >= limit)
            };
            let head_since = lane.head.map(|head| head.first_attempt);
            let failing = !well || head_since.is_some_and(|since| now - since >= FAILING_MS);
            waited(match why {
                Why::Pressure => PRESSED_MS,
                Why::Age if failing => FAILING_MS,
                Why::Age => SLOW_MS,
            })
        };
        let mut lanes: Vec<usize> = (0..self.lanes.len())
            .filter(|&lane| too_long(&self.lanes[lane]))
            .collect();
        if why == Why::Pressure {
            self.keep_those_that_hold_most(&mut lanes);
        }
        for &lane in &lanes {
            self.spill(&[lane], now);
        }
        lanes.len()
    }

    /// The largest, until they hold half of what all of them do.
    fn keep_those_that_hold_most(&self, lanes: &mut Vec<usize>) {
        let bytes = |lane: usize| self.lanes[lane].front_bytes;
        lanes.sort_by_key(|&lane| std::cmp::Reverse(bytes(lane)));
        let half = lanes.iter().map(|&lane| bytes(lane)).sum::<u64>() / 2;
        let mut kept = 0;
        lanes.retain(|&lane| {
            let is_wanted = kept == 0 || kept < half;
            kept += bytes(lane);
            is_wanted
        });
    }

    /// Moves all lanes to disk.
    pub fn move_all_to_disk(&mut self, now: MonotonicMs) {
        let lanes: Vec<usize> = (0..self.lanes.len()).collect();
        self.spill(&lanes, now);
    }

    /// Whether an event of these lanes goes to disk. Then all of them do.
    pub(super) fn goes_to_disk(&mut self, lanes: &[usize], now: MonotonicMs) -> bool {
        let well = self.health == Health::Open;
        let mut any = false;
        for &lane in lanes {
            let lane = &mut self.lanes[lane];
            if lane.disk.writing && !lane.has_more_behind() {
                let failing = !well || lane.head.is_some_and(|head| head.attempts > 1);
                // All of it is in the front again, and that is little: it returns to memory.
                lane.disk.writing = failing || lane.front_bytes >= WINDOW_BYTES;
            }
            any |= lane.disk.writing;
        }
        if any && lanes.iter().any(|&lane| !self.lanes[lane].disk.writing) {
            self.spill(lanes, now);
        }
        any
    }

    pub(super) fn push_outgoing(&mut self, event: Arc<Event>, lanes: Vec<usize>, now: MonotonicMs) {
        let stands = lanes.iter().map(|&lane| {
            self.lanes[lane].disk.outgoing += 1;
            Stand {
                lane,
                in_front: false,
            }
        });
        let item = Item {
            stands: stands.collect(),
            event,
            since: now,
        };
        self.outgoing.items.push_back(item);
    }

    /// Sends what these lanes have in memory on its way to disk, with all lanes that
    /// their events stand in too.
    pub(super) fn spill(&mut self, lanes: &[usize], now: MonotonicMs) {
        let mut found: BTreeMap<Position, (Arc<Event>, Vec<usize>)> = BTreeMap::new();
        let mut open: Vec<usize> = lanes.to_vec();
        while let Some(lane) = open.pop() {
            for what in self.lanes[lane].start_writing(now) {
                let (event, lanes) = match what {
                    What::Own(event) => (event, vec![lane]),
                    What::Shared(id) => match self.shared.get(&id) {
                        Some(Shared {
                            event: Some(event),
                            lanes,
                            ..
                        }) => (Arc::clone(event), lanes.clone()),
                        // What is in memory alone has its body there.
                        _ => continue,
                    },
                };
                open.extend(lanes.iter().filter(|&&other| other != lane));
                found.entry(event.position).or_insert((event, lanes));
            }
        }
        for (event, lanes) in found.into_values() {
            let in_front = true;
            let stands = lanes.into_iter().map(|lane| Stand { lane, in_front });
            self.outgoing.items.push_back(Item {
                stands: stands.collect(),
                event,
                since: now,
            });
        }
    }

    /// What is to be written next; nothing while a write is under way. It is answered by
    /// [`Lanes::written`] or [`Lanes::not_written`].
    pub fn take_write(&mut self) -> Option<Write> {
        if self.outgoing.writing > 0 || !self.outgoing.plan() {
            return None;
        }
        let items = &self.outgoing.items;
        let mut positions: BTreeMap<usize, Position> = BTreeMap::new();
        let mut first_of: Vec<usize> = Vec::new();
        let runs = self.outgoing.plan.iter().filter_map(|run| {
            let first = &items[run.members.first()?.item];
            let lane = &self.lanes[run.lane];
            let is_first = !first_of.contains(&run.lane);
            first_of.push(run.lane);
            let entries = run.members.iter().map(|member| {
                let event = Arc::clone(&items[member.item].event);
                positions.insert(run.lane, event.position_after());
                if member.stand == 0 {
                    WriteEntry::Event(event)
                } else {
                    WriteEntry::Marker(event)
                }
            });
            let entries = entries.collect();
            // It heads its lane when nothing of the lane is on disk before it.
            let head = lane
                .head
                .filter(|head| is_first && head.attempts > 0 && lane.front_on_disk == 0)
                .filter(|_| lane.disk.settled_early == 0 && lane.disk.unread.is_none());
            Some(WriteRun {
                lane: Arc::clone(&lane.name),
                table: Arc::clone(&first.event.table),
                since: first.since,
                attempts: head.map_or(0, |head| head.attempts),
                first_attempt: head.map(|head| head.first_attempt),
                entries,
            })
        });
        let runs = runs.collect();
        let written = items.iter().take(self.outgoing.writing);
        Some(Write {
            runs,
            bytes: written.map(|item| item.event.body.len() as u64).sum(),
            positions: positions
                .iter()
                .map(|(&lane, &position)| self.lanes[lane].at(position))
                .chain(self.others_stand_at(|lane| positions.contains_key(&lane)))
                .collect(),
        })
    }

    /// The write failed and may be tried again.
    pub fn not_written(&mut self) {
        self.outgoing.writing = 0;
        self.outgoing.plan.clear();
    }

    /// The runs of [`Lanes::take_write`] are on disk, under these sequences.
    pub fn written(&mut self, sequences: &[i64], now: MonotonicMs) -> Progress {
        let mut progress = Progress::default();
        let plan = std::mem::take(&mut self.outgoing.plan);
        for (run, &sequence) in plan.iter().zip(sequences) {
            let places = self.outgoing.places(run, sequence);
            let lane = &mut self.lanes[run.lane];
            lane.disk.last_sequence = sequence;
            let mut early = None;
            for (member, place) in run.members.iter().zip(places) {
                let item = &self.outgoing.items[member.item];
                let in_front = item.stands.get(member.stand).is_some_and(|s| s.in_front);
                let position = item.event.position_after();
                self.lanes[run.lane].position = self.lanes[run.lane].position.max(position);
                if in_front {
                    early = self.lanes[run.lane].written(place).or(early);
                } else {
                    self.written_behind(run.lane, *member, place, now);
                }
            }
            let lane = &mut self.lanes[run.lane];
            lane.disk.settled = early.or(lane.disk.settled);
            progress
                .on_disk
                .extend(early.map(|place| lane.settled_at(place)));
            progress.positions.push(lane.at(lane.position));
        }
        let written: Vec<Item> = self.outgoing.items.drain(..self.outgoing.writing).collect();
        self.outgoing.writing = 0;
        for item in &written {
            item.event.room.on_disk();
            count_run(&mut progress.settled, item.event.position.lsn);
            progress.settled_bytes += item.event.body.len() as u64;
        }
        self.catch_up(now);
        let mut lanes: Vec<usize> = plan.iter().map(|run| run.lane).collect();
        lanes.sort_unstable();
        lanes.dedup();
        for lane in lanes {
            self.unload_idle(lane);
            self.refresh(lane, now);
        }
        progress
    }

    /// An entry is on disk that was not in its lane's front: it goes there, or it is the
    /// first that must be read back.
    fn written_behind(&mut self, lane: usize, member: Member, place: Place, now: MonotonicMs) {
        let item = &self.outgoing.items[member.item];
        let commit_time_us = item.event.commit_time_us;
        let since = item.since;
        let state = &self.lanes[lane];
        if state.disk.unread.is_none() && self.wants_more(lane) {
            let (what, bytes) = self.entry_of(member);
            let home = Home::Disk(place);
            let entry = Entry {
                what,
                home,
                since,
                bytes,
            };
            self.append(lane, entry, now);
        } else if state.disk.unread.is_none() {
            let disk = &mut self.lanes[lane].disk;
            disk.unread = Some((place.sequence, place.index));
            disk.oldest_commit_time_us = Some(commit_time_us);
        }
        let disk = &mut self.lanes[lane].disk;
        disk.outgoing = disk.outgoing.saturating_sub(1);
    }

    /// Lanes that have nothing unread take what is on its way to disk into their fronts,
    /// so that a lane which keeps up returns to memory.
    fn catch_up(&mut self, now: MonotonicMs) {
        if self.health != Health::Open {
            return;
        }
        for number in 0..self.outgoing.items.len() {
            for stand in 0..self.outgoing.items[number].stands.len() {
                let Stand { lane, in_front } = self.outgoing.items[number].stands[stand];
                if in_front || self.lanes[lane].disk.unread.is_some() || !self.wants_more(lane) {
                    continue;
                }
                let member = Member {
                    item: number,
                    stand,
                };
                let (what, bytes) = self.entry_of(member);
                let since = self.outgoing.items[number].since;
                self.lanes[lane].disk.outgoing -= 1;
                self.outgoing.items[number].stands[stand].in_front = true;
                let entry = Entry {
                    what,
                    home: Home::Outgoing,
                    since,
                    bytes,
                };
                self.append(lane, entry, now);
            }
        }
    }

    fn wants_more(&self, lane: usize) -> bool {
        let state = &self.lanes[lane];
        let idle = matches!(state.state, LaneState::Waiting { .. });
        self.health == Health::Open && !idle && state.front_bytes < WINDOW_BYTES
    }

    /// What an outgoing event is in the front of one of its lanes.
    fn entry_of(&mut self, member: Member) -> (What, u64) {
        let item = &self.outgoing.items[member.item];
        let bytes = if member.stand == 0 {
            item.event.body.len() as u64
        } else {
            0
        };
        if let [_] = item.stands.as_slice() {
            return (What::Own(Arc::clone(&item.event)), bytes);
        }
        let id = item.event.id;
        let shared = self.shared.entry(id).or_default();
        if shared.event.is_none() {
            shared.event = Some(Arc::clone(&item.event));
            shared.lanes = item.stands.iter().map(|stand| stand.lane).collect();
        }
        (What::Shared(id), bytes)
    }
}
