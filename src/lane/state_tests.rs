//! The lanes of an endpoint, by example and at random.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::change::{Operation, TableName};
use crate::delivery::outcome::Unreachable;
use crate::event::{EndpointIndex, EventId, Keys};
use crate::lane::health::DisabledBy;
use crate::lane::options::{Batch, Order, Retry};
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
    Lanes::new(options, Position::default(), Vec::new(), Health::Open)
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
        fate: Fate::Deliver,
        commit_time_us: 0,
        body: Bytes::from_static(b"{}"),
    }
}

fn numbers(attempt: &Attempt) -> Vec<u64> {
    attempt
        .events
        .iter()
        .map(|event| event.position.lsn.0)
        .collect()
}

/// All attempts that may be made at `now`, by the numbers of their events.
fn all(lanes: &mut Lanes, now: MonotonicMs) -> Vec<Attempt> {
    std::iter::from_fn(|| lanes.next(now)).collect()
}

#[test]
fn a_lane_has_one_request_in_flight_and_other_lanes_run_beside_it() {
    let mut lanes = lanes(options(Order::Table));
    for (table, number) in [("a", 1), ("a", 2), ("b", 3)] {
        lanes.push(event(table, number, Keys::All), 0);
    }
    let attempts = all(&mut lanes, 0);
    let sent: Vec<_> = attempts.iter().map(numbers).collect();
    assert_eq!(sent, [[1], [3]]);
    lanes.finish(attempts[0].ticket, &Outcome::Delivered, 0, 0);
    let sent: Vec<_> = all(&mut lanes, 0).iter().map(numbers).collect();
    assert_eq!(sent, [[2]]);
}

#[test]
fn concurrency_bounds_the_requests_in_flight() {
    let mut lanes = lanes(LaneOptions {
        concurrency: 2,
        ..options(Order::Table)
    });
    for (table, number) in [("a", 1), ("b", 2), ("c", 3)] {
        lanes.push(event(table, number, Keys::All), 0);
    }
    let attempts = all(&mut lanes, 0);
    assert_eq!(attempts.len(), 2);
    lanes.finish(attempts[0].ticket, &Outcome::Delivered, 0, 0);
    assert_eq!(all(&mut lanes, 0).len(), 1);
}

#[test]
fn a_rejected_event_is_tried_again_before_the_next_one() {
    let mut lanes = lanes(options(Order::Table));
    lanes.push(event("a", 1, Keys::All), 0);
    lanes.push(event("a", 2, Keys::All), 0);
    let attempt = lanes.next(0).unwrap();
    lanes.finish(attempt.ticket, &Outcome::Rejected { status: 500 }, 0, 250);
    assert!(lanes.next(249).is_none());
    assert_eq!(lanes.wake_at(0), Some(250));
    let attempt = lanes.next(250).unwrap();
    assert_eq!((numbers(&attempt), attempt.number), (vec![1], 2));
}

#[test]
fn an_event_of_two_lanes_waits_for_both_and_holds_both() {
    let order = Order::Key { lanes: 4 };
    let mut lanes = lanes(options(order));
    lanes.push(event("a", 1, Keys::One(0)), 0);
    lanes.push(event("a", 2, Keys::One(1)), 0);
    lanes.push(event("a", 3, Keys::Two(0, 1)), 0);
    lanes.push(event("a", 4, Keys::One(0)), 0);
    lanes.push(event("a", 5, Keys::One(1)), 0);
    lanes.push(event("a", 6, Keys::One(2)), 0);
    let first = all(&mut lanes, 0);
    let sent: Vec<_> = first.iter().map(numbers).collect();
    assert_eq!(sent, [[1], [2], [6]]);
    lanes.finish(first[0].ticket, &Outcome::Delivered, 0, 0);
    assert!(lanes.next(0).is_none());
    lanes.finish(first[1].ticket, &Outcome::Delivered, 0, 0);
    let both = all(&mut lanes, 0);
    assert_eq!(both.iter().map(numbers).collect::<Vec<_>>(), [[3]]);
    // It fails, and still nothing overtakes it in either lane.
    lanes.finish(both[0].ticket, &Outcome::Rejected { status: 500 }, 0, 10);
    assert!(lanes.next(0).is_none());
    let again = lanes.next(10).unwrap();
    let Finished::Settled(settled) = lanes.finish(again.ticket, &Outcome::Delivered, 10, 0) else {
        panic!("not settled");
    };
    assert_eq!(settled.positions.len(), 2);
    let sent: Vec<_> = all(&mut lanes, 10).iter().map(numbers).collect();
    assert_eq!(sent, [[4], [5]]);
}

