//! Building: from the config to running parts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{mpsc, watch};
use tracing::info;

use super::alert::{Alerts, AlertsError};
use super::checkpoint::Checkpointer;
use super::control::Control;
use super::reading::{Parts, Reading};
use super::refresh::Refresher;
use super::restore::{Restored, restore};
use super::source::{self, Source, SourceStop};
use super::supervise::{Signals, Stop, TaskError, TaskName, Tasks};
use crate::config::Config;
use crate::delivery::client::{Client, ClientError, tls_config};
use crate::event::{EndpointIndex, Position};
use crate::lane::budget::{Holder, MemoryBudget};
use crate::lane::clock::Clock;
use crate::lane::endpoint::{Command, Endpoint, Shared, restored_health};
use crate::lane::health::Health;
use crate::lane::inbox::Inbox;
use crate::lane::options::Order;
use crate::lane::spool_room::SpoolRoom;
use crate::lane::state::Lanes;
use crate::lsn::Lsn;
use crate::mapping::{EndpointMapping, KeyUse};
use crate::progress::lineage::ReadHistory;
use crate::progress::tracker::{ReadTransaction, Tracker};
use crate::store::{SlotState, StateFiles, Store, StoreCallError, StoreError, StoreHandle};
use crate::telemetry::admin::{self, AdminError, Pages};
use crate::telemetry::control::{self, BindError};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::view::{EndpointHealth, EndpointView, View};

/// Why the daemon ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("failed to keep the state")]
    StoreCall(#[from] StoreCallError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("failed to set up TLS")]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Control(#[from] BindError),
    #[error("failed to set up alerts")]
    Alerts(#[from] AlertsError),
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
    #[error(transparent)]
    Task(#[from] TaskError),
    #[error("stopped by a second signal: what was in flight comes again")]
    StoppedNow,
}

impl DaemonError {
    /// What to do about it, when the text does not say so already.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            DaemonError::Store(error)
            | DaemonError::StoreCall(StoreCallError::Store(error))
            | DaemonError::Task(TaskError::Store(StoreCallError::Store(error))) => error.hint(),
            DaemonError::Control(BindError::TooLong { .. }) => {
                Some("give \"state\" a shorter path: the system allows a socket's about 100 bytes")
            }
            DaemonError::Admin(_) => Some("give \"admin.listen\" another address, or off"),
            _ => None,
        }
    }

    /// A person must mend the database or the state before another start makes sense.
    pub fn is_definite(&self) -> bool {
        match self {
            DaemonError::Store(error)
            | DaemonError::StoreCall(StoreCallError::Store(error))
            | DaemonError::Task(TaskError::Store(StoreCallError::Store(error))) => {
                error.needs_person()
            }
            DaemonError::Task(TaskError::Source(error)) => error.is_definite(),
            DaemonError::Control(BindError::TooLong { .. }) => true,
            _ => false,
        }
    }
}

/// A daemon that is ready to run.
#[derive(Debug)]
pub struct Daemon {
    config: Config,
    store: Store,
}

impl Daemon {
    /// `store` is open, and so its lock is held.
    pub fn new(config: Config, store: Store) -> Self {
        Daemon { config, store }
    }

    /// Runs until a signal or an error. The first error is returned once all tasks have ended.
    pub async fn run(self) -> Result<(), DaemonError> {
        let mut signals = Signals::listen().map_err(DaemonError::Signals)?;
        let (store, thread) = StoreHandle::new(self.store);
        let thread = tokio::task::spawn_blocking(move || thread.run());
        let stop = Stop::default();
        let mut tasks = Tasks::default();
        let built = build(self.config, store, &mut tasks, &stop).await;
        let ended = match built {
            Ok(view) => {
                let result = tokio::select! {
                    () = signals.next() => Ok(()),
                    ended = tasks.ended() => unasked(ended),
                };
                view.set_stream(
                    crate::telemetry::view::StreamState::Stopping,
                    SystemTime::now(),
                );
                crate::telemetry::systemd::stopping();
                result
            }
            Err(error) => Err(error),
        };
        let shut_down = async {
            let result = tasks.shut_down(&stop).await;
            drop(tasks);
            // Every handle is gone, so the thread closes the state file and ends.
            let _ = thread.await;
            result
        };
        tokio::select! {
            result = shut_down => ended.and(result.map_err(DaemonError::Task)),
            () = signals.next() => ended.and(Err(DaemonError::StoppedNow)),
        }
    }
}

