//! What the endpoint's task shows of it: log lines, the view, gauges.

use std::time::SystemTime;

use tracing::{info, warn};

use super::Task;
use crate::delivery::outcome::Outcome;
use crate::lane::attempt::MonotonicMs;
use crate::lane::health::Health;
use crate::lane::report::Line;
use crate::lane::state::Why;
use crate::telemetry::metrics::OfEndpoint;
use crate::telemetry::view::EndpointHealth;

/// How often the view of waiting events is brought up to date.
const VIEW_EVERY_MS: MonotonicMs = 500;

impl Task {
    /// Logs what an outcome changed, and shows it.
    pub(super) fn tell(&mut self, outcome: &Outcome, now: MonotonicMs) {
        let name = &self.endpoint.name;
        if *outcome != Outcome::Delivered {
            match self.report.failed(now) {
                Line::FailureBegan => {
                    warn!(endpoint = %name, %outcome, "endpoint is failing");
                    self.show_failing(outcome);
                }
                Line::StillFailing { for_ms, attempts } => {
                    warn!(
                        endpoint = %name,
                        %outcome,
                        seconds = for_ms / 1000,
                        attempts,
                        waiting = self.waiting_events,
                        "endpoint is still failing"
                    );
                    self.show_failing(outcome);
                }
                // Not told, but to be seen by who looks.
                Line::Nothing if self.report.failed_attempts() == 1 => self.show_failing(outcome),
                Line::Nothing | Line::Recovered { .. } => {}
            }
            return;
        }
        if !self.report.is_failing() || self.endpoint.lanes.any_failing() {
            return;
        }
        if let Line::Recovered { after_ms, attempts } = self.report.well(now) {
            info!(
                endpoint = %name,
                seconds = after_ms / 1000,
                attempts,
                waiting = self.waiting_events,
                "endpoint has recovered"
            );
        }
        self.show_health();
    }

    pub(super) fn show_failing(&self, outcome: &Outcome) {
        if !matches!(self.endpoint.lanes.health(), Health::Disabled(_)) {
            self.show(EndpointHealth::Failing {
                last: outcome.to_string(),
                attempts: self.report.failed_attempts(),
            });
        } else {
            self.show_health();
        }
    }

    pub(super) fn show_health(&self) {
        self.show(match self.endpoint.lanes.health() {
            Health::Disabled(by) => EndpointHealth::Disabled { by: by.to_string() },
            _ => EndpointHealth::Ok,
        });
    }

    pub(super) fn show(&self, health: EndpointHealth) {
        let up = i64::from(health == EndpointHealth::Ok);
        let shared = &self.endpoint.shared;
        shared
            .metrics
            .endpoint_up
            .get_or_create(&OfEndpoint {
                endpoint: self.endpoint.name.to_string(),
            })
            .set(up);
        let place = self.endpoint.index.0;
        shared.view.set_health(place, health, SystemTime::now());
    }

    /// What is done now and then: events that are too long in memory go to disk, and the
    /// view of what waits is brought up to date.
    pub(super) fn tick(&mut self) {
        let now = self.endpoint.shared.clock.now();
        // That nothing waits any more is shown at once: no timer follows it.
        let waits = self.waiting_events > 0 || self.spooling.told;
        if now < self.view_due && (waits || self.shows_nothing) {
            return;
        }
        self.move_to_disk(Why::Age);
        self.shows_nothing = self.waiting_events == 0 && !self.spooling.told;
        self.view_due = now + VIEW_EVERY_MS;
        let oldest = self.endpoint.lanes.oldest_commit_time_us();
        let (events, bytes) = (self.waiting_events, self.waiting_bytes);
        self.endpoint.shared.view.update(|shown| {
            if let Some(view) = shown.endpoints.get_mut(self.endpoint.index.0) {
                view.waiting_events = events;
                view.waiting_bytes = bytes;
                view.oldest_commit_time_us = oldest;
            }
        });
    }
}
