//! What follows from an outcome: settled events are told to the tracker, given-up ones
//! become dead letters first.

use tracing::warn;

use super::{Done, Task, counters};
use crate::delivery::outcome::{Answer, Outcome};
use crate::event::{EventId, Unsent};
use crate::lane::attempt::{HeadProgress, Park, ParkReason, Progress, Settled, Ticket};
use crate::lane::clock::{since_commit, unix_us};
use crate::progress::tracker::Advance;
use crate::store::{DeadReason, DisabledBy, EndpointState, NewDeadLetter, StoredEvent, Verdict};
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
            let delivered = ids.clone();
            let (slot, name) = self.names();
            let store = self.endpoint.shared.store.clone();
            self.running.push(Box::pin(async move {
                let stored = store
                    .call(move |store| store.dead_delivered(&slot, &name, &delivered).map(drop))
                    .await;
                Done::RetriedRemoved { ids, stored }
            }));
        } else {
            self.settle(settled.progress);
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
            self.retried_done(settled.events.iter().map(|event| event.id));
        } else {
            self.settle(settled.progress);
        }
    }

    /// Tells the tracker what is settled and where the lanes are.
    pub(super) fn settle(&mut self, progress: Progress) {
        let count: u64 = progress.settled.iter().map(|(_, count)| count).sum();
        self.waiting_events = self.waiting_events.saturating_sub(count);
        self.waiting_bytes = self.waiting_bytes.saturating_sub(progress.settled_bytes);
        let kept = self.endpoint.kept();
        let places = progress.positions.iter().map(|at| kept.place(at));
        let on_disk = progress.on_disk.iter().map(|at| kept.disk_place(at));
        self.endpoint.shared.tracker.advance(Advance {
            settled: progress.settled,
            places: places.collect(),
            on_disk: on_disk.collect(),
        });
    }

    /// How often a head failed, and since when, goes into the next checkpoint, so
    /// that `retry.for` survives a restart.
    pub(super) fn remember_failing(&self, ticket: Ticket) {
        let endpoint = &self.endpoint;
        let mut advance = Advance::default();
        match endpoint.lanes.failing_at(ticket) {
            None => return,
            Some(HeadProgress::Memory(at)) => advance.places.push(endpoint.kept().place(&at)),
            Some(HeadProgress::Disk(at)) => advance.on_disk.push(endpoint.kept().disk_place(&at)),
        }
        endpoint.shared.tracker.advance(advance);
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
                ParkReason::Unsent(Unsent::RuleFailed) => DeadReason::ConditionFailed,
                ParkReason::Unsent(Unsent::TooLarge) => DeadReason::TooLarge,
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
            last = last_error.as_deref().unwrap_or(verdict.reason.as_str()),
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
        let dead: Vec<NewDeadLetter> = park
            .events
            .iter()
            .map(|event| NewDeadLetter {
                endpoint: name.to_string(),
                lane: park.lane.to_string(),
                event: StoredEvent::of(event),
                verdict: verdict.clone(),
            })
            .collect();
        let kept = self.endpoint.kept();
        let positions = park.positions.iter().map(|at| kept.position(at));
        let runs = park.on_disk.iter().map(|at| kept.run_progress(at));
        let progress = crate::store::Progress {
            dead,
            positions: positions.collect(),
            runs: runs.collect(),
            ..crate::store::Progress::of(&*slot)
        };
        self.running.push(Box::pin(async move {
            let stored = store.call(move |store| store.commit(&progress)).await;
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
