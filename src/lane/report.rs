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
    /// When a line was last said of it. An endpoint that fails and recovers all the
    /// time would else have two lines a request.
    told: Option<MonotonicMs>,
}

#[derive(Debug)]
struct Failing {
    since: MonotonicMs,
    attempts: u64,
    /// Whether its beginning was told; what was not has no end to tell either.
    told: bool,
}

impl Report {
    pub fn failed(&mut self, now: MonotonicMs) -> Line {
        let may_speak = self.told.is_none_or(|told| now - told >= AGAIN_AFTER_MS);
        let failing = self.failing.get_or_insert(Failing {
            since: now,
            attempts: 0,
            told: false,
        });
        failing.attempts += 1;
        if !may_speak {
            return Line::Nothing;
        }
        self.told = Some(now);
        failing.told = true;
        if failing.attempts == 1 {
            return Line::FailureBegan;
        }
        Line::StillFailing {
            for_ms: now - failing.since,
            attempts: failing.attempts,
        }
    }

    /// No lane of the endpoint is failing any more.
    pub fn well(&mut self, now: MonotonicMs) -> Line {
        match self.failing.take() {
            Some(failing) if failing.told => Line::Recovered {
                after_ms: now - failing.since,
                attempts: failing.attempts,
            },
            _ => Line::Nothing,
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
        assert_eq!(report.failed(120_010), Line::FailureBegan);
    }

    #[test]
    fn an_endpoint_that_flaps_has_two_lines_a_minute() {
        let mut report = Report::default();
        let mut lines = Vec::new();
        // Every second: a failure, and a success half a second later.
        for second in 0..180 {
            lines.push(report.failed(second * 1000));
            lines.push(report.well(second * 1000 + 500));
        }
        lines.retain(|line| *line != Line::Nothing);
        let recovered = Line::Recovered {
            after_ms: 500,
            attempts: 1,
        };
        assert_eq!(lines, [Line::FailureBegan, recovered].repeat(3));
    }
}
