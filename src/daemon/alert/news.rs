//! What is new: compares what is shown with what was told. Pure.

use std::collections::BTreeMap;

use super::event::{Alert, Lag};
use crate::telemetry::view::{EndpointHealth, EndpointView, Shown, SpoolShown};

/// An endpoint that fails for less is no news.
const FAILING_MS: i64 = 5_000;
/// An endpoint that fails and recovers all the time is told of so often at most.
const FAILING_AGAIN_MS: i64 = 60_000;
/// A slot that goes on lagging is told of again.
const LAGGING_AGAIN_MS: i64 = 3_600_000;
/// Percent of the spool, each told once; below the last one all of them may be told again.
const SPOOL_LEVELS: [u64; 4] = [50, 75, 90, 100];
const SPOOL_CALM: u64 = 40;

#[derive(Debug, Default)]
pub struct News {
    endpoints: BTreeMap<String, Told>,
    lagging_told_ms: Option<i64>,
    spool_level: u64,
}

/// What was told of an endpoint.
#[derive(Debug, Default)]
struct Told {
    state: State,
    /// Seen failing since then, told or not.
    failing_ms: Option<i64>,
    failing_told_ms: Option<i64>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Well,
    Failing {
        since_ms: i64,
    },
    Disabled {
        since_ms: i64,
    },
}

impl News {
    /// What is to be told at `now_ms` (Unix). `waiting` says how many events wait for an
    /// endpoint.
    pub fn of(
        &mut self,
        shown: &Shown,
        waiting: &BTreeMap<String, u64>,
        now_ms: i64,
    ) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for endpoint in &shown.endpoints {
            let name = endpoint.name.to_string();
            let waiting = waiting.get(&name).copied().unwrap_or_default();
            let told = self.endpoints.entry(name).or_default();
            alerts.extend(told.news(endpoint, waiting, now_ms));
        }
        alerts.extend(self.lagging(shown, now_ms));
        alerts.extend(self.filling(&shown.spool));
        alerts
    }

    fn lagging(&mut self, shown: &Shown, now_ms: i64) -> Option<Alert> {
        let Some(why) = shown.slot.lagging.clone() else {
            self.lagging_told_ms = None;
            return None;
        };
        let due = |told: i64| now_ms - told >= LAGGING_AGAIN_MS;
        if !self.lagging_told_ms.is_none_or(due) {
            return None;
        }
        self.lagging_told_ms = Some(now_ms);
        Some(Alert::SlotLagging(Lag {
            why,
            retained: shown.retained_bytes.unwrap_or_default(),
            safe: shown.slot.safe_wal_bytes,
            confirmed: shown.confirmed,
            wal_end: shown.wal_end,
        }))
    }

    fn filling(&mut self, spool: &SpoolShown) -> Option<Alert> {
        let percent = if spool.stops {
            100
        } else {
            spool.used.saturating_mul(100) / spool.limit.max(1)
        };
        if percent < SPOOL_CALM {
            self.spool_level = 0;
        }
        let level = SPOOL_LEVELS.into_iter().rfind(|level| percent >= *level)?;
        if level <= self.spool_level {
            return None;
        }
        self.spool_level = level;
        Some(Alert::SpoolFilling {
            used: spool.used,
            limit: spool.limit,
            endpoint: spool.most.as_ref().map(ToString::to_string),
            seconds_left: spool.full_in.map(|left| left.as_secs()),
        })
    }
}

