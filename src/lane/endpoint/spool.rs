//! Between the lanes and the spool: what goes to disk, and what comes back.

use tracing::{info, warn};

use super::{Done, Task};
use crate::lane::attempt::{LaneIndex, MonotonicMs};
use crate::lane::clock::unix_us;
use crate::lane::health::{DisabledBy, Health};
use crate::lane::spool_room::MayWrite;
use crate::lane::state::Why;
use crate::store::{EndpointState, Spool, StoreCallError, StoreError, WaitingRun};

/// When there is no room, on disk or in memory, it is looked for again after so long.
const NO_ROOM_ON_DISK_MS: MonotonicMs = 500;
const NO_ROOM_IN_MEMORY_MS: MonotonicMs = 20;

/// What a write came to.
#[derive(Debug)]
pub(super) struct Written {
    /// Of its runs.
    sequences: Vec<i64>,
    /// What the state file could still take after it.
    free_bytes: Option<u64>,
}

/// How the endpoint's spooling goes.
#[derive(Debug, Default)]
pub(super) struct Spooling {
    /// A write is under way, of so many bytes.
    writing: Option<u64>,
    /// Nothing is written before.
    write_after: MonotonicMs,
    /// When to look again for room.
    pub(super) again_at: Option<MonotonicMs>,
    /// Events wait on disk, or did at the last look; the log was told.
    pub(super) told: bool,
}

impl Task {
    /// Writes what is on its way to disk, and reads back what is wanted.
    pub(super) fn spool(&mut self) {
        self.spooling.again_at = None;
        let now = self.endpoint.shared.clock.now();
        if self.endpoint.holder.holds_too_much() {
            self.endpoint.lanes.unload_what_follows();
        }
        self.write(now);
        self.read(now);
    }

    /// Moves events that are too long in memory to disk.
    pub(super) fn move_to_disk(&mut self, why: Why) {
        let now = self.endpoint.shared.clock.now();
        let moved = self.endpoint.lanes.move_to_disk(why, now);
        let name = &self.endpoint.name;
        if moved > 0 && !self.spooling.told {
            self.spooling.told = true;
            info!(endpoint = %name, "events wait on disk");
        } else if self.spooling.told && !self.endpoint.lanes.is_spooling() {
            self.spooling.told = false;
            info!(endpoint = %name, "no events wait on disk any more");
        }
    }

    fn write(&mut self, now: MonotonicMs) {
        if self.spooling.writing.is_some() || !self.endpoint.lanes.has_outgoing() {
            return;
        }
        if now < self.spooling.write_after {
            self.again_at(self.spooling.write_after);
            return;
        }
        // What a disabled endpoint has taken in is written in any case: it is bounded by
        // the memory, and the slot waits for it.
        let disabled = *self.endpoint.lanes.health() == Health::Disabled(DisabledBy::SpoolFull);
        if !disabled && !self.may_write(now) {
            return;
        }
        let Some(write) = self.endpoint.lanes.take_write() else {
            return;
        };
        if !disabled && !self.endpoint.shared.spool.fits(write.bytes) {
            self.does_not_fit(now);
            return;
        }
        self.spooling.writing = Some(write.bytes);
        let (runs, positions) = self.endpoint.kept().stored(write);
        let (slot, _) = self.names();
        let store = self.endpoint.shared.store.clone();
        self.running.push(Box::pin(async move {
            let written = store
                .call(move |store| {
                    let sequences = store.append_runs(&slot, &runs, &positions)?;
                    // They are written, whatever becomes of this.
                    let free_bytes = store.free_bytes().ok();
                    Ok(Written {
                        sequences,
                        free_bytes,
                    })
                })
                .await;
            Done::Written(written)
        }));
    }

    fn may_write(&mut self, now: MonotonicMs) -> bool {
        let endpoint = &self.endpoint;
        match endpoint.shared.spool.may_write(endpoint.index) {
            MayWrite::Yes => true,
            MayWrite::No => {
                self.again_at(now + NO_ROOM_ON_DISK_MS);
                false
            }
            MayWrite::Disable => {
                self.disable_for_full_spool(now);
                true
            }
        }
    }

