//! Back from disk: a lane whose turn has come, and whose head is not in memory, is read
//! back a window at a time; one that is not about to send holds no more than it must.

use std::sync::Arc;

use super::Lanes;
use super::lane::{Entry, Head, Home, LaneState, Place, What};
use super::spool::WINDOW_BYTES;
use crate::event::Event;
use crate::lane::attempt::{LaneIndex, Left, Load, LoadedEntry, LoadedRun, MonotonicMs};
use crate::lane::health::Health;
use crate::lane::name::lanes_of;

impl Lanes {
    /// The lane's turn has come, and its head is on disk.
    pub(super) fn want_head(&mut self, lane: usize) {
        self.lanes[lane].state = LaneState::Loading;
        self.loading += 1;
        if !self.lanes[lane].disk.is_loading {
            self.loads.push_back(lane);
        }
    }

    /// The lane is sending, and what it sends next is on disk.
    pub(super) fn read_ahead(&mut self, lane: usize) {
        let state = &self.lanes[lane];
        if self.health == Health::Open
            && state.disk.unread.is_some()
            && !state.disk.is_loading
            && state.front_bytes < WINDOW_BYTES / 2
            && !self.loads.contains(&lane)
        {
            self.loads.push_back(lane);
        }
    }

    /// What is to be read back next. It is answered by [`Lanes::loaded`], or given back by
    /// [`Lanes::not_loaded`].
    pub fn next_load(&mut self) -> Option<Load> {
        loop {
            let lane = self.loads.pop_front()?;
            let state = &mut self.lanes[lane];
            let Some((sequence, _)) = state.disk.unread.filter(|_| !state.disk.is_loading) else {
                continue;
            };
            state.disk.is_loading = true;
            self.reading += 1;
            return Some(Load {
                lane: LaneIndex(lane),
                name: Arc::clone(&state.name),
                after: sequence - 1,
                bytes_max: WINDOW_BYTES / 2,
            });
        }
    }

