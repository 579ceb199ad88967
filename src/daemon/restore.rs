//! What the state file knows at the start: positions, and what waits on disk.

use std::sync::Arc;

use tracing::info;

use super::build::DaemonError;
use crate::config::{Config, Endpoint};
use crate::event::Keys;
use crate::lane::attempt::{LaneProgress, OnDisk};
use crate::lane::clock::{Clock, POSTGRES_EPOCH_UNIX_US};
use crate::lane::name::{LaneName, lanes_for};
use crate::mapping::{keys_hash, rules_hash};
use crate::store::{LanePosition, SlotState, Spool, StoreHandle, StoredEvent, Tally, WaitingLane};

/// Each one row of hashes: rules, and keys, are compared as a whole.
const ALL_RULES: &str = "*";
const ALL_KEYS: &str = "* key";

/// All that was kept for the slot.
#[derive(Debug)]
pub struct Restored {
    pub state: SlotState,
    pub waiting: Vec<WaitingLane>,
    pub tallies: Vec<Tally>,
    /// What the state file could still take.
    pub free_bytes: u64,
}

/// Loads it. When the rules have changed, the count of a change's events means nothing
/// any more: lanes that stood inside a change stand before it, and its events may be
/// repeated. When an endpoint's order has changed, what waits for it is laid into its new
/// lanes. When `key` of a table has, other rows stand in a lane of rows than those whose
/// place it has: it begins at the checkpoint, and what waits in it is ordered with all rows.
pub async fn restore(store: &StoreHandle, config: &Config) -> Result<Restored, DaemonError> {
    let slot = config.source.slot.clone();
    let names: Vec<Arc<str>> = config
        .endpoints
        .iter()
        .map(|e| Arc::clone(&e.name))
        .collect();
    let entries = || config.tables.iter().chain(&*config.messages);
    let rules = rules_hash(entries(), &names);
    let keys = keys_hash(entries());
    let (waiting, other_keys) = store
        .call(move |store| {
            let state = store.load(&slot)?;
            if state.differs.is_some() {
                // Where it still does, it is found again.
                store.differs(&slot, None)?;
            }
            if state.rules.get(ALL_RULES) != Some(&rules) {
                store.rules_changed(&slot, ALL_RULES, rules)?;
            }
            let known_keys = state.rules.get(ALL_KEYS);
            let other_keys = known_keys.is_some_and(|known| *known != keys);
            Ok((store.waiting_lanes(&slot)?, other_keys))
        })
        .await?;
    for endpoint in &config.endpoints {
        let of_it = waiting
            .iter()
            .filter(|lane| lane.endpoint == *endpoint.name);
        let of_rows = |lane: &WaitingLane| LaneName::is_of_rows(&lane.lane);
        if other_keys && of_it.clone().any(of_rows) {
            relane(store, config, endpoint, KeysAre::Others).await?;
        } else if of_it.clone().any(|lane| lane_of(endpoint, lane).is_none()) {
            relane(store, config, endpoint, KeysAre::Known).await?;
        }
    }
    // Last, so that a start after a crash in between does it again.
    let slot = config.source.slot.clone();
    store
        .call(move |store| store.keys_are(&slot, ALL_KEYS, keys))
        .await?;
    let slot = config.source.slot.clone();
    let restored = store
        .call(move |store| {
            Ok(Restored {
                state: store.load(&slot)?,
                waiting: store.waiting_lanes(&slot)?,
                tallies: store.counts(&slot)?,
                free_bytes: store.free_bytes()?,
            })
        })
        .await?;
    Ok(restored)
}

fn lane_of(endpoint: &Endpoint, waiting: &WaitingLane) -> Option<LaneName> {
    LaneName::read(&waiting.lane, &waiting.table, endpoint.lanes.order)
}

/// Whether the keys that were kept with waiting events still tell rows apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeysAre {
    Known,
    Others,
}

async fn relane(
    store: &StoreHandle,
    config: &Config,
    endpoint: &Endpoint,
    keys_are: KeysAre,
) -> Result<(), DaemonError> {
    let (slot, name) = (config.source.slot.clone(), Arc::clone(&endpoint.name));
    let order = endpoint.lanes.order;
    info!(endpoint = %name, "its order or keys have changed: laying what waits on disk into other lanes");
    let events = store
        .call(move |store| {
            store.relane(&slot, &name, |event: &mut StoredEvent| {
                if keys_are == KeysAre::Others {
                    event.keys = Keys::All;
                }
                let lanes = lanes_for(&event.table, event.keys, order);
                lanes.iter().map(ToString::to_string).collect()
            })
        })
        .await?;
    info!(endpoint = %endpoint.name, events, "laid into other lanes");
    Ok(())
}

impl Restored {
    /// How far the endpoint's lanes are.
    pub fn positions(&self, endpoint: &Endpoint, clock: Clock) -> Vec<LaneProgress> {
        let positions = self.state.positions.iter();
        positions
            .filter(|position| position.endpoint == *endpoint.name)
            .map(|position| progress(position, clock))
            .collect()
    }

    /// What waits on disk for it.
    pub fn on_disk(&self, endpoint: &Endpoint) -> Vec<OnDisk> {
        let waiting = self.waiting.iter();
        waiting
            .filter(|lane| lane.endpoint == *endpoint.name)
            .filter_map(|lane| {
                Some(OnDisk {
                    lane: lane_of(endpoint, lane)?,
                    last_sequence: lane.last_sequence,
                    oldest_commit_time_us: lane.oldest_enqueued_at_ms * 1000
                        - POSTGRES_EPOCH_UNIX_US,
                })
            })
            .collect()
    }
}

fn progress(position: &LanePosition, clock: Clock) -> LaneProgress {
    LaneProgress {
        lane: position.lane.as_str().into(),
        position: position.position,
        attempts: position.attempts,
        first_attempt: position
            .first_attempt_at_ms
            .map(|unix_ms| clock.from_unix_ms(unix_ms)),
    }
}