/// A task ended though nobody asked it to.
fn unasked(ended: Option<(TaskName, Result<(), TaskError>)>) -> Result<(), DaemonError> {
    match ended {
        None => Ok(()),
        Some((_, Err(error))) => Err(DaemonError::Task(error)),
        Some((name, Ok(()))) => Err(DaemonError::Task(TaskError::Ended(name))),
    }
}

async fn build(
    config: Config,
    store: StoreHandle,
    tasks: &mut Tasks,
    stop: &Stop,
) -> Result<Arc<View>, DaemonError> {
    let slot: Arc<str> = config.source.slot.as_str().into();
    let restored = restore(&store, &config).await?;
    let floor = restored
        .state
        .checkpoint
        .map_or(Lsn::ZERO, |checkpoint| checkpoint.lsn);
    let metrics = Arc::new(Metrics::new());
    let view = Arc::new(View::new(endpoint_views(&config), SystemTime::now()));
    view.update(|shown| shown.checkpoint = floor);
    let shared = Shared {
        slot: Arc::clone(&slot),
        tracker: Arc::new(Tracker::new(floor)),
        budget: Arc::new(MemoryBudget::new(config.memory_bytes_max)),
        spool: Arc::new(SpoolRoom::new(
            config.spool.bytes_max,
            config.spool.full,
            config.endpoints.len(),
        )),
        store: store.clone(),
        metrics: Arc::clone(&metrics),
        view: Arc::clone(&view),
        clock: Clock::start(),
    };
    let refresher = Refresher::new(&shared, &config);
    refresher.restored(&restored.tallies, restored.free_bytes);
    let listener = match config.admin {
        Some(address) => Some(admin::bind(address).await?),
        None => None,
    };
    let control_listener = control::bind(&StateFiles::at(&config.state)?)?;

    let (ways, commands) = spawn_endpoints(&config, &restored, &shared, tasks, stop)?;

    let (lineage, lineage_known) = watch::channel(None);
    let (durable, to_confirm) = watch::channel(floor);
    let checkpointer = Checkpointer {
        slot: Arc::clone(&slot),
        endpoints: endpoint_names(&config),
        tracker: Arc::clone(&shared.tracker),
        store: store.clone(),
        spool: Arc::clone(&shared.spool),
        metrics: Arc::clone(&metrics),
        view: Arc::clone(&view),
        lineage: lineage_known,
        durable,
    };
    let token = stop.checkpoint.clone();
    tasks.spawn(TaskName::Checkpoint, async move {
        Ok(checkpointer.run(token).await?)
    });

    if let Some(listener) = listener {
        let refresh = refresher.clone();
        let pages = Pages {
            metrics: Arc::clone(&metrics),
            view: Arc::clone(&view),
            refresh: Arc::new(move || refresh.gauges()),
        };
        let served = admin::serve(listener, pages, stop.rest.clone());
        tasks.spawn(TaskName::Admin, async move { Ok(served.await?) });
    }
    let token = stop.rest.clone();
    tasks.spawn(
        TaskName::Refresh,
        async move { Ok(refresher.run(token).await?) },
    );
    if let Some(alerts) = Alerts::new(&config, &shared)? {
        let token = stop.rest.clone();
        tasks.spawn(
            TaskName::Alerts,
            async move { Ok(alerts.run(token).await?) },
        );
    }
    let control = Control::new(shared.clone(), commands);
    let token = stop.rest.clone();
    tasks.spawn(TaskName::Control, async move {
        control::serve(
            control_listener,
            move |request| control.clone().handle(request),
            token,
        )
        .await;
        Ok(())
    });

    let reading = Reading::new(Parts {
        rules: Arc::clone(&config.tables),
        messages: Arc::clone(&config.messages),
        ignored_origins: Arc::clone(&config.ignore_origins),
        endpoints: endpoint_mappings(&config),
        tracker: Arc::clone(&shared.tracker),
        metrics: Arc::clone(&metrics),
        inboxes: ways.inboxes,
        holders: ways.holders,
        history: history(&restored.state, floor),
    })
    .with_keys(restored.state.rules.clone());
    let source = Source::new(source::Parts {
        config: Arc::new(config),
        state: restored.state,
        reading,
        shared,
        lineage,
        durable: to_confirm,
    });
    let stop = SourceStop {
        reading: stop.reading.clone(),
        stream: stop.stream.clone(),
    };
    tasks.spawn(TaskName::Source, async move { Ok(source.run(stop).await?) });
    info!(
        version = env!("CARGO_PKG_VERSION"),
        %slot,
        checkpoint = %floor,
        "started"
    );
    Ok(view)
}

