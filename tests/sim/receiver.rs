//! A model of an endpoint: how it answers, which changes with its mood.

use fastrand::Rng;
use walhook::delivery::outcome::{Answer, Unreachable};

use super::setup::PARKED_STATUS;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mood {
    Well,
    /// A bit of everything.
    Flaky,
    /// 500.
    Failing,
    /// Nobody there.
    Down,
    /// It does the work, and the answer is lost.
    Mute,
    /// 429 and 503, with Retry-After.
    Busy,
    /// A status that makes a dead letter.
    Picky,
    /// 410.
    Gone,
}

impl Mood {
    pub fn any(rng: &mut Rng) -> Self {
        match rng.u8(..12) {
            0..=3 => Mood::Well,
            4 | 5 => Mood::Flaky,
            6 => Mood::Failing,
            7 => Mood::Down,
            8 => Mood::Mute,
            9 => Mood::Busy,
            10 => Mood::Picky,
            _ => Mood::Gone,
        }
    }

    pub fn answer(self, rng: &mut Rng) -> Answer {
        match self {
            Mood::Well => status([200, 202, 204][rng.usize(..3)]),
            Mood::Flaky => match rng.u8(..12) {
                0..=5 => status(200),
                6 => status(PARKED_STATUS),
                7 => Answer::None(Unreachable::Timeout),
                8 => Answer::None(Unreachable::Garbage),
                9 => busy(rng),
                10 => status([301, 404, 408, 425, 429, 503][rng.usize(..6)]),
                _ => Answer::None(Unreachable::Closed),
            },
            Mood::Failing => status(500),
            Mood::Down => Answer::None(Unreachable::Connect),
            Mood::Mute => Answer::None(Unreachable::Closed),
            Mood::Busy => busy(rng),
            Mood::Picky if rng.bool() => status(PARKED_STATUS),
            Mood::Picky => status(200),
            Mood::Gone => status(410),
        }
    }
}

fn status(status: u16) -> Answer {
    Answer::Response {
        status,
        retry_after: None,
        beginning: b"{}".to_vec(),
    }
}

fn busy(rng: &mut Rng) -> Answer {
    Answer::Response {
        status: [429, 503][rng.usize(..2)],
        retry_after: Some(rng.u8(..6).to_string()),
        beginning: Vec::new(),
    }
}

/// What is really delivered, whatever an outcome says of it.
pub fn is_delivered(answer: &Answer) -> bool {
    matches!(answer, Answer::Response { status, .. } if (200..300).contains(status))
}