    /// Neither a request nor a read is under way: nothing will make room in memory, so that
    /// what it is to send next must be read back in any case.
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.reading == 0
    }

    /// There was no room for it: it is the next again.
    pub fn not_loaded(&mut self, load: &Load) {
        self.lanes[load.lane.0].disk.is_loading = false;
        self.reading = self.reading.saturating_sub(1);
        self.loads.push_front(load.lane.0);
    }

    /// Takes what was read back. Without runs there is nothing more on disk.
    pub fn loaded(&mut self, lane: LaneIndex, mut runs: Vec<LoadedRun>, now: MonotonicMs) {
        let lane = lane.0;
        self.reading = self.reading.saturating_sub(1);
        let disk = &mut self.lanes[lane].disk;
        disk.is_loading = false;
        // A write may be on disk that is not told yet: its events come by `written`.
        runs.retain(|run| run.sequence <= disk.last_sequence);
        if std::mem::take(&mut disk.load_is_stale) {
            if self.lanes[lane].state == LaneState::Loading {
                self.loads.push_back(lane);
            }
            return;
        }
        let read_to = runs.last().map_or(i64::MAX, |run| run.sequence);
        for run in runs {
            self.load_run(lane, run, now);
        }
        let disk = &mut self.lanes[lane].disk;
        if let Some(unread) = &mut disk.unread {
            if read_to >= disk.last_sequence {
                disk.unread = None;
                disk.oldest_commit_time_us = None;
            } else {
                *unread = (read_to + 1, 0);
            }
        }
        match self.lanes[lane].state {
            LaneState::Loading => {
                self.loading = self.loading.saturating_sub(1);
                self.lanes[lane].state = LaneState::Blocked;
                self.refresh(lane, now);
                // It was its turn.
                if self.lanes[lane].state == LaneState::Ready && self.ready.back() == Some(&lane) {
                    self.ready.rotate_right(1);
                }
            }
            LaneState::Empty => self.refresh(lane, now),
            // Read ahead for an endpoint that is not well any more.
            LaneState::Waiting { .. } => self.unload_idle(lane),
            _ => {}
        }
    }

    fn load_run(&mut self, lane: usize, run: LoadedRun, now: MonotonicMs) {
        let from = self.lanes[lane]
            .disk
            .unread
            .filter(|(sequence, _)| *sequence == run.sequence)
            .map_or(0, |(_, index)| index);
        let state = &mut self.lanes[lane];
        let heads = state.head.is_none() && state.front.is_empty() && from <= run.settled;
        if run.attempts > 0 && heads {
            state.head = run.first_attempt.map(|first_attempt| Head {
                count: 0,
                attempts: run.attempts,
                first_attempt,
            });
        }
        let entries = run.entries.into_iter().zip(run.settled..);
        let mut places = places(run.sequence, entries);
        places.retain(|(_, place)| place.index >= from);
        for (entry, place) in places {
            let (what, bytes) = match entry {
                LoadedEntry::Event(event) => self.loaded_event(event),
                LoadedEntry::Marker(id) => (What::Shared(id), 0),
            };
            let entry = Entry {
                what,
                home: Home::Disk(place),
                since: run.since,
                bytes,
            };
            self.append(lane, entry, now);
        }
    }

    fn loaded_event(&mut self, event: Event) -> (What, u64) {
        let bytes = event.body.len() as u64;
        let names = lanes_of(&event, self.options.order);
        if let [_] = names.as_slice() {
            return (What::Own(Arc::new(event)), bytes);
        }
        let lanes = names.into_iter().map(|name| self.lane(name)).collect();
        let id = event.id;
        let shared = self.shared.entry(id).or_default();
        shared.lanes = lanes;
        shared.event.get_or_insert_with(|| Arc::new(event));
        (What::Shared(id), bytes)
    }

    /// A lane that is not about to send holds no more than it must.
    pub(super) fn unload_idle(&mut self, lane: usize) {
        let state = &self.lanes[lane];
        let sending = matches!(state.state, LaneState::Sending | LaneState::Parking);
        let shared_head = matches!(
            state.front.front(),
            Some(Entry {
                what: What::Shared(_),
                ..
            })
        );
        let head = state.head.map_or(0, |head| head.count);
        if sending
            || self.health == Health::Open && !matches!(state.state, LaneState::Waiting { .. })
        {
            // It goes on: a part of what follows stays.
            let mut bytes = 0;
            let fits = state.front.iter().take_while(|entry| {
                bytes += entry.bytes;
                bytes <= WINDOW_BYTES
            });
            let keep = fits.count().max(head).max(1);
            self.unload(lane, keep);
        } else {
            self.unload(lane, usize::from(shared_head));
        }
    }

    /// The endpoint is not well any more.
    pub(super) fn unload_all(&mut self) {
        for lane in 0..self.lanes.len() {
            self.unload_idle(lane);
        }
    }

    /// Others need the memory: no lane holds more than it is sending.
    pub fn unload_what_follows(&mut self) {
        for lane in 0..self.lanes.len() {
            let head = self.lanes[lane].head.map_or(0, |head| head.count);
            self.unload(lane, head.max(1));
        }
    }

    pub(super) fn unload(&mut self, lane: usize, keep: usize) {
        for entry in self.lanes[lane].unload(keep) {
            let What::Shared(id) = entry.what else {
                continue;
            };
            let Some(shared) = self.shared.get_mut(&id) else {
                continue;
            };
            // The body was here, and comes back here.
            if entry.bytes > 0 {
                shared.event = None;
                shared.lanes.clear();
            }
            if shared.event.is_none() && shared.heads == 0 {
                self.shared.remove(&id);
            }
        }
    }
}

/// The entries of a run with their places: what is left is counted from the end.
fn places(
    sequence: i64,
    entries: impl Iterator<Item = (LoadedEntry, u32)>,
) -> Vec<(LoadedEntry, Place)> {
    let entries: Vec<(LoadedEntry, u32)> = entries.collect();
    let mut left = Left::default();
    let mut placed: Vec<(LoadedEntry, Place)> = Vec::with_capacity(entries.len());
    for (entry, index) in entries.into_iter().rev() {
        let place = Place {
            sequence,
            index,
            left,
        };
        left.entries += 1;
        if let LoadedEntry::Event(event) = &entry {
            left.events += 1;
            left.bytes += event.body.len() as u64;
        }
        placed.push((entry, place));
    }
    placed.reverse();
    placed
}
