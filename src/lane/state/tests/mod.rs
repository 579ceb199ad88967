//! The lanes of an endpoint, by example and at random.

mod examples;
mod random;
mod spool;

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::change::{Operation, TableName};
use crate::event::{EndpointIndex, EventId, Fate, Keys, Room, Unsent};
use crate::lane::attempt::{Attempt, Next};
use crate::lane::options::{Batch, Retry, RetryThen};
use crate::lsn::Lsn;

fn options(order: Order) -> LaneOptions {
    LaneOptions {
        order,
        concurrency: 16,
        batch: None,
        retry: Retry {
            give_up_after: Duration::from_secs(60),
            then: RetryThen::DeadLetter,
            backoff_max: Duration::from_secs(30),
            park_statuses: vec![422],
        },
    }
}

fn batched(order: Order, events_max: usize, wait_ms: u64) -> LaneOptions {
    LaneOptions {
        batch: Some(Batch {
            events_max,
            wait: Duration::from_millis(wait_ms),
            bytes_max: 1 << 20,
        }),
        ..options(order)
    }
}

fn lanes(options: LaneOptions) -> Lanes {
    Lanes::new(
        options,
        Position::default(),
        Vec::new(),
        Vec::new(),
        Health::Open,
    )
}

fn event(table: &str, number: u64, keys: Keys) -> Event {
    Event {
        id: EventId(u128::from(number).to_be_bytes()),
        endpoint: EndpointIndex(0),
        event_type: "t".into(),
        table: Arc::new(TableName::new("public", table)),
        operation: Operation::Insert,
        position: Position {
            lsn: Lsn(number),
            ordinal: 1,
            n: 0,
        },
        last_of_change: true,
        keys,
        rekeyed: false,
        fate: Fate::Deliver,
        commit_time_us: 0,
        body: Bytes::from_static(b"{}"),
        room: Room::default(),
    }
}

fn numbers(attempt: &Attempt) -> Vec<u64> {
    attempt
        .events
        .iter()
        .map(|event| event.position.lsn.0)
        .collect()
}

fn next(lanes: &mut Lanes, now: MonotonicMs) -> Option<Attempt> {
    match lanes.next(now)? {
        Next::Attempt(attempt) => Some(attempt),
        Next::Park(park) => panic!("parked {park:?}"),
    }
}

/// All attempts that may be made at `now`, by the numbers of their events.
fn all(lanes: &mut Lanes, now: MonotonicMs) -> Vec<Attempt> {
    std::iter::from_fn(|| next(lanes, now)).collect()
}
