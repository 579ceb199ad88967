//! An endpoint's health: what an outcome said of the endpoint as a whole.

use std::fmt;

use super::attempt::MonotonicMs;
use crate::delivery::outcome::{Outcome, Unreachable};

/// Whether an endpoint's lanes may send. Times are [`MonotonicMs`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Open,
    /// No answer: after each wait one lane probes, the others stand by.
    Unreachable {
        since: MonotonicMs,
        failures: u32,
        why: Unreachable,
        probe: Probe,
    },
    /// Asked to wait by Retry-After.
    Paused {
        since: MonotonicMs,
        until: MonotonicMs,
        status: u16,
    },
    /// Until a person enables it.
    Disabled(DisabledBy),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    At(MonotonicMs),
    /// This lane's attempt is the probe.
    By(usize),
}

/// What disabled an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisabledBy {
    /// It answered 410.
    Gone,
    /// Its events filled the spool.
    SpoolFull,
    /// A person.
    Operator,
}

impl fmt::Display for DisabledBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DisabledBy::Gone => "it answered 410 Gone",
            DisabledBy::SpoolFull => "its events filled the spool",
            DisabledBy::Operator => "a person disabled it",
        })
    }
}

impl Health {
    pub(super) fn may_send(&self, now: MonotonicMs) -> bool {
        match self {
            Health::Open => true,
            Health::Unreachable {
                probe: Probe::At(at),
                ..
            } => *at <= now,
            Health::Paused { until, .. } => *until <= now,
            Health::Unreachable {
                probe: Probe::By(_),
                ..
            }
            | Health::Disabled(_) => false,
        }
    }

    pub(super) fn wake_at(&self, now: MonotonicMs) -> Option<MonotonicMs> {
        match self {
            Health::Unreachable {
                probe: Probe::At(at),
                ..
            } => Some(*at),
            Health::Paused { until, .. } => Some(*until),
            _ => None,
        }
        .filter(|at| *at > now)
    }

    /// A lane's attempt has begun.
    pub(super) fn sent(&mut self, lane: usize) {
        if let Health::Unreachable { probe, .. } = self {
            *probe = Probe::By(lane);
        }
    }

    /// A lane's attempt has ended.
    pub(super) fn finished(
        &mut self,
        lane: usize,
        outcome: &Outcome,
        now: MonotonicMs,
        backoff: impl Fn(u32) -> MonotonicMs,
    ) {
        match (outcome, &mut *self) {
            (_, Health::Disabled(_)) => {}
            (Outcome::Gone, _) => *self = Health::Disabled(DisabledBy::Gone),
            (
                Outcome::Unreachable(because),
                Health::Unreachable {
                    failures,
                    why,
                    probe,
                    ..
                },
            ) => {
                // Attempts that were in flight when the first one failed say nothing new.
                if *probe == Probe::By(lane) {
                    *failures = failures.saturating_add(1);
                    *why = *because;
                    *probe = Probe::At(now.saturating_add(backoff(*failures).max(1)));
                }
            }
            // An attempt that was in flight before the pause does not end it.
            (Outcome::Unreachable(_), Health::Paused { until, .. }) if *until > now => {}
            (Outcome::Unreachable(why), _) => {
                *self = Health::Unreachable {
                    since: now,
                    failures: 0,
                    why: *why,
                    probe: Probe::At(now.saturating_add(backoff(0).max(1))),
                };
            }
            (Outcome::Paused { status, wait }, _) => {
                let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
                let until = now.saturating_add(wait.max(1));
                match self {
                    Health::Paused { until: other, .. } => *other = until.max(*other),
                    _ => {
                        *self = Health::Paused {
                            since: now,
                            until,
                            status: *status,
                        };
                    }
                }
            }
            (
                Outcome::Delivered | Outcome::Rejected { .. } | Outcome::Refused { .. },
                Health::Paused { until, .. },
            ) => {
                // Nor does any answer to one.
                if *until <= now {
                    *self = Health::Open;
                }
            }
            (Outcome::Delivered | Outcome::Rejected { .. } | Outcome::Refused { .. }, _) => {
                *self = Health::Open;
            }
        }
    }
}