#[test]
fn a_batch_waits_for_more_and_keeps_its_events_on_a_retry() {
    let mut lanes = lanes(batched(Order::Table, 3, 5));
    lanes.push(event("a", 1, Keys::All), 0);
    lanes.push(event("a", 2, Keys::All), 1);
    assert!(lanes.next(4).is_none());
    let attempt = lanes.next(5).unwrap();
    assert_eq!(numbers(&attempt), [1, 2]);
    lanes.push(event("a", 3, Keys::All), 6);
    lanes.finish(attempt.ticket, &Outcome::Rejected { status: 500 }, 6, 0);
    let again = lanes.next(7).unwrap();
    assert_eq!(numbers(&again), [1, 2]);
    lanes.finish(again.ticket, &Outcome::Delivered, 8, 0);
    // What came meanwhile has waited already.
    assert_eq!(numbers(&lanes.next(8).unwrap()), [3]);
}

#[test]
fn a_full_batch_goes_at_once() {
    let mut lanes = lanes(batched(Order::Table, 2, 5));
    lanes.push(event("a", 1, Keys::All), 0);
    assert!(lanes.next(0).is_none());
    lanes.push(event("a", 2, Keys::All), 0);
    assert_eq!(numbers(&lanes.next(0).unwrap()), [1, 2]);
}

#[test]
fn while_the_endpoint_is_unreachable_one_lane_probes() {
    let mut lanes = lanes(options(Order::Table));
    for (table, number) in [("a", 1), ("b", 2), ("c", 3)] {
        lanes.push(event(table, number, Keys::All), 0);
    }
    let down = Outcome::Unreachable(Unreachable::Connect);
    for attempt in all(&mut lanes, 0) {
        lanes.finish(attempt.ticket, &down, 0, 250);
    }
    assert!(lanes.next(249).is_none());
    let probe = all(&mut lanes, 250);
    assert_eq!(probe.len(), 1);
    lanes.finish(probe[0].ticket, &down, 250, 500);
    assert!(lanes.next(749).is_none());
    let probe = all(&mut lanes, 750);
    assert_eq!(probe.len(), 1);
    // Any answer shows that it is there again, so that all lanes go on.
    lanes.finish(probe[0].ticket, &Outcome::Delivered, 750, 0);
    assert_eq!(all(&mut lanes, 750).len(), 2);
}

#[test]
fn retry_after_holds_all_lanes_and_spends_no_attempt() {
    let mut lanes = lanes(options(Order::Table));
    lanes.push(event("a", 1, Keys::All), 0);
    let attempt = lanes.next(0).unwrap();
    let wait = Duration::from_secs(7);
    lanes.finish(attempt.ticket, &Outcome::Paused { status: 429, wait }, 0, 0);
    lanes.push(event("b", 2, Keys::All), 1);
    assert!(lanes.next(6_999).is_none());
    assert_eq!(lanes.wake_at(1), Some(7_000));
    let attempts = all(&mut lanes, 7_000);
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].number, 1);
}

#[test]
fn gone_holds_all_lanes_until_the_endpoint_is_enabled() {
    let mut lanes = lanes(options(Order::Table));
    lanes.push(event("a", 1, Keys::All), 0);
    let attempt = lanes.next(0).unwrap();
    lanes.finish(attempt.ticket, &Outcome::Gone, 0, 0);
    assert_eq!(lanes.health(), &Health::Disabled(DisabledBy::Gone));
    assert!(lanes.next(1_000_000_000).is_none());
    assert_eq!(lanes.wake_at(0), None);
    lanes.enable();
    assert_eq!(numbers(&lanes.next(0).unwrap()), [1]);
}