impl Told {
    fn news(&mut self, endpoint: &EndpointView, waiting: u64, now_ms: i64) -> Option<Alert> {
        let name = endpoint.name.to_string();
        match &endpoint.health {
            EndpointHealth::Ok => {
                self.failing_ms = None;
                let since_ms = match std::mem::take(&mut self.state) {
                    State::Well => return None,
                    State::Failing { since_ms } | State::Disabled { since_ms } => since_ms,
                };
                Some(Alert::Recovered {
                    endpoint: name,
                    since_ms,
                    waiting,
                })
            }
            EndpointHealth::Failing { last, attempts } => {
                let since_ms = *self.failing_ms.get_or_insert(now_ms);
                let again = |told: i64| now_ms - told >= FAILING_AGAIN_MS;
                if matches!(self.state, State::Failing { .. })
                    || now_ms - since_ms < FAILING_MS
                    || !self.failing_told_ms.is_none_or(again)
                {
                    return None;
                }
                self.failing_told_ms = Some(now_ms);
                self.state = State::Failing { since_ms };
                Some(Alert::Failing {
                    endpoint: name,
                    since_ms,
                    attempts: *attempts,
                    last: last.clone(),
                    waiting,
                })
            }
            EndpointHealth::Disabled { by } => {
                self.failing_ms = None;
                if matches!(self.state, State::Disabled { .. }) {
                    return None;
                }
                self.state = State::Disabled { since_ms: now_ms };
                Some(Alert::Disabled {
                    endpoint: name,
                    by: by.clone(),
                    since_ms: now_ms,
                    waiting,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::telemetry::view::View;

    const OK: EndpointHealth = EndpointHealth::Ok;

    fn failing() -> EndpointHealth {
        EndpointHealth::Failing {
            last: "answered 500".into(),
            attempts: 3,
        }
    }

    fn shown(health: EndpointHealth, used: u64) -> Shown {
        let view = View::new(
            vec![EndpointView {
                name: "r".into(),
                origin: "http://r".into(),
                health,
                since: SystemTime::UNIX_EPOCH,
                waiting_events: 0,
                waiting_bytes: 0,
                oldest_commit_time_us: None,
            }],
            SystemTime::UNIX_EPOCH,
        );
        view.update(|shown| {
            shown.spool.used = used;
            shown.spool.limit = 1000;
        });
        view.shown()
    }

    fn kinds(news: &mut News, shown: &Shown, at_ms: i64) -> Vec<&'static str> {
        let alerts = news.of(shown, &BTreeMap::new(), at_ms);
        alerts.iter().map(Alert::kind).collect()
    }

    #[test]
    fn an_endpoint_is_told_of_once_when_it_fails_and_once_when_it_is_well() {
        let mut news = News::default();
        let mut at = |health: EndpointHealth, ms| kinds(&mut news, &shown(health, 0), ms);
        assert!(
            at(failing(), 0).is_empty(),
            "a failure of a moment is no news"
        );
        assert_eq!(at(failing(), 5_000), ["walhook.endpoint.failing"]);
        assert!(at(failing(), 60_000).is_empty());
        assert_eq!(at(OK, 61_000), ["walhook.endpoint.recovered"]);
        assert!(at(OK, 62_000).is_empty());
        let gone = EndpointHealth::Disabled { by: "410".into() };
        assert_eq!(at(gone.clone(), 63_000), ["walhook.endpoint.disabled"]);
        assert!(at(gone, 64_000).is_empty());
        assert_eq!(at(OK, 65_000), ["walhook.endpoint.recovered"]);
    }

    #[test]
    fn an_endpoint_that_flaps_is_told_of_once_a_minute() {
        let mut news = News::default();
        let mut told = Vec::new();
        for second in 0..180 {
            let health = if second % 10 < 8 { failing() } else { OK };
            told.extend(kinds(&mut news, &shown(health, 0), second * 1000));
        }
        told.retain(|kind| *kind == "walhook.endpoint.failing");
        assert_eq!(told.len(), 3);
    }

    #[test]
    fn a_spool_is_told_of_at_each_level_once() {
        let mut news = News::default();
        let mut told = |used| !news.of(&shown(OK, used), &BTreeMap::new(), 0).is_empty();
        assert!(!told(400));
        assert!(told(500));
        assert!(!told(600));
        assert!(told(1000));
        assert!(!told(450));
        assert!(!told(550), "it was never calm");
        assert!(!told(100));
        assert!(told(510));
    }

    #[test]
    fn a_slot_that_goes_on_lagging_is_told_of_every_hour() {
        let mut news = News::default();
        let mut lagging = shown(OK, 0);
        lagging.slot.lagging = Some("1 GiB of WAL is kept".into());
        let hour = LAGGING_AGAIN_MS;
        let mut at = |ms| kinds(&mut news, &lagging, ms);
        assert_eq!(at(0), ["walhook.slot.lagging"]);
        assert!(at(hour - 1).is_empty());
        assert_eq!(at(hour), ["walhook.slot.lagging"]);
    }
}
