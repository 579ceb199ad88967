//! An endpoint's task: it owns the endpoint's lanes and makes their attempts.
//!
//! ```text
//! inbox --> Lanes --> attempt --> client --> outcome --> Lanes --> tracker (settled)
//!            ^ `--> store (spool)                           `--> store (dead letters)
//!            `----- store (spool, dead letters that a person sent again)
//! ```
//!
//! One task an endpoint, whatever the number of its lanes: its requests are futures
//! inside it, `concurrency` of them at most. It starts no attempt once it is told to
//! stop, waits for those in flight, and tells the tracker of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::attempt::{Attempt, Finished, LaneIndex, MonotonicMs, Next, Pushed, Ticket};
use super::budget::{Holder, MemoryBudget};
use super::clock::{Clock, unix_us};
use super::health::{DisabledBy, Health};
use super::inbox::Inbox;
use super::report::Report;
use super::spool_room::SpoolRoom;
use super::state::{Lanes, Why, count_run};
use crate::change::TableName;
use crate::delivery::client::Client;
use crate::delivery::outcome::{Answer, Outcome, Unreachable, outcome};
use crate::delivery::request::Webhook;
use crate::event::{EndpointIndex, Event, EventId};
use crate::failpoint;
use crate::lsn::Lsn;
use crate::progress::tracker::{Advance, Tracker};
use crate::store::{EndpointState, RetryingEvent, StoreCallError, StoreHandle, WaitingRun};
use crate::telemetry::metrics::{EventCounters, Metrics, OfAttempt};
use crate::telemetry::view::View;
use kept::Kept;
use retried::Retried;
use spool::Spooling;

pub mod kept;
mod retried;
mod settle;
mod spool;
mod tell;

/// What a person asked for.
#[derive(Debug)]
pub enum Command {
    /// Dead letters were marked to be sent again.
    Retry,
    /// Dead letters were dropped; some may have been on their way. It is answered once none of
    /// them will be attempted any more.
    Dropped(oneshot::Sender<()>),
    /// Lift what disabled the endpoint. It is stored already.
    Enable,
}

/// What all endpoints of the daemon share.
#[derive(Clone, Debug)]
pub struct Shared {
    pub slot: Arc<str>,
    pub tracker: Arc<Tracker>,
    pub budget: Arc<MemoryBudget>,
    pub spool: Arc<SpoolRoom>,
    pub store: StoreHandle,
    pub metrics: Arc<Metrics>,
    pub view: Arc<View>,
    pub clock: Clock,
}

/// One endpoint. See the module's picture.
#[derive(Debug)]
pub struct Endpoint {
    pub index: EndpointIndex,
    pub name: Arc<str>,
    pub batched: bool,
    pub park_statuses: Vec<u16>,
    pub lanes: Lanes,
    pub inbox: Arc<Inbox>,
    pub holder: Arc<Holder>,
    pub client: Client,
    pub shared: Shared,
}

impl Endpoint {
    fn kept(&self) -> Kept<'_, Clock> {
        Kept {
            endpoint: self.index,
            name: &self.name,
            wall: self.shared.clock,
        }
    }
}

/// What ended, of what the task waits for.
enum Done {
    Attempt {
        ticket: Ticket,
        answer: Answer,
    },
    Parked {
        ticket: Ticket,
        stored: Result<(), StoreCallError>,
    },
    /// Waiting events were appended to the spool.
    Written(Result<spool::Written, StoreCallError>),
    Read {
        lane: LaneIndex,
        runs: Result<Vec<WaitingRun>, StoreCallError>,
    },
    RetriedRead(Result<Vec<RetryingEvent>, StoreCallError>),
    /// Dead letters that were sent again and delivered are gone from the store.
    RetriedRemoved {
        ids: Vec<EventId>,
        stored: Result<(), StoreCallError>,
    },
    /// Those of the letters in the lanes that a person dropped.
    RetriedDropped(Result<Vec<EventId>, StoreCallError>),
    Stored(Result<(), StoreCallError>),
}

/// What happened, for the loop.
enum Happened {
    Stop,
    Command(Option<Command>),
    Arrived,
    Done(Option<Done>),
    /// Reading waits for memory of which this endpoint holds most.
    Pressed,
    Time,
}

