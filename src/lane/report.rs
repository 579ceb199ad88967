//! What the log says of an endpoint: a line when it begins to fail, one now and
//! then, one when it is well again.

use super::attempt::MonotonicMs;

/// How often a failure that goes on is told.
const AGAIN_AFTER_MS: MonotonicMs = 60_000;

/// What to say now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Nothing,
    FailureBegan,
    StillFailing {
        for_ms: MonotonicMs,
        attempts: u64,
    },
    Recovered {
        after_ms: MonotonicMs,
        attempts: u64,
    },
}

/// Follows the outcomes of one endpoint.
#[derive(Debug, Default)]
pub struct Report {
    failing: Option<Failing>,
}

#[derive(Debug)]
struct Failing {
    since: MonotonicMs,
    told: MonotonicMs,
    attempts: u64,
}

impl Report {
    pub fn failed(&mut self, now: MonotonicMs) -> Line {
        let Some(failing) = &mut self.failing else {
            self.failing = Some(Failing {
                since: now,
                told: now,
                attempts: 1,
            });
            return Line::FailureBegan;
        };
        failing.attempts += 1;
        if now - failing.told < AGAIN_AFTER_MS {
            return Line::Nothing;
        }
        failing.told = now;
        Line::StillFailing {
            for_ms: now - failing.since,
            attempts: failing.attempts,
        }
    }

    /// No lane of the endpoint is failing any more.
    pub fn well(&mut self, now: MonotonicMs) -> Line {
        match self.failing.take() {
            None => Line::Nothing,
            Some(failing) => Line::Recovered {
                after_ms: now - failing.since,
                attempts: failing.attempts,
            },
        }
    }

    /// Since it began to fail.
    pub fn failed_attempts(&self) -> u32 {
        let attempts = self.failing.as_ref().map_or(0, |failing| failing.attempts);
        u32::try_from(attempts).unwrap_or(u32::MAX)
    }

    pub fn is_failing(&self) -> bool {
        self.failing.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_when_it_begins_one_now_and_then_one_when_it_ends() {
        let mut report = Report::default();
        assert_eq!(report.well(0), Line::Nothing);
        assert_eq!(report.failed(10), Line::FailureBegan);
        assert_eq!(report.failed(20), Line::Nothing);
        let still = Line::StillFailing {
            for_ms: 60_000,
            attempts: 3,
        };
        assert_eq!(report.failed(60_010), still);
        let recovered = Line::Recovered {
            after_ms: 70_000,
            attempts: 3,
        };
        assert_eq!(report.well(70_010), recovered);
        assert_eq!(report.failed(80_000), Line::FailureBegan);
    }
}
