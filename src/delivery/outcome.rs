//! Outcome: the one place that decides what an answer means.
//!
//! | answer | outcome |
//! |---|---|
//! | 2xx | delivered, whatever the body says |
//! | 410 | the endpoint is gone: disabled until a person enables it |
//! | 429, 503 with Retry-After | the endpoint pauses, no attempt is spent |
//! | a status of `retry.park_statuses` | dead letter at once |
//! | any other status, 3xx among them | the lane tries again after a backoff |
//! | no answer | the endpoint is unreachable: one lane probes |

use std::fmt;
use std::time::{Duration, SystemTime};

/// `Retry-After` is obeyed up to here.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What came back of a request.
#[derive(Clone, Debug)]
pub enum Answer {
    Response {
        status: u16,
        /// The header as it came, when it is text.
        retry_after: Option<String>,
        /// The first bytes of the body, for the dead letter. Not to be logged.
        beginning: Vec<u8>,
    },
    None(Unreachable),
}

/// Why no answer came. Its text names no URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// Name resolution, refused connection, unreachable network.
    Connect,
    Tls,
    Certificate(CertificateFault),
    /// The deadline of the whole request passed.
    Timeout,
    /// The connection ended before the answer.
    Closed,
    /// The answer was no HTTP.
    Garbage,
}

/// Why an endpoint's certificate is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CertificateFault {
    /// It is over, or has not begun.
    Time,
    OtherName,
    UnknownIssuer,
    Other,
}

impl Unreachable {
    pub fn as_str(self) -> &'static str {
        match self {
            Unreachable::Connect => "could not connect",
            Unreachable::Tls => "TLS handshake failed",
            Unreachable::Certificate(fault) => match fault {
                CertificateFault::Time => "its certificate has expired or is not valid yet",
                CertificateFault::OtherName => "its certificate is of another name",
                CertificateFault::UnknownIssuer => "its certificate is of an unknown issuer",
                CertificateFault::Other => "its certificate does not verify",
            },
            Unreachable::Timeout => "timed out",
            Unreachable::Closed => "connection closed before the answer",
            Unreachable::Garbage => "answer was no HTTP",
        }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// The lane waits and tries again.
    Rejected {
        status: u16,
    },
    /// All lanes of the endpoint wait for so long; the attempt does not count.
    Paused {
        status: u16,
        wait: Duration,
    },
    /// 410: all lanes wait until a person enables the endpoint.
    Gone,
    /// A dead letter at once.
    Refused {
        status: u16,
    },
    /// All lanes wait; one of them probes.
    Unreachable(Unreachable),
}

impl Outcome {
    /// The label of the attempt's metric.
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Rejected { .. } => "rejected",
            Outcome::Paused { .. } => "paused",
            Outcome::Gone => "gone",
            Outcome::Refused { .. } => "refused",
            Outcome::Unreachable(Unreachable::Connect) => "connect",
            Outcome::Unreachable(Unreachable::Tls | Unreachable::Certificate(_)) => "tls",
            Outcome::Unreachable(Unreachable::Timeout) => "timeout",
            Outcome::Unreachable(Unreachable::Closed) => "closed",
            Outcome::Unreachable(Unreachable::Garbage) => "garbage",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Delivered => f.write_str("delivered"),
            Outcome::Rejected { status } | Outcome::Refused { status } => {
                write!(f, "answered {status}")
            }
            Outcome::Paused { status, wait } => {
                write!(f, "answered {status}, retry after {} s", wait.as_secs())
            }
            Outcome::Gone => f.write_str("answered 410"),
            Outcome::Unreachable(why) => fmt::Display::fmt(why, f),
        }
    }
}

/// Judges an answer. `now` is for a `Retry-After` that is a date.
pub fn outcome(answer: &Answer, park_statuses: &[u16], now: SystemTime) -> Outcome {
    let (status, retry_after) = match answer {
        Answer::None(why) => return Outcome::Unreachable(*why),
        Answer::Response {
            status,
            retry_after,
            ..
        } => (*status, retry_after),
    };
    let pause = || retry_after.as_deref().and_then(|text| wait(text, now));
    match status {
        200..=299 => Outcome::Delivered,
        410 => Outcome::Gone,
        429 | 503 => match pause() {
            Some(wait) => Outcome::Paused { status, wait },
            None => rejected(status, park_statuses),
        },
        _ => rejected(status, park_statuses),
    }
}

fn rejected(status: u16, park_statuses: &[u16]) -> Outcome {
    if park_statuses.contains(&status) {
        Outcome::Refused { status }
    } else {
        Outcome::Rejected { status }
    }
}

/// `Retry-After`: whole seconds or an HTTP date; anything else is as if it were absent.
/// <https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>
fn wait(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a u64 holds are more than the maximum.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        // A date that has passed: at once.
        date.duration_since(now).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judge(status: u16, retry_after: Option<&str>) -> Outcome {
        let answer = Answer::Response {
            status,
            retry_after: retry_after.map(str::to_owned),
            beginning: Vec::new(),
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        outcome(&answer, &[422], now)
    }

    #[test]
    fn the_table_of_statuses() {
        for status in [200, 201, 202, 204, 206, 299] {
            assert_eq!(judge(status, None), Outcome::Delivered);
        }
        for status in [
            100, 300, 301, 302, 307, 308, 400, 401, 404, 408, 409, 413, 425, 429, 500, 502, 503,
            504, 599, 999,
        ] {
            assert_eq!(judge(status, None), Outcome::Rejected { status });
        }
        assert_eq!(judge(410, None), Outcome::Gone);
        assert_eq!(judge(422, None), Outcome::Refused { status: 422 });
        // Retry-After says something on these two alone.
        assert_eq!(judge(500, Some("5")), Outcome::Rejected { status: 500 });
    }

    #[test]
    fn retry_after_in_all_its_spellings() {
        let wait = |text| match judge(429, Some(text)) {
            Outcome::Paused { wait, .. } => Some(wait.as_secs()),
            _ => None,
        };
        assert_eq!(wait("0"), Some(0));
        assert_eq!(wait(" 5 "), Some(5));
        assert_eq!(wait("2592000"), Some(3600));
        assert_eq!(wait("99999999999999999999999"), Some(3600));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        for text in ["-1", "1e99", "120.6", "", "soon"] {
            assert_eq!(wait(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_retry_after_pauses_for_longer_than_an_hour(
            status in any::<u16>(), text in prop_oneof!["\\PC{0,30}", "[0-9]{0,40}", "[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT"],
        ) {
            let outcome = judge(status, Some(&text));
            let _ = outcome.to_string();
            match outcome {
                Outcome::Paused { wait, .. } => {
                    prop_assert!(wait <= RETRY_AFTER_MAX && matches!(status, 429 | 503));
                }
                Outcome::Delivered => prop_assert!((200..300).contains(&status)),
                _ => prop_assert!(!(200..300).contains(&status)),
            }
        }
    }
}
