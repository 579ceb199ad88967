//! What `walhook status` shows.

use serde::{Deserialize, Serialize};

use crate::store::{EndpointState, SlotState, Store, StoreError, Tally};

/// From the state file alone where no daemon runs.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// `None`: none runs.
    pub daemon: Option<DaemonStatus>,
    pub slots: Vec<SlotStatus>,
    /// A sentence each, for a person to act upon.
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DaemonStatus {
    pub pid: u32,
    pub version: String,
    pub started_at_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotStatus {
    pub slot: String,
    /// `None`: no daemon runs.
    pub stream: Option<StreamStatus>,
    pub checkpoint_lsn: Option<String>,
    pub checkpoint_at_ms: Option<i64>,
    pub confirmed_lsn: Option<String>,
    /// WAL that the server keeps for the slot.
    pub retained_wal_bytes: Option<u64>,
    pub endpoints: Vec<EndpointStatus>,
    /// What was never sent, or was sent and is gone.
    pub gaps: Vec<GapStatus>,
}

/// An interval of the WAL, and what became of its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GapStatus {
    /// `None`: of all endpoints.
    pub endpoint: Option<String>,
    /// `spool_full`, `endpoint_dropped`, `skipped`, `adopted` or `vanished`.
    pub reason: String,
    pub from: String,
    pub to: String,
    /// `None`: not known.
    pub events: Option<u64>,
    pub recorded_at_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamStatus {
    /// `streaming`, or what it waits for.
    pub state: String,
    pub since_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointStatus {
    pub name: String,
    /// Scheme, host and port; `None` where no daemon runs or the config no longer has it.
    pub origin: Option<String>,
    pub condition: EndpointCondition,
    pub waiting_events: u64,
    pub waiting_bytes: u64,
    /// How long the event that has waited longest waits.
    pub oldest_waiting_ms: Option<u64>,
    pub dead_letters: u64,
    /// Dead letters that were told to be retried and are not delivered yet.
    pub retrying: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum EndpointCondition {
    /// No daemon runs.
    Unknown {},
    Ok {},
    Failing {
        since_ms: i64,
        attempts: u32,
        /// The last outcome.
        last: String,
    },
    Disabled {
        /// `gone_410`, `spool_full` or `operator`.
        by: String,
        since_ms: i64,
    },
}

impl Status {
    /// What the state file knows: of every slot the checkpoint and the endpoints
    /// that are disabled, or have waiting events or dead letters.
    pub fn of_store(store: &mut Store) -> Result<Status, StoreError> {
        let mut status = Status::default();
        for slot in store.slots()? {
            let state = store.load(&slot)?;
            let counts = store.counts(&slot)?;
            let gaps = store.gaps(&slot)?.into_iter().map(|gap| GapStatus {
                endpoint: gap.endpoint,
                reason: gap.reason.as_str().to_owned(),
                from: gap.from.to_string(),
                to: gap.to.to_string(),
                events: gap.events,
                recorded_at_ms: gap.recorded_at_ms,
            });
            status.slots.push(SlotStatus {
                checkpoint_lsn: state
                    .checkpoint
                    .map(|checkpoint| checkpoint.lsn.to_string()),
                checkpoint_at_ms: state.checkpoint.map(|checkpoint| checkpoint.written_at_ms),
                endpoints: endpoints(&state, &counts),
                gaps: gaps.collect(),
                slot,
                ..SlotStatus::default()
            });
        }
        Ok(status)
    }
}

impl SlotStatus {
    /// The endpoint of that name, which is added where it is missing.
    pub fn endpoint(&mut self, name: &str) -> &mut EndpointStatus {
        let at = match self.endpoints.iter().position(|known| known.name == name) {
            Some(at) => at,
            None => {
                self.endpoints.push(EndpointStatus {
                    name: name.to_owned(),
                    origin: None,
                    condition: EndpointCondition::Unknown {},
                    waiting_events: 0,
                    waiting_bytes: 0,
                    oldest_waiting_ms: None,
                    dead_letters: 0,
                    retrying: 0,
                });
                self.endpoints.len() - 1
            }
        };
        &mut self.endpoints[at]
    }
}

fn endpoints(state: &SlotState, counts: &[Tally]) -> Vec<EndpointStatus> {
    let mut slot = SlotStatus::default();
    for row in &state.endpoints {
        if let EndpointState::Disabled(by) = row.state {
            slot.endpoint(&row.endpoint).condition = EndpointCondition::Disabled {
                by: by.as_str().to_owned(),
                since_ms: row.since_ms,
            };
        }
    }
    for tally in counts {
        let endpoint = slot.endpoint(&tally.endpoint);
        endpoint.waiting_events += tally.waiting.events;
        endpoint.waiting_bytes += tally.waiting.bytes;
        endpoint.dead_letters += tally.dead.events;
        endpoint.retrying += tally.retrying.events;
    }
    slot.endpoints
}
