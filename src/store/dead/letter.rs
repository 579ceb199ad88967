//! A dead letter as it is parked.

use std::fmt;

use crate::store::stored_event::StoredEvent;

/// Why an event is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadReason {
    /// `retry.for` is over.
    Expired,
    /// A status of `retry.park_statuses`.
    ParkStatus,
    /// The body is larger than the endpoint takes (`max_body`).
    TooLarge,
    /// The rule's condition failed, with `when_error: dead_letter`.
    ConditionFailed,
}

impl DeadReason {
    pub const ALL: [DeadReason; 4] = [
        DeadReason::Expired,
        DeadReason::ParkStatus,
        DeadReason::TooLarge,
        DeadReason::ConditionFailed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            DeadReason::Expired => "expired",
            DeadReason::ParkStatus => "park_status",
            DeadReason::TooLarge => "too_large",
            DeadReason::ConditionFailed => "condition_failed",
        }
    }
}

/// What became of the attempts.
#[derive(Clone, PartialEq, Eq)]
pub struct Verdict {
    pub reason: DeadReason,
    pub parked_at_ms: i64,
    pub first_attempt_at_ms: Option<i64>,
    pub attempts: u32,
    pub last_status: Option<u16>,
    /// Cut to 512 bytes.
    pub last_error: Option<String>,
    /// What the receiver answered; cut to 1 KiB.
    pub answer: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDeadLetter {
    pub endpoint: String,
    pub lane: String,
    pub event: StoredEvent,
    pub verdict: Verdict,
}

const LAST_ERROR_BYTES_MAX: usize = 512;
const ANSWER_BYTES_MAX: usize = 1024;

/// Without the answer, which may repeat row values.
impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verdict")
            .field("reason", &self.reason)
            .field("attempts", &self.attempts)
            .field("last_status", &self.last_status)
            .field("last_error", &self.last_error)
            .field("answer_bytes", &self.answer.len())
            .finish_non_exhaustive()
    }
}

impl Verdict {
    pub(super) fn last_error(&self) -> Option<&str> {
        let text = self.last_error.as_deref()?;
        let mut end = text.len().min(LAST_ERROR_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.get(..end)
    }

    pub(super) fn answer(&self) -> &[u8] {
        self.answer.get(..ANSWER_BYTES_MAX).unwrap_or(&self.answer)
    }
}