impl Endpoint {
    /// Runs until `stop`. The error is of the state file.
    pub async fn run(
        self,
        commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
    ) -> Result<(), StoreCallError> {
        Task {
            counters: HashMap::new(),
            report: Report::default(),
            waiting_events: 0,
            waiting_bytes: 0,
            view_due: 0,
            shows_nothing: true,
            spooling: Spooling::default(),
            retried: Retried::default(),
            running: FuturesUnordered::new(),
            arrived: Vec::new(),
            endpoint: self,
        }
        .run(commands, stop)
        .await
    }
}

struct Task {
    endpoint: Endpoint,
    counters: HashMap<Arc<TableName>, EventCounters>,
    report: Report,
    /// In memory alone: not settled yet.
    waiting_events: u64,
    waiting_bytes: u64,
    view_due: MonotonicMs,
    /// The view says that nothing waits.
    shows_nothing: bool,
    spooling: Spooling,
    retried: Retried,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
    arrived: Vec<Event>,
}

impl Task {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
    ) -> Result<(), StoreCallError> {
        self.show_health();
        self.retried.asked = true;
        self.spooling.told = self.endpoint.lanes.is_spooling();
        loop {
            self.read_retried();
            self.send();
            self.spool();
            let happened = self.wait(&mut commands, &stop).await;
            match happened {
                Happened::Stop => break,
                Happened::Command(Some(command)) => self.command(command),
                Happened::Command(None) => {}
                Happened::Arrived => self.take_in(),
                Happened::Done(done) => {
                    if let Some(done) = done {
                        self.done(done)?;
                    }
                }
                Happened::Pressed => self.move_to_disk(Why::Pressure),
                Happened::Time => {}
            }
            self.tick();
        }
        self.drain().await
    }

    /// Waits for the next thing to happen. Priorities: stop, what a person asked,
    /// new events (one lock for all of them), what has ended, time.
    async fn wait(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        stop: &CancellationToken,
    ) -> Happened {
        let now = self.endpoint.shared.clock.now();
        let wake = self.endpoint.lanes.wake_at(now);
        let waits = self.waiting_events > 0 || self.spooling.told;
        let view = waits.then_some(self.view_due.max(now + 1));
        let spool = self.spooling.again_at.map(|at| at.max(now + 1));
        let wake = wake.into_iter().chain(view).chain(spool).min();
        let wake = wake.map(|at| self.endpoint.shared.clock.instant(at));
        tokio::select! {
            biased;
            () = stop.cancelled() => Happened::Stop,
            Some(command) = commands.recv() => Happened::Command(Some(command)),
            () = self.endpoint.inbox.take(&mut self.arrived) => Happened::Arrived,
            done = self.running.next(), if !self.running.is_empty() => Happened::Done(done),
            () = self.endpoint.holder.pressed.notified() => Happened::Pressed,
            () = sleep_until(wake), if wake.is_some() => Happened::Time,
        }
    }

    /// Waits for what is in flight, starting nothing new. What is in memory goes to disk
    /// meanwhile, so that the next start has nothing to read again.
    async fn drain(mut self) -> Result<(), StoreCallError> {
        self.write_all();
        while let Some(done) = self.running.next().await {
            self.done(done)?;
            self.write_all();
        }
        Ok(())
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Retry => self.retried.asked = true,
            Command::Dropped(done) => {
                self.retried.dropped = true;
                self.retried.to_tell.push(done);
            }
            Command::Enable => {
                info!(endpoint = %self.endpoint.name, "endpoint enabled");
                self.endpoint.lanes.enable();
                let tracker = &self.endpoint.shared.tracker;
                tracker.misses_no_more(self.endpoint.index);
                self.show_health();
            }
        }
    }

    fn take_in(&mut self) {
        let now = self.endpoint.shared.clock.now();
        let mut repeats: Vec<(Lsn, u64)> = Vec::new();
        let mut arrived = std::mem::take(&mut self.arrived);
        for event in arrived.drain(..) {
            let counters = counters(&mut self.counters, &self.endpoint, &event.table);
            let bytes = event.body.len() as u64;
            let lsn = event.position.lsn;
            match self.endpoint.lanes.push(event, now) {
                Pushed::Queued => {
                    counters.made.inc();
                    counters.waiting.inc();
                    self.waiting_events += 1;
                    self.waiting_bytes += bytes;
                }
                Pushed::Repeat => {
                    counters.repeated.inc();
                    count_run(&mut repeats, lsn);
                }
                Pushed::Missed => {
                    counters.missed.inc();
                    let endpoint = &self.endpoint;
                    endpoint.shared.tracker.missed(endpoint.index, lsn, 1);
                }
            }
        }
        self.arrived = arrived;
        if !repeats.is_empty() {
            self.endpoint.shared.tracker.advance(Advance {
                settled: repeats,
                ..Advance::default()
            });
        }
    }

    /// Starts every attempt that may be made now.
    fn send(&mut self) {
        let now = self.endpoint.shared.clock.now();
        while let Some(next) = self.endpoint.lanes.next(now) {
            let attempt = match next {
                Next::Attempt(attempt) => attempt,
                Next::Park(park) => {
                    self.park(park, None);
                    continue;
                }
            };
            let client = self.endpoint.client.clone();
            let batched = self.endpoint.batched;
            self.running.push(Box::pin(async move {
                let Attempt {
                    ticket,
                    events,
                    number,
                } = attempt;
                let webhook = webhook(&events, batched);
                drop(events);
                let timestamp = unix_us().div_euclid(1_000_000);
                let mut answer = client.post(&webhook, timestamp, number).await;
                if failpoint::after("answer").is_err() {
                    answer = Answer::None(Unreachable::Closed);
                }
                Done::Attempt { ticket, answer }
            }));
        }
    }

    fn done(&mut self, done: Done) -> Result<(), StoreCallError> {
        match done {
            Done::Attempt { ticket, answer } => self.attempted(ticket, &answer),
            Done::Parked { ticket, stored } => {
                stored?;
                let now = self.endpoint.shared.clock.now();
                let settled = self.endpoint.lanes.parked(ticket, now);
                self.parked(settled);
            }
            Done::Written(written) => self.written(written)?,
            Done::Read { lane, runs } => self.read_back(lane, runs?),
            Done::RetriedRead(events) => self.retried_read(events?),
            Done::RetriedRemoved { ids, stored } => {
                stored?;
                self.retried_done(ids);
            }
            Done::RetriedDropped(dropped) => self.retried_dropped(&dropped?),
            Done::Stored(stored) => stored?,
        }
        Ok(())
    }

    fn attempted(&mut self, ticket: Ticket, answer: &Answer) {
        let endpoint = &mut self.endpoint;
        let now = endpoint.shared.clock.now();
        let outcome = outcome(answer, &endpoint.park_statuses, SystemTime::now());
        let of = OfAttempt {
            endpoint: endpoint.name.to_string(),
            outcome: outcome.as_str(),
        };
        endpoint.shared.metrics.attempts.get_or_create(&of).inc();
        let finished = endpoint
            .lanes
            .finish(ticket, &outcome, now, fastrand::u64(..));
        match finished {
            Finished::Again => {
                self.retried.dropped |= std::mem::take(&mut self.retried.dropped_in_flight);
                self.remember_failing(ticket);
            }
            Finished::Settled(settled) => self.delivered(settled),
            Finished::Park(park) => self.park(park, Some((&outcome, answer))),
        }
        if outcome == Outcome::Gone {
            self.disable();
        }
        self.tell(&outcome, now);
    }

    fn names(&self) -> (Arc<str>, Arc<str>) {
        (
            Arc::clone(&self.endpoint.shared.slot),
            Arc::clone(&self.endpoint.name),
        )
    }

    fn store<F>(&mut self, job: F)
    where
        F: FnOnce(&mut crate::store::Store) -> Result<(), crate::store::StoreError>
            + Send
            + 'static,
    {
        let store = self.endpoint.shared.store.clone();
        self.running
            .push(Box::pin(async move { Done::Stored(store.call(job).await) }));
    }
}

/// The state file's word for what disabled an endpoint, as the lanes know it.
pub fn restored_health(state: EndpointState) -> Health {
    match state {
        EndpointState::Enabled => Health::Open,
        EndpointState::Disabled(by) => Health::Disabled(match by {
            crate::store::DisabledBy::Gone410 => DisabledBy::Gone,
            crate::store::DisabledBy::SpoolFull => DisabledBy::SpoolFull,
            crate::store::DisabledBy::Operator => DisabledBy::Operator,
        }),
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn webhook(events: &[Arc<Event>], batched: bool) -> Webhook {
    match events {
        [event] if !batched => Webhook::single(event.id, event.body.clone()),
        events => Webhook::batch(events.iter().map(|event| (event.id, &event.body))),
    }
}

fn counters<'a>(
    all: &'a mut HashMap<Arc<TableName>, EventCounters>,
    endpoint: &Endpoint,
    table: &Arc<TableName>,
) -> &'a EventCounters {
    all.entry(Arc::clone(table))
        .or_insert_with(|| EventCounters::new(&endpoint.shared.metrics, table, &endpoint.name))
}