#[test]
fn an_event_that_is_too_old_is_parked_and_the_lane_goes_on_once_that_is_durable() {
    let mut lanes = lanes(options(Order::Table));
    lanes.push(event("a", 1, Keys::All), 0);
    lanes.push(event("a", 2, Keys::All), 0);
    let rejected = Outcome::Rejected { status: 500 };
    let attempt = lanes.next(0).unwrap();
    lanes.finish(attempt.ticket, &rejected, 0, 0);
    let attempt = lanes.next(60_000).unwrap();
    let Finished::Park(park) = lanes.finish(attempt.ticket, &rejected, 60_000, 0) else {
        panic!("not parked");
    };
    assert_eq!((park.attempts, park.reason), (2, ParkReason::TooOld));
    assert_eq!(park.positions[0].position, park.events[0].position_after());
    assert!(lanes.next(60_000).is_none());
    let settled = lanes.parked(park.ticket, 60_000);
    assert_eq!(settled.positions[0].position, park.positions[0].position);
    assert_eq!(numbers(&lanes.next(60_000).unwrap()), [2]);
}

#[test]
fn a_status_of_park_statuses_parks_at_once_and_block_never_parks() {
    let mut lanes = lanes(LaneOptions {
        retry: Retry {
            then: RetryThen::Block,
            ..options(Order::Table).retry
        },
        ..options(Order::Table)
    });
    lanes.push(event("a", 1, Keys::All), 0);
    let attempt = lanes.next(0).unwrap();
    let rejected = Outcome::Rejected { status: 500 };
    let day = 86_400_000;
    assert!(matches!(
        lanes.finish(attempt.ticket, &rejected, day, 0),
        Finished::Again
    ));
    let attempt = lanes.next(day + 1).unwrap();
    assert!(matches!(
        lanes.finish(attempt.ticket, &Outcome::Refused { status: 422 }, day, 0),
        Finished::Park(Park {
            reason: ParkReason::Refused,
            ..
        })
    ));
}

#[test]
fn what_a_restored_position_has_passed_is_a_repeat() {
    let progress = LaneProgress {
        lane: "table public.a".into(),
        position: event("a", 5, Keys::All).position_after(),
        attempts: 3,
        first_attempt: Some(-1_000),
    };
    let base = Position::start_of(Lsn(3));
    let mut lanes = Lanes::new(options(Order::Table), base, vec![progress], Health::Open);
    assert_eq!(lanes.push(event("a", 5, Keys::All), 0), Pushed::Repeat);
    assert_eq!(lanes.push(event("b", 2, Keys::All), 0), Pushed::Repeat);
    assert_eq!(lanes.push(event("b", 3, Keys::All), 0), Pushed::Queued);
    assert_eq!(lanes.push(event("a", 6, Keys::All), 0), Pushed::Queued);
    let attempts = all(&mut lanes, 0);
    assert_eq!(attempts[0].number, 1);
    // The head that had failed before the restart goes on counting, and ageing.
    assert_eq!((numbers(&attempts[1]), attempts[1].number), (vec![6], 4));
    let rejected = Outcome::Rejected { status: 500 };
    assert!(matches!(
        lanes.finish(attempts[1].ticket, &rejected, 59_000, 0),
        Finished::Park(_)
    ));
}

#[test]
fn of_several_events_of_one_change_the_settled_ones_are_not_repeated() {
    let of_change = |n, last_of_change| Event {
        position: Position {
            lsn: Lsn(9),
            ordinal: 4,
            n,
        },
        last_of_change,
        ..event("a", 9, Keys::All)
    };
    let mut first_life = lanes(options(Order::Table));
    first_life.push(of_change(0, false), 0);
    first_life.push(of_change(1, true), 0);
    let attempt = first_life.next(0).unwrap();
    let Finished::Settled(settled) = first_life.finish(attempt.ticket, &Outcome::Delivered, 0, 0)
    else {
        panic!("not settled");
    };
    let mut second_life = Lanes::new(
        options(Order::Table),
        Position::default(),
        settled.positions,
        Health::Open,
    );
    assert_eq!(second_life.push(of_change(0, false), 0), Pushed::Repeat);
    assert_eq!(second_life.push(of_change(1, true), 0), Pushed::Queued);
}

