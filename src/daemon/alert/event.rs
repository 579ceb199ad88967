//! An alert and its body, which has the shape of a standard event. Pure.
//!
//! No row values, no secrets, no path of a URL: names, numbers, LSNs and outcomes.

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::event::EventId;
use crate::lsn::Lsn;
use crate::store::Gap;

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alert {
    Failing {
        endpoint: String,
        since_ms: i64,
        attempts: u32,
        /// The last outcome.
        last: String,
        waiting: u64,
    },
    Disabled {
        endpoint: String,
        by: String,
        since_ms: i64,
        waiting: u64,
    },
    Recovered {
        endpoint: String,
        /// Failing or disabled since then.
        since_ms: i64,
        waiting: u64,
    },
    SlotLagging(Lag),
    SpoolFilling {
        used: u64,
        limit: u64,
        /// With most waiting in it.
        endpoint: Option<String>,
        /// At the pace of the last minute; `None`: it does not grow.
        seconds_left: Option<u64>,
    },
    Gap(Gap),
}

/// How far the slot is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    pub why: String,
    pub retained: u64,
    /// Until the server removes WAL that the slot needs; `None`: it keeps all of it.
    pub safe: Option<i64>,
    pub confirmed: Lsn,
    pub wal_end: Lsn,
}

/// An alert, ready to be sent.
#[derive(Clone, Debug)]
pub struct Rendered {
    pub id: EventId,
    pub kind: &'static str,
    pub body: Bytes,
}

impl Alert {
    pub fn kind(&self) -> &'static str {
        match self {
            Alert::Failing { .. } => "walhook.endpoint.failing",
            Alert::Disabled { .. } => "walhook.endpoint.disabled",
            Alert::Recovered { .. } => "walhook.endpoint.recovered",
            Alert::SlotLagging(_) => "walhook.slot.lagging",
            Alert::SpoolFilling { .. } => "walhook.spool.filling",
            Alert::Gap(_) => "walhook.gap",
        }
    }

    /// The endpoint that it speaks of: it is not told of itself.
    pub fn about(&self) -> Option<&str> {
        match self {
            Alert::Failing { endpoint, .. }
            | Alert::Disabled { endpoint, .. }
            | Alert::Recovered { endpoint, .. } => Some(endpoint),
            Alert::SpoolFilling { endpoint, .. } => endpoint.as_deref(),
            Alert::Gap(gap) => gap.endpoint.as_deref(),
            Alert::SlotLagging(_) => None,
        }
    }

    /// `at_ms` is when it was found. The same alert of the same moment has the same id and
    /// body, so that a gap which is told again after a crash is known to its receiver.
    pub fn render(&self, slot: &str, at_ms: i64) -> Rendered {
        let kind = self.kind();
        let data = self.data(slot);
        let mut hash = Sha256::new();
        for part in [kind, slot, &data.to_string()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update(at_ms.to_be_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        let id = EventId(id);
        // Written by hand for the order of its keys; a kind has nothing to escape.
        let body = format!(
            "{{\"id\":\"{id}\",\"type\":\"{kind}\",\"timestamp\":{},\"data\":{data}}}",
            Value::from(time(at_ms))
        );
        Rendered {
            id,
            kind,
            body: body.into(),
        }
    }

    fn data(&self, slot: &str) -> Value {
        match self {
            Alert::Failing {
                endpoint,
                since_ms,
                attempts,
                last,
                waiting,
            } => json!({
                "slot": slot, "endpoint": endpoint, "since": time(*since_ms),
                "attempts": attempts, "last": last, "waiting": waiting,
            }),
            Alert::Disabled {
                endpoint,
                by,
                since_ms,
                waiting,
            } => json!({
                "slot": slot, "endpoint": endpoint, "by": by, "since": time(*since_ms),
                "waiting": waiting, "mend": format!("walhook endpoint enable {endpoint}"),
            }),
            Alert::Recovered {
                endpoint,
                since_ms,
                waiting,
            } => json!({
                "slot": slot, "endpoint": endpoint, "since": time(*since_ms), "waiting": waiting,
            }),
            Alert::SlotLagging(lag) => json!({
                "slot": slot, "why": lag.why, "retained_bytes": lag.retained,
                "safe_bytes": lag.safe, "confirmed_lsn": lag.confirmed.to_string(),
                "wal_end_lsn": lag.wal_end.to_string(),
            }),
            Alert::SpoolFilling {
                used,
                limit,
                endpoint,
                seconds_left,
            } => json!({
                "slot": slot, "endpoint": endpoint, "used_bytes": used, "max_bytes": limit,
                "seconds_left": seconds_left,
            }),
            Alert::Gap(gap) => json!({
                "slot": slot, "endpoint": gap.endpoint, "reason": gap.reason.as_str(),
                "from_lsn": gap.from.to_string(), "to_lsn": gap.to.to_string(),
                "events": gap.events,
            }),
        }
    }
}

/// RFC 3339 in UTC; null for a time that no calendar has.
fn time(unix_ms: i64) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(unix_ms).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::GapReason;

    #[test]
    fn it_has_the_shape_of_an_event() {
        let gap = Alert::Gap(Gap {
            endpoint: Some("billing".into()),
            reason: GapReason::SpoolFull,
            from: Lsn(0x10),
            to: Lsn(0x20),
            events: Some(3),
            recorded_at_ms: 0,
        });
        let rendered = gap.render("walhook", 1_700_000_000_123);
        let text = std::str::from_utf8(&rendered.body).unwrap();
        insta::assert_snapshot!(text, @r#"{"id":"evt_8c527e22c6bcfd2bc7e6d9cc1d012217","type":"walhook.gap","timestamp":"2023-11-14T22:13:20.123000Z","data":{"slot":"walhook","endpoint":"billing","reason":"spool_full","from_lsn":"0/10","to_lsn":"0/20","events":3}}"#);
        assert_eq!(rendered.id, gap.render("walhook", 1_700_000_000_123).id);
        assert_ne!(rendered.id, gap.render("walhook", 1_700_000_000_124).id);
        assert_ne!(rendered.id, gap.render("other", 1_700_000_000_123).id);
    }
}
