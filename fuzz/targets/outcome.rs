//! Any status with any `Retry-After` has one outcome, and no pause is longer than an hour.

#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use walhook::delivery::outcome::{Answer, Outcome, RETRY_AFTER_MAX, outcome};
use walhook_fuzz::Input;

const PARK_STATUSES: [u16; 3] = [404, 422, 503];

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let status = match input.byte() {
        0..96 => 429,
        96..192 => 503,
        _ => input.below(1 << 16) as u16,
    };
    // From 1970 to 2106.
    let seconds = input.take(4);
    let seconds = seconds
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte));
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let retry_after = String::from_utf8_lossy(input.rest()).into_owned();
    let judged = outcome(
        &Answer::Response {
            status,
            retry_after: Some(retry_after),
            beginning: Vec::new(),
        },
        &PARK_STATUSES,
        now,
    );
    let _ = judged.to_string();
    let is_right = match judged {
        Outcome::Delivered => (200..300).contains(&status),
        Outcome::Gone => status == 410,
        Outcome::Paused { wait, .. } => matches!(status, 429 | 503) && wait <= RETRY_AFTER_MAX,
        Outcome::Refused { .. } => PARK_STATUSES.contains(&status),
        Outcome::Rejected { .. } => {
            !(200..300).contains(&status) && status != 410 && !PARK_STATUSES.contains(&status)
        }
        Outcome::Unreachable(_) => false,
    };
    assert!(is_right, "{status}: {judged:?}");
});