#[test]
fn a_dead_letter_sent_again_goes_ahead_among_its_like_by_position_and_moves_none() {
    let mut lanes = lanes(options(Order::Table));
    lanes.push(event("a", 10, Keys::All), 0);
    let attempt = lanes.next(0).unwrap();
    lanes.finish(attempt.ticket, &Outcome::Rejected { status: 500 }, 0, 200);
    lanes.push_retried(event("a", 3, Keys::All), 1);
    lanes.push_retried(event("a", 2, Keys::All), 1);
    lanes.push_retried(event("a", 2, Keys::All), 1);
    let mut sent = Vec::new();
    while let Some(attempt) = lanes.next(1) {
        let finished = lanes.finish(attempt.ticket, &Outcome::Delivered, 1, 0);
        let Finished::Settled(settled) = finished else {
            panic!("not settled");
        };
        assert_eq!(settled.retried, settled.positions.is_empty());
        sent.extend(numbers(&attempt));
    }
    assert_eq!(sent, [2, 3, 10]);
}

#[test]
fn an_event_whose_rule_failed_is_parked_in_its_turn_and_not_attempted() {
    let mut lanes = lanes(batched(Order::Table, 10, 0));
    for number in 1..=3 {
        let fate = if number == 2 {
            Fate::DeadLetter
        } else {
            Fate::Deliver
        };
        let event = event("a", number, Keys::All);
        lanes.push(Event { fate, ..event }, 0);
    }
    let attempt = lanes.next(0).unwrap();
    assert_eq!(numbers(&attempt), [1]);
    lanes.finish(attempt.ticket, &Outcome::Delivered, 0, 0);
    let attempt = lanes.next(0).unwrap();
    assert_eq!(numbers(&attempt), [2]);
    let park = lanes.not_attempted(attempt.ticket).unwrap();
    assert_eq!((park.attempts, park.reason), (0, ParkReason::RuleFailed));
    lanes.parked(park.ticket, 0);
    assert_eq!(numbers(&lanes.next(0).unwrap()), [3]);
}

#[derive(Clone, Debug)]
enum Step {
    Push { table: u8, keys: KeyKind },
    Retry { table: u8, keys: KeyKind },
    Send,
    Finish { which: usize, outcome: u8 },
    Parked { which: usize },
    Time(u16),
    Enable,
}

#[derive(Clone, Debug)]
enum KeyKind {
    All,
    One(u64),
    Two(u64, u64),
}

impl KeyKind {
    fn keys(&self) -> Keys {
        match *self {
            KeyKind::All => Keys::All,
            KeyKind::One(a) => Keys::One(a),
            KeyKind::Two(a, b) => Keys::Two(a, b),
        }
    }
}

fn key_kinds() -> impl Strategy<Value = KeyKind> {
    prop_oneof![
        1 => Just(KeyKind::All),
        6 => (0..6_u64).prop_map(KeyKind::One),
        2 => (0..6_u64, 0..6_u64).prop_map(|(a, b)| KeyKind::Two(a, b)),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..3_u8, key_kinds()).prop_map(|(table, keys)| Step::Push { table, keys }),
        1 => (0..3_u8, key_kinds()).prop_map(|(table, keys)| Step::Retry { table, keys }),
        8 => Just(Step::Send),
        8 => (0..8_usize, 0..12_u8).prop_map(|(which, outcome)| Step::Finish { which, outcome }),
        4 => (0..8_usize).prop_map(|which| Step::Parked { which }),
        3 => (0..20_000_u16).prop_map(Step::Time),
        1 => Just(Step::Enable),
    ];
    proptest::collection::vec(step, 1..200)
}

fn orders() -> impl Strategy<Value = Order> {
    prop_oneof![
        Just(Order::Table),
        Just(Order::Key { lanes: 3 }),
        Just(Order::Endpoint),
    ]
}

/// What the promises say of a run, kept beside it.
#[derive(Default)]
struct Model {
    pushed: Vec<Event>,
    settled: HashSet<u64>,
    attempted: HashMap<u64, Vec<u64>>,
}

