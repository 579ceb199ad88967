//! Watching the spool: how full it is, which endpoint fills it, and when it will be full.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::lane::spool_room::SpoolUse;

/// How fast it fills is judged by so long.
const JUDGED_BY: Duration = Duration::from_secs(60);
/// It is told when it passes these, in percent.
const TOLD_AT: [u64; 4] = [50, 75, 90, 100];
/// And above all of these, that its disk is full.
const DISK_IS_FULL: u64 = 101;

#[derive(Debug, Default)]
pub struct SpoolWatch {
    /// Bytes used, lately, the oldest first.
    seen: VecDeque<(Instant, u64)>,
    /// The highest of [`TOLD_AT`], or [`DISK_IS_FULL`], that it stands at, as it was told.
    told: u64,
}

impl SpoolWatch {
    /// Takes a look; what a person should know of it, from half full on.
    pub fn look(&mut self, spool: &SpoolUse, most: Option<&str>, now: Instant) -> Option<String> {
        self.seen.push_back((now, spool.used));
        while (self.seen.front()).is_some_and(|(at, _)| now.duration_since(*at) > JUDGED_BY) {
            self.seen.pop_front();
        }
        let percent = spool.percent();
        let warning = (spool.is_warned_of() || spool.stops)
            .then(|| sentence(spool, most, self.full_in(spool, now)));
        let at = if spool.disk_is_full {
            DISK_IS_FULL
        } else {
            TOLD_AT.into_iter().rfind(|at| percent >= *at).unwrap_or(0)
        };
        match &warning {
            Some(warning) if at > self.told => warn!("{warning}"),
            None if self.told > 0 => info!(percent, "the spool has room again"),
            _ => {}
        }
        // Told again only after it has been below for good.
        if at > self.told || warning.is_none() {
            self.told = at;
        }
        warning
    }

    /// At the pace of late; `None`: it does not grow.
    pub fn full_in(&self, spool: &SpoolUse, now: Instant) -> Option<Duration> {
        let (since, before) = *self.seen.front()?;
        let grown = spool.used.checked_sub(before).filter(|grown| *grown > 0)?;
        let left = spool.limit.saturating_sub(spool.used);
        let seconds = now.duration_since(since).as_secs_f64() * left as f64 / grown as f64;
        Duration::try_from_secs_f64(seconds.ceil()).ok()
    }
}

fn sentence(spool: &SpoolUse, most: Option<&str>, full_in: Option<Duration>) -> String {
    let most = match most {
        Some(name) => format!("most of it waits for endpoint \"{name}\""),
        None if spool.used > 0 => "most of it is dead letters".to_owned(),
        None => "nothing waits in it".to_owned(),
    };
    if spool.disk_is_full {
        return format!(
            "the disk of the state file is full: the spool cannot grow ({} bytes), {most}; no more \
             is confirmed to Postgres, and reading stops for all once memory is full, until there is room",
            spool.used
        );
    }
    if spool.stops {
        return format!(
            "the spool is full ({} bytes), {most}: reading stops for all until there is room",
            spool.limit
        );
    }
    let when = match full_in {
        Some(left) => {
            // To the minute, when it is hours.
            let step = if left.as_secs() > 3600 { 60 } else { 1 };
            let left = Duration::from_secs(left.as_secs() / step * step);
            format!(
                "; at this rate it is full in {}",
                humantime::format_duration(left)
            )
        }
        None => String::new(),
    };
    format!(
        "the spool is {} % full ({} of {} bytes), {most}{when}",
        spool.percent(),
        spool.used,
        spool.limit
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(used: u64) -> SpoolUse {
        SpoolUse {
            used,
            limit: 1000,
            most: None,
            is_full: used >= 1000,
            disk_is_full: false,
            stops: used >= 1000,
        }
    }

    #[test]
    fn from_half_full_on_it_says_how_long_it_takes() {
        let mut watch = SpoolWatch::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(watch.look(&used(400), Some("crm"), at(0)), None);
        let warning = watch.look(&used(600), Some("crm"), at(10));
        assert_eq!(
            warning.as_deref(),
            Some(
                "the spool is 60 % full (600 of 1000 bytes), most of it waits for endpoint \"crm\"; \
                 at this rate it is full in 20s"
            )
        );
        assert_eq!(watch.told, 50);
        // It drains: no time is known, and the line is not repeated.
        let warning = watch.look(&used(550), None, at(75)).unwrap();
        assert!(warning.ends_with("most of it is dead letters"), "{warning}");
        assert_eq!(watch.told, 50);
        let full = watch.look(&used(1000), Some("crm"), at(80)).unwrap();
        assert!(full.contains("is full") && full.contains("stops"), "{full}");
        assert_eq!(watch.look(&used(100), None, at(90)), None);
        assert_eq!(watch.told, 0);
    }

    #[test]
    fn a_full_disk_is_told_whatever_the_spool_may_have() {
        let full = SpoolUse {
            limit: 30,
            disk_is_full: true,
            stops: true,
            ..used(30)
        };
        let mut watch = SpoolWatch::default();
        let told = watch.look(&full, Some("crm"), Instant::now());
        insta::assert_snapshot!(told.unwrap(), @r#"the disk of the state file is full: the spool cannot grow (30 bytes), most of it waits for endpoint "crm"; no more is confirmed to Postgres, and reading stops for all once memory is full, until there is room"#);
        assert_eq!(watch.told, DISK_IS_FULL);
    }
}
