//! What follows from an outcome: settled events are told to the tracker, given-up ones
//! become dead letters first.

use tracing::warn;

use super::{Done, Task, count_run, counters, place};
use crate::delivery::outcome::{Answer, Outcome};
use crate::event::EventId;
use crate::lane::attempt::{Park, ParkReason, Settled, Ticket};
use crate::lane::clock::{since_commit, unix_us};
use crate::lsn::Lsn;
use crate::store::{
    DeadReason, DisabledBy, EndpointState, LanePosition, NewDeadLetter, StoredEvent, Verdict,
};
use crate::telemetry::metrics::OfEndpoint;

impl Task {
    pub(super) fn delivered(&mut self, settled: Settled) {
        let histogram = self
            .endpoint
            .shared
            .metrics
            .delivery_seconds
            .get_or_create_owned(&OfEndpoint {
                endpoint: self.endpoint.name.to_string(),
            });
        for event in &settled.events {
            histogram.observe(since_commit(event.commit_time_us).as_secs_f64());
            let counters = counters(&mut self.counters, &self.endpoint, &event.table);
            counters.delivered.inc();
            counters.waiting.dec();
        }
        if settled.retried {
            let ids: Vec<EventId> = settled.events.iter().map(|event| event.id).collect();
            let count = ids.len();
            let (slot, name) = self.names();
            let store = self.endpoint.shared.store.clone();
            self.running.push(Box::pin(async move {
                let stored = store
                    .call(move |store| store.dead_delivered(&slot, &name, &ids).map(drop))
                    .await;
                Done::RetriedRemoved { count, stored }
            }));
        } else {
            self.settle(&settled);
        }
    }

    /// Their dead letters are durable.
    pub(super) fn parked(&mut self, settled: Settled) {
        for event in &settled.events {
            let counters = counters(&mut self.counters, &self.endpoint, &event.table);
            counters.dead.inc();
            counters.waiting.dec();
        }
        if settled.retried {
            self.retried.waiting = self.retried.waiting.saturating_sub(settled.events.len());
        } else {
            self.settle(&settled);
        }
    }

    /// Tells the tracker, and gives the memory back.
    pub(super) fn settle(&mut self, settled: &Settled) {
        let mut runs: Vec<(Lsn, u64)> = Vec::new();
        let mut bytes = 0;
        for event in &settled.events {
            count_run(&mut runs, event.position.lsn);
            bytes += event.memory_bytes() as u64;
        }
        self.waiting_events = self
            .waiting_events
            .saturating_sub(settled.events.len() as u64);
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        let endpoint = &self.endpoint;
        let places = settled
            .positions
            .iter()
            .map(|progress| place(endpoint, progress));
        endpoint.shared.tracker.settled(runs, places);
        endpoint.shared.budget.give_back(bytes);
    }

    /// How often a head failed, and since when, goes into the next checkpoint, so
    /// that `retry.for` survives a restart.
    pub(super) fn remember_failing(&self, ticket: Ticket) {
        let endpoint = &self.endpoint;
        if let Some(progress) = endpoint.lanes.failing_at(ticket) {
            let place = place(endpoint, &progress);
            endpoint.shared.tracker.settled([], [place]);
        }
    }

    pub(super) fn park(&mut self, park: Park, last: Option<(&Outcome, &Answer)>) {
        let clock = self.endpoint.shared.clock;
        let (last_status, beginning) = match last {
            Some((
                _,
                Answer::Response {
                    status, beginning, ..
                },
            )) => (Some(*status), beginning.clone()),
            Some((_, Answer::None(_))) | None => (None, Vec::new()),
        };
        let last_error = last.map(|(outcome, _)| outcome.to_string());
        let verdict = Verdict {
            reason: match park.reason {
                ParkReason::Refused => DeadReason::ParkStatus,
                ParkReason::TooOld => DeadReason::Expired,
                ParkReason::RuleFailed => DeadReason::ConditionFailed,
            },
            parked_at_ms: unix_us().div_euclid(1000),
            first_attempt_at_ms: (park.attempts > 0).then(|| clock.to_unix_ms(park.first_attempt)),
            attempts: park.attempts,
            last_status,
            last_error: last_error.clone(),
            answer: beginning,
        };
        warn!(
            endpoint = %self.endpoint.name,
            events = park.events.len(),
            attempts = park.attempts,
            last = last_error.as_deref().unwrap_or("rule failed"),
            "events became dead letters"
        );
        let (slot, name) = self.names();
        let ticket = park.ticket;
        let store = self.endpoint.shared.store.clone();
        if park.retried {
            let ids: Vec<EventId> = park.events.iter().map(|event| event.id).collect();
            self.running.push(Box::pin(async move {
                let stored = store
                    .call(move |store| {
                        ids.iter().try_for_each(|id| {
                            store.dead_again(&slot, &name, *id, &verdict).map(drop)
                        })
                    })
                    .await;
                Done::Parked { ticket, stored }
            }));
            return;
        }
        let lane = park
            .positions
            .first()
            .map(|progress| progress.lane.to_string());
        let dead: Vec<NewDeadLetter> = park
            .events
            .iter()
            .map(|event| NewDeadLetter {
                endpoint: name.to_string(),
                lane: lane.clone().unwrap_or_default(),
                event: StoredEvent::of(event),
                verdict: verdict.clone(),
            })
            .collect();
        let positions: Vec<LanePosition> = park
            .positions
            .iter()
            .map(|progress| LanePosition {
                endpoint: name.to_string(),
                lane: progress.lane.to_string(),
                position: progress.position,
                first_attempt_at_ms: None,
                attempts: 0,
            })
            .collect();
        self.running.push(Box::pin(async move {
            let stored = store
                .call(move |store| store.park(&slot, dead, positions))
                .await;
            Done::Parked { ticket, stored }
        }));
    }

    /// 410: nothing is sent until a person enables the endpoint, also after a restart.
    pub(super) fn disable(&mut self) {
        warn!(
            endpoint = %self.endpoint.name,
            "endpoint answered 410 and is disabled; its events wait until \"walhook endpoint enable\""
        );
        let (slot, name) = self.names();
        let state = EndpointState::Disabled(DisabledBy::Gone410);
        let since = unix_us().div_euclid(1000);
        self.store(move |store| store.set_endpoint(&slot, &name, state, since));
    }
}