impl Model {
    /// P3: when an event is attempted, all ahead of it in its lanes are settled or
    /// go in the same request.
    fn attempted(&mut self, attempt: &Attempt, order: Order) {
        let together: HashSet<u64> = numbers(attempt).into_iter().collect();
        for event in &attempt.events {
            let lanes: HashSet<_> = lanes_of(event, order).into_iter().collect();
            for earlier in &self.pushed {
                let number = earlier.position.lsn.0;
                if number >= event.position.lsn.0 {
                    break;
                }
                if lanes_of(earlier, order)
                    .iter()
                    .any(|lane| lanes.contains(lane))
                {
                    assert!(
                        self.settled.contains(&number) || together.contains(&number),
                        "event {} was attempted before {number}",
                        event.position.lsn.0
                    );
                }
            }
        }
        let batch = numbers(attempt);
        for number in &batch {
            let before = self.attempted.insert(*number, batch.clone());
            assert!(
                before.is_none_or(|before| before == batch),
                "a batch changed its events"
            );
        }
    }

    fn settled(&mut self, settled: &Settled) {
        for event in &settled.events {
            assert!(self.settled.insert(event.position.lsn.0), "settled twice");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens: order is kept, nothing is settled twice, and once the
    /// endpoint answers everything is delivered.
    #[test]
    fn order_holds_and_nothing_is_stuck(steps in steps(), order in orders(), batch in any::<bool>()) {
        let options = if batch { batched(order, 4, 5) } else { LaneOptions { concurrency: 3, ..options(order) } };
        let mut lanes = lanes(options);
        let mut model = Model::default();
        let mut in_flight: Vec<Attempt> = Vec::new();
        let mut parking: Vec<Park> = Vec::new();
        let mut now = 0;
        let mut next = 1_000_u64;
        let mut retried = 0_u64;
        let names = ["a", "b", "c"];
        for step in steps {
            match step {
                Step::Push { table, keys } => {
                    let event = event(names[usize::from(table)], next, keys.keys());
                    next += 1;
                    model.pushed.push(event.clone());
                    prop_assert_eq!(lanes.push(event, now), Pushed::Queued);
                }
                Step::Retry { table, keys } => {
                    retried += 1;
                    lanes.push_retried(event(names[usize::from(table)], retried, keys.keys()), now);
                }
                Step::Send => if let Some(attempt) = lanes.next(now) {
                    if attempt.events[0].position.lsn.0 >= 1_000 {
                        model.attempted(&attempt, order);
                    }
                    in_flight.push(attempt);
                },
                Step::Finish { which, outcome } if !in_flight.is_empty() => {
                    let attempt = in_flight.remove(which % in_flight.len());
                    let outcome = match outcome {
                        0..=5 => Outcome::Delivered,
                        6 | 7 => Outcome::Rejected { status: 500 },
                        8 => Outcome::Unreachable(Unreachable::Timeout),
                        9 => Outcome::Paused { status: 429, wait: Duration::from_secs(3) },
                        10 => Outcome::Refused { status: 422 },
                        _ => Outcome::Gone,
                    };
                    match lanes.finish(attempt.ticket, &outcome, now, next) {
                        Finished::Again => {}
                        Finished::Settled(settled) => model.settled(&settled),
                        Finished::Park(park) => parking.push(park),
                    }
                }
                Step::Parked { which } if !parking.is_empty() => {
                    let park = parking.remove(which % parking.len());
                    model.settled(&lanes.parked(park.ticket, now));
                }
                Step::Finish { .. } | Step::Parked { .. } => {}
                Step::Time(ms) => now += i64::from(ms),
                Step::Enable => lanes.enable(),
            }
            prop_assert_eq!(lanes.in_flight(), in_flight.len());
        }
        // From here on the endpoint answers.
        lanes.enable();
        for _ in 0..10_000 {
            for park in parking.drain(..) {
                model.settled(&lanes.parked(park.ticket, now));
            }
            while let Some(attempt) = lanes.next(now) {
                if attempt.events[0].position.lsn.0 >= 1_000 {
                    model.attempted(&attempt, order);
                }
                in_flight.push(attempt);
            }
            if let Some(attempt) = in_flight.pop() {
                if let Finished::Settled(settled) = lanes.finish(attempt.ticket, &Outcome::Delivered, now, 0) {
                    model.settled(&settled);
                }
            } else if let Some(at) = lanes.wake_at(now) {
                now = now.max(at);
            } else {
                break;
            }
        }
        let pushed = model.pushed.len() + usize::try_from(retried).unwrap();
        prop_assert_eq!(model.settled.len(), pushed, "events are stuck in their lanes");
    }
}