/// What was read before this start.
pub fn history(state: &SlotState, checkpoint: Lsn) -> ReadHistory {
    let journal = state.journal.iter().map(|entry| ReadTransaction {
        kind: entry.kind,
        commit_lsn: entry.commit_lsn,
        xid: entry.xid,
        commit_time_us: entry.commit_time_us,
    });
    let known_from = state.journal_from.unwrap_or(checkpoint);
    ReadHistory::restored(journal.collect(), known_from, checkpoint)
}

/// The ways of events to the endpoints, by endpoint.
#[derive(Default)]
struct Ways {
    inboxes: Vec<Arc<Inbox>>,
    holders: Vec<Arc<Holder>>,
}

type Commands = HashMap<Arc<str>, mpsc::Sender<Command>>;

fn spawn_endpoints(
    config: &Config,
    restored: &Restored,
    shared: &Shared,
    tasks: &mut Tasks,
    stop: &Stop,
) -> Result<(Ways, Commands), DaemonError> {
    let state = &restored.state;
    let tls = tls_config()?;
    let base = Position::start_of(
        state
            .checkpoint
            .map_or(Lsn::ZERO, |checkpoint| checkpoint.lsn),
    );
    let mut ways = Ways::default();
    let mut senders = Commands::new();
    for (index, configured) in config.endpoints.iter().enumerate() {
        let inbox = Arc::new(Inbox::default());
        let holder = Arc::new(Holder::new(&shared.budget));
        let health = state
            .endpoints
            .iter()
            .find(|row| row.endpoint == *configured.name)
            .map_or(Health::Open, |row| restored_health(row.state));
        let positions = restored.positions(configured, shared.clock);
        let on_disk = restored.on_disk(configured);
        let endpoint = Endpoint {
            index: EndpointIndex(index),
            name: Arc::clone(&configured.name),
            batched: configured.lanes.batch.is_some(),
            park_statuses: configured.lanes.retry.park_statuses.clone(),
            lanes: Lanes::new(configured.lanes.clone(), base, positions, on_disk, health),
            inbox: Arc::clone(&inbox),
            holder: Arc::clone(&holder),
            client: Client::new(configured.target.clone(), tls.clone())?,
            shared: shared.clone(),
        };
        let (sender, commands) = mpsc::channel(16);
        let token = stop.endpoints.clone();
        tasks.spawn(
            TaskName::Endpoint(Arc::clone(&configured.name)),
            async move { Ok(endpoint.run(commands, token).await?) },
        );
        ways.inboxes.push(inbox);
        ways.holders.push(holder);
        senders.insert(Arc::clone(&configured.name), sender);
    }
    Ok((ways, senders))
}

fn endpoint_names(config: &Config) -> Vec<Arc<str>> {
    config
        .endpoints
        .iter()
        .map(|endpoint| Arc::clone(&endpoint.name))
        .collect()
}

/// Keys are worked out only for endpoints that order by them.
fn endpoint_mappings(config: &Config) -> Arc<[EndpointMapping]> {
    let endpoints = config.endpoints.iter();
    endpoints
        .map(|endpoint| EndpointMapping {
            name: Arc::clone(&endpoint.name),
            key_use: match endpoint.lanes.order {
                Order::Key { .. } => KeyUse::Needed,
                Order::Table | Order::Endpoint => KeyUse::NotNeeded,
            },
            form: endpoint.form,
        })
        .collect()
}

fn endpoint_views(config: &Config) -> Vec<EndpointView> {
    config
        .endpoints
        .iter()
        .map(|endpoint| EndpointView {
            name: Arc::clone(&endpoint.name),
            origin: endpoint.target.origin(),
            health: EndpointHealth::Ok,
            since: SystemTime::now(),
            waiting_events: 0,
            waiting_bytes: 0,
            oldest_commit_time_us: None,
        })
        .collect()
}
