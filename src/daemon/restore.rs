//! What the state file knows at the start: positions, and what waits on disk.

use std::sync::Arc;

use tracing::info;

use super::build::DaemonError;
use crate::config::{Config, Endpoint};
use crate::lane::attempt::{LaneProgress, OnDisk};
use crate::lane::clock::{Clock, POSTGRES_EPOCH_UNIX_US};
use crate::lane::name::{LaneName, lanes_for};
use crate::mapping::rules_hash;
use crate::store::{LanePosition, SlotState, Spool, StoreHandle, StoredEvent, Tally, WaitingLane};

/// The one row of rule hashes: rules are compared as a whole.
const ALL_RULES: &str = "*";

/// All that was kept for the slot.
#[derive(Debug)]
pub struct Restored {
    pub state: SlotState,
    pub waiting: Vec<WaitingLane>,
    pub tallies: Vec<Tally>,
}

/// Loads it. When the rules have changed, the count of a change's events means nothing
/// any more: lanes that stood inside a change stand before it, and its events may be
/// repeated. When an endpoint's order has changed, what waits for it is laid into its new
/// lanes.
pub async fn restore(store: &StoreHandle, config: &Config) -> Result<Restored, DaemonError> {
    let slot = config.source.slot.clone();
    let names: Vec<Arc<str>> = config
        .endpoints
        .iter()
        .map(|e| Arc::clone(&e.name))
        .collect();
    let hash = rules_hash(&config.tables, &names);
    let waiting = store
        .call(move |store| {
            let state = store.load(&slot)?;
            if state.differs.is_some() {
                // Where it still does, it is found again.
                store.differs(&slot, None)?;
            }
            if state.rules.get(ALL_RULES) != Some(&hash) {
                store.rules_changed(&slot, ALL_RULES, hash)?;
            }
            store.waiting_lanes(&slot)
        })
        .await?;
    for endpoint in &config.endpoints {
        let of_it = waiting
            .iter()
            .filter(|lane| lane.endpoint == *endpoint.name);
        if of_it.clone().any(|lane| lane_of(endpoint, lane).is_none()) {
            relane(store, config, endpoint).await?;
        }
    }
    let slot = config.source.slot.clone();
    let restored = store
        .call(move |store| {
            Ok(Restored {
                state: store.load(&slot)?,
                waiting: store.waiting_lanes(&slot)?,
                tallies: store.counts(&slot)?,
            })
        })
        .await?;
    Ok(restored)
}

fn lane_of(endpoint: &Endpoint, waiting: &WaitingLane) -> Option<LaneName> {
    LaneName::read(&waiting.lane, &waiting.table, endpoint.lanes.order)
}

async fn relane(
    store: &StoreHandle,
    config: &Config,
    endpoint: &Endpoint,
) -> Result<(), DaemonError> {
    let (slot, name) = (config.source.slot.clone(), Arc::clone(&endpoint.name));
    let order = endpoint.lanes.order;
    info!(endpoint = %name, "its order has changed: laying what waits on disk into other lanes");
    let events = store
        .call(move |store| {
            store.relane(&slot, &name, |event: &StoredEvent| {
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
