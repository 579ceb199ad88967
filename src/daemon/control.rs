//! What the daemon adds to a command from the control socket: it completes the
//! status, and tells the endpoints what concerns them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};

use crate::lane::clock::{since_commit, unix_us};
use crate::lane::endpoint::{Command, Shared};
use crate::telemetry::control::{
    DaemonStatus, EndpointCondition, Request, Response, SlotStatus, Status, StreamStatus, execute,
};
use crate::telemetry::view::{EndpointHealth, Shown, StreamState};

/// A store that is busy for so long has told of it elsewhere.
const DROPPED_WITHIN: Duration = Duration::from_secs(5);

/// Carries out commands. Cloned for each connection.
#[derive(Clone, Debug)]
pub struct Control {
    shared: Shared,
    /// By the endpoint's name.
    endpoints: Arc<HashMap<Arc<str>, mpsc::Sender<Command>>>,
    started_at_ms: i64,
}

impl Control {
    pub fn new(shared: Shared, endpoints: HashMap<Arc<str>, mpsc::Sender<Command>>) -> Self {
        Control {
            shared,
            endpoints: Arc::new(endpoints),
            started_at_ms: unix_us().div_euclid(1000),
        }
    }

    pub async fn handle(self, request: Request) -> Response {
        if let Request::EndpointDrop { name } = &request
            && self.endpoints.contains_key(name.as_str())
        {
            return Response::Failed {
                message: format!("endpoint \"{name}\" is in the config of the running daemon"),
                hint: Some("take it out of the config and restart, then drop it".to_owned()),
            };
        }
        if let Request::DeadRetry { filter } = &request
            && let Some(name) = &filter.endpoint
            && !self.endpoints.contains_key(name.as_str())
        {
            return Response::Failed {
                message: format!("endpoint \"{name}\" is not in the config of the running daemon"),
                hint: Some("put it back and restart, then retry its dead letters".to_owned()),
            };
        }
        let asked = request.clone();
        let now_ms = unix_us().div_euclid(1000);
        let executed = self
            .shared
            .store
            .call(move |store| execute(store, &asked, now_ms))
            .await;
        let response = match executed {
            Ok(response) => response,
            Err(crate::store::StoreCallError::Store(error)) => Response::of_error(&error),
            Err(error) => Response::failed(error.to_string()),
        };
        match (&request, response) {
            (Request::Status {}, Response::Status(status)) => {
                Response::Status(Box::new(self.complete(*status)))
            }
            (Request::DeadRetry { .. }, response) => {
                for endpoint in self.endpoints.values() {
                    let _ = endpoint.send(Command::Retry).await;
                }
                response
            }
            (Request::DeadDrop { .. }, response) => {
                self.dropped().await;
                response
            }
            (Request::EndpointEnable { name }, response) => {
                match self.endpoints.get(name.as_str()) {
                    Some(endpoint) => {
                        let _ = endpoint.send(Command::Enable).await;
                        response
                    }
                    None => Response::failed(format!("there is no endpoint \"{name}\"")),
                }
            }
            (_, response) => response,
        }
    }

    /// Whoever is told that letters are dropped can rely on it: none is attempted after that.
    async fn dropped(&self) {
        let mut done = Vec::new();
        for endpoint in self.endpoints.values() {
            let (sender, receiver) = oneshot::channel();
            if endpoint.send(Command::Dropped(sender)).await.is_ok() {
                done.push(receiver);
            }
        }
        // One that ends meanwhile attempts nothing either.
        let _ = tokio::time::timeout(DROPPED_WITHIN, join_all(done)).await;
    }

    fn complete(&self, mut status: Status) -> Status {
        let shown = self.shared.view.shown();
        status.daemon = Some(DaemonStatus {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at_ms: self.started_at_ms,
        });
        status.problems.extend(shown.spool.warning.clone());
        status.problems.extend(shown.warnings.iter().cloned());
        let ours = &*self.shared.slot;
        let at = match status.slots.iter().position(|slot| slot.slot == ours) {
            Some(at) => at,
            None => {
                status.slots.push(SlotStatus {
                    slot: ours.to_owned(),
                    ..SlotStatus::default()
                });
                status.slots.len() - 1
            }
        };
        if let Some(slot) = status.slots.get_mut(at) {
            complete_slot(slot, &shown);
        }
        status
    }
}

fn complete_slot(slot: &mut SlotStatus, shown: &Shown) {
    slot.stream = Some(StreamStatus {
        state: match &shown.stream {
            StreamState::Starting => "starting".to_owned(),
            StreamState::Waiting { reason } | StreamState::Stuck { reason } => reason.clone(),
            StreamState::Streaming => "streaming".to_owned(),
            StreamState::Stopping => "stopping".to_owned(),
        },
        since_ms: unix_ms(shown.since),
    });
    slot.confirmed_lsn = Some(shown.confirmed.to_string());
    slot.retained_wal_bytes = shown.retained_bytes;
    for view in &shown.endpoints {
        let endpoint = slot.endpoint(&view.name);
        endpoint.origin = Some(view.origin.clone());
        let since_ms = unix_ms(view.since);
        endpoint.condition = match &view.health {
            EndpointHealth::Ok => EndpointCondition::Ok {},
            EndpointHealth::Failing { last, attempts } => EndpointCondition::Failing {
                since_ms,
                attempts: *attempts,
                last: last.clone(),
            },
            EndpointHealth::Disabled { by } => EndpointCondition::Disabled {
                by: by.clone(),
                since_ms,
            },
        };
        // Those in memory, beside those in the state file.
        endpoint.waiting_events += view.waiting_events;
        endpoint.waiting_bytes += view.waiting_bytes;
        endpoint.oldest_waiting_ms = view
            .oldest_commit_time_us
            .map(|oldest| u64::try_from(since_commit(oldest).as_millis()).unwrap_or(u64::MAX));
    }
}

fn unix_ms(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