    /// It is tried again; told once, until there is room.
    fn does_not_fit(&mut self, now: MonotonicMs) {
        let endpoint = &self.endpoint;
        if endpoint.shared.spool.did_not_fit(endpoint.index) {
            warn!(endpoint = %endpoint.name, "the disk of the state file has no room for events that wait; trying again");
        }
        self.not_written(now);
    }

    fn not_written(&mut self, now: MonotonicMs) {
        self.endpoint.lanes.not_written();
        self.spooling.write_after = now + NO_ROOM_ON_DISK_MS;
        self.again_at(self.spooling.write_after);
    }

    /// Writes what is left in memory, if there is room for it.
    pub(super) fn write_all(&mut self) {
        let now = self.endpoint.shared.clock.now();
        self.endpoint.lanes.move_all_to_disk(now);
        self.write(now);
    }

    pub(super) fn written(
        &mut self,
        written: Result<Written, StoreCallError>,
    ) -> Result<(), StoreCallError> {
        let now = self.endpoint.shared.clock.now();
        let bytes = self.spooling.writing.take().unwrap_or(0);
        let Written {
            sequences,
            free_bytes,
        } = match written {
            Ok(written) => written,
            // Rolled back: nothing is confirmed, and it is tried again.
            Err(StoreCallError::Store(StoreError::DiskFull { .. })) => {
                self.does_not_fit(now);
                return Ok(());
            }
            Err(StoreCallError::Store(error)) if error.may_pass() => {
                warn!(endpoint = %self.endpoint.name, %error, "events cannot be written to the spool; trying again");
                self.not_written(now);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let endpoint = &mut self.endpoint;
        let room = &endpoint.shared.spool;
        room.written(endpoint.index, bytes);
        if let Some(free_bytes) = free_bytes {
            room.free_is(free_bytes);
        }
        let progress = endpoint.lanes.written(&sequences, now);
        self.settle(progress);
        Ok(())
    }

    fn read(&mut self, now: MonotonicMs) {
        loop {
            let idle = self.endpoint.lanes.is_idle();
            let Some(load) = self.endpoint.lanes.next_load() else {
                return;
            };
            if !idle && !self.endpoint.holder.may_read_back(load.bytes_max) {
                self.endpoint.lanes.not_loaded(&load);
                self.again_at(now + NO_ROOM_IN_MEMORY_MS);
                return;
            }
            let (slot, name) = self.names();
            let store = self.endpoint.shared.store.clone();
            self.running.push(Box::pin(async move {
                let (lane, bytes_max) = (load.lane, load.bytes_max);
                let runs = store
                    .call(move |store| {
                        store.read_runs(&slot, &name, &load.name, load.after, bytes_max)
                    })
                    .await;
                Done::Read { lane, runs }
            }));
        }
    }

    pub(super) fn read_back(&mut self, lane: LaneIndex, runs: Vec<WaitingRun>) {
        let now = self.endpoint.shared.clock.now();
        let (kept, holder) = (self.endpoint.kept(), &self.endpoint.holder);
        let runs = runs.into_iter().map(|run| kept.loaded(run, holder));
        let runs = runs.collect();
        self.endpoint.lanes.loaded(lane, runs, now);
    }

    fn again_at(&mut self, at: MonotonicMs) {
        let earliest = self.spooling.again_at.map_or(at, |other| other.min(at));
        self.spooling.again_at = Some(earliest);
    }

    /// What it has taken in stays; what comes from now on is recorded as a gap.
    fn disable_for_full_spool(&mut self, now: MonotonicMs) {
        warn!(
            endpoint = %self.endpoint.name,
            "endpoint fills the spool and is disabled; it misses what comes until \"walhook endpoint enable\""
        );
        self.endpoint.lanes.disable_for_full_spool();
        self.endpoint.lanes.move_all_to_disk(now);
        let (slot, name) = self.names();
        let state = EndpointState::Disabled(crate::store::DisabledBy::SpoolFull);
        let since = unix_us().div_euclid(1000);
        self.store(move |store| store.set_endpoint(&slot, &name, state, since));
        self.show_health();
    }
}
