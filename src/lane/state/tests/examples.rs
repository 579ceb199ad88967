//! By example.

use super::*;
use crate::delivery::outcome::{Outcome, Unreachable};
use crate::lane::attempt::{Finished, Park, ParkReason};
use crate::lane::health::DisabledBy;

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
    let attempt = next(&mut lanes, 0).unwrap();
    lanes.finish(attempt.ticket, &Outcome::Rejected { status: 500 }, 0, 250);
    assert!(next(&mut lanes, 249).is_none());
    assert_eq!(lanes.wake_at(0), Some(250));
    let attempt = next(&mut lanes, 250).unwrap();
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
    assert!(next(&mut lanes, 0).is_none());
    lanes.finish(first[1].ticket, &Outcome::Delivered, 0, 0);
    let both = all(&mut lanes, 0);
    assert_eq!(both.iter().map(numbers).collect::<Vec<_>>(), [[3]]);
    // It fails, and still nothing overtakes it in either lane.
    lanes.finish(both[0].ticket, &Outcome::Rejected { status: 500 }, 0, 10);
    assert!(next(&mut lanes, 0).is_none());
    let again = next(&mut lanes, 10).unwrap();
    let Finished::Settled(settled) = lanes.finish(again.ticket, &Outcome::Delivered, 10, 0) else {
        panic!("not settled");
    };
    assert_eq!(settled.progress.positions.len(), 2);
    let sent: Vec<_> = all(&mut lanes, 10).iter().map(numbers).collect();
    assert_eq!(sent, [[4], [5]]);
}

#[test]
fn a_batch_waits_for_more_and_keeps_its_events_on_a_retry() {
    let mut lanes = lanes(batched(Order::Table, 3, 5));
    lanes.push(event("a", 1, Keys::All), 0);
    lanes.push(event("a", 2, Keys::All), 1);
    assert!(next(&mut lanes, 4).is_none());
    let attempt = next(&mut lanes, 5).unwrap();
    assert_eq!(numbers(&attempt), [1, 2]);
    lanes.push(event("a", 3, Keys::All), 6);
    lanes.finish(attempt.ticket, &Outcome::Rejected { status: 500 }, 6, 0);
    let again = next(&mut lanes, 7).unwrap();
    assert_eq!(numbers(&again), [1, 2]);
    lanes.finish(again.ticket, &Outcome::Delivered, 8, 0);
    // What came meanwhile has waited already.
    assert_eq!(numbers(&next(&mut lanes, 8).unwrap()), [3]);
}

#[test]
fn a_full_batch_goes_at_once() {
    let mut lanes = lanes(batched(Order::Table, 2, 5));
    lanes.push(event("a", 1, Keys::All), 0);
    assert!(next(&mut lanes, 0).is_none());
    lanes.push(event("a", 2, Keys::All), 0);
    assert_eq!(numbers(&next(&mut lanes, 0).unwrap()), [1, 2]);
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
    assert!(next(&mut lanes, 249).is_none());
    let probe = all(&mut lanes, 250);
    assert_eq!(probe.len(), 1);
    lanes.finish(probe[0].ticket, &down, 250, 500);
    assert!(next(&mut lanes, 749).is_none());
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
    let attempt = next(&mut lanes, 0).unwrap();
    let wait = Duration::from_secs(7);
    lanes.finish(attempt.ticket, &Outcome::Paused { status: 429, wait }, 0, 0);
    lanes.push(event("b", 2, Keys::All), 1);
    assert!(next(&mut lanes, 6_999).is_none());
    assert_eq!(lanes.wake_at(1), Some(7_000));
    let attempts = all(&mut lanes, 7_000);
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].number, 1);
}

#[test]
fn gone_holds_all_lanes_until_the_endpoint_is_enabled() {
    let mut lanes = lanes(options(Order::Table));
    lanes.push(event("a", 1, Keys::All), 0);
    let attempt = next(&mut lanes, 0).unwrap();
    lanes.finish(attempt.ticket, &Outcome::Gone, 0, 0);
    assert_eq!(lanes.health(), &Health::Disabled(DisabledBy::Gone));
    assert!(next(&mut lanes, 1_000_000_000).is_none());
    assert_eq!(lanes.wake_at(0), None);
    lanes.enable();
    assert_eq!(numbers(&next(&mut lanes, 0).unwrap()), [1]);
}

/// Requests of two lanes in flight; the first is answered by this.
fn answered_while_another_is_in_flight(outcome: &Outcome) -> (Lanes, Attempt) {
    let mut lanes = lanes(options(Order::Table));
    for (table, number) in [("a", 1), ("b", 2), ("c", 3)] {
        lanes.push(event(table, number, Keys::All), 0);
    }
    let mut attempts = all(&mut lanes, 0);
    lanes.push(event("b", 4, Keys::All), 0);
    lanes.finish(attempts[0].ticket, outcome, 0, 0);
    lanes.finish(attempts[2].ticket, &Outcome::Delivered, 0, 0);
    (lanes, attempts.remove(1))
}

#[test]
fn an_answer_that_was_in_flight_does_not_enable_an_endpoint_that_is_gone() {
    for outcome in [Outcome::Delivered, Outcome::Rejected { status: 500 }] {
        let (mut lanes, other) = answered_while_another_is_in_flight(&Outcome::Gone);
        lanes.finish(other.ticket, &outcome, 10, 0);
        assert_eq!(*lanes.health(), Health::Disabled(DisabledBy::Gone));
        assert!(next(&mut lanes, 1_000_000).is_none());
    }
}

#[test]
fn an_answer_that_was_in_flight_does_not_end_a_pause() {
    let pause = Outcome::Paused {
        status: 503,
        wait: Duration::from_secs(60),
    };
    for outcome in [
        Outcome::Delivered,
        Outcome::Rejected { status: 500 },
        Outcome::Unreachable(Unreachable::Timeout),
    ] {
        let (mut lanes, other) = answered_while_another_is_in_flight(&pause);
        lanes.finish(other.ticket, &outcome, 10, 0);
        assert!(next(&mut lanes, 59_999).is_none(), "{outcome}");
        assert!(next(&mut lanes, 60_000).is_some(), "{outcome}");
    }
}

#[test]
fn an_event_that_is_too_old_is_parked_and_the_lane_goes_on_once_that_is_durable() {
    let mut lanes = lanes(options(Order::Table));
    lanes.push(event("a", 1, Keys::All), 0);
    lanes.push(event("a", 2, Keys::All), 0);
    let rejected = Outcome::Rejected { status: 500 };
    let attempt = next(&mut lanes, 0).unwrap();
    lanes.finish(attempt.ticket, &rejected, 0, 0);
    let attempt = next(&mut lanes, 60_000).unwrap();
    let Finished::Park(park) = lanes.finish(attempt.ticket, &rejected, 60_000, 0) else {
        panic!("not parked");
    };
    assert_eq!((park.attempts, park.reason), (2, ParkReason::TooOld));
    assert_eq!(park.positions[0].position, park.events[0].position_after());
    assert!(next(&mut lanes, 60_000).is_none());
    let settled = lanes.parked(park.ticket, 60_000);
    assert_eq!(
        settled.progress.positions[0].position,
        park.positions[0].position
    );
    assert_eq!(numbers(&next(&mut lanes, 60_000).unwrap()), [2]);
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
    let attempt = next(&mut lanes, 0).unwrap();
    let rejected = Outcome::Rejected { status: 500 };
    let day = 86_400_000;
    assert!(matches!(
        lanes.finish(attempt.ticket, &rejected, day, 0),
        Finished::Again
    ));
    let attempt = next(&mut lanes, day + 1).unwrap();
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
    let mut lanes = Lanes::new(
        options(Order::Table),
        base,
        vec![progress],
        Vec::new(),
        Health::Open,
    );
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
    let attempt = next(&mut first_life, 0).unwrap();
    let Finished::Settled(settled) = first_life.finish(attempt.ticket, &Outcome::Delivered, 0, 0)
    else {
        panic!("not settled");
    };
    let mut second_life = Lanes::new(
        options(Order::Table),
        Position::default(),
        settled.progress.positions,
        Vec::new(),
        Health::Open,
    );
    assert_eq!(second_life.push(of_change(0, false), 0), Pushed::Repeat);
    assert_eq!(second_life.push(of_change(1, true), 0), Pushed::Queued);
}

#[test]
fn a_dead_letter_sent_again_goes_ahead_among_its_like_by_position_and_moves_none() {
    let mut lanes = lanes(options(Order::Table));
    lanes.push(event("a", 10, Keys::All), 0);
    let attempt = next(&mut lanes, 0).unwrap();
    lanes.finish(attempt.ticket, &Outcome::Rejected { status: 500 }, 0, 200);
    lanes.push_retried(event("a", 3, Keys::All), 1);
    lanes.push_retried(event("a", 2, Keys::All), 1);
    lanes.push_retried(event("a", 2, Keys::All), 1);
    let mut sent = Vec::new();
    while let Some(attempt) = next(&mut lanes, 1) {
        let finished = lanes.finish(attempt.ticket, &Outcome::Delivered, 1, 0);
        let Finished::Settled(settled) = finished else {
            panic!("not settled");
        };
        assert_eq!(settled.retried, settled.progress.positions.is_empty());
        sent.extend(numbers(&attempt));
    }
    assert_eq!(sent, [2, 3, 10]);
}

#[test]
fn an_event_whose_rule_failed_is_parked_in_its_turn_and_not_attempted() {
    let mut lanes = lanes(batched(Order::Table, 10, 0));
    for number in 1..=3 {
        let fate = if number == 2 {
            Fate::DeadLetter(Unsent::RuleFailed)
        } else {
            Fate::Deliver
        };
        let event = event("a", number, Keys::All);
        lanes.push(Event { fate, ..event }, 0);
    }
    let attempt = next(&mut lanes, 0).unwrap();
    assert_eq!(numbers(&attempt), [1]);
    lanes.finish(attempt.ticket, &Outcome::Delivered, 0, 0);
    let Some(Next::Park(park)) = lanes.next(0) else {
        panic!("not parked");
    };
    assert_eq!(park.events[0].position.lsn, Lsn(2));
    assert_eq!(
        (park.attempts, park.reason),
        (0, ParkReason::Unsent(Unsent::RuleFailed))
    );
    lanes.parked(park.ticket, 0);
    assert_eq!(numbers(&next(&mut lanes, 0).unwrap()), [3]);
}

#[test]
fn a_letter_that_comes_behind_one_that_failed_waits_for_its_backoff() {
    let mut lanes = lanes(options(Order::Table));
    lanes.push_retried(event("a", 2, Keys::All), 0);
    let attempt = next(&mut lanes, 0).unwrap();
    lanes.finish(attempt.ticket, &Outcome::Rejected { status: 500 }, 0, 200);
    lanes.push_retried(event("a", 3, Keys::All), 1);
    assert!(next(&mut lanes, 1).is_none());
    assert_eq!(numbers(&next(&mut lanes, 200).unwrap()), [2]);
}

#[test]
fn a_letter_that_was_dropped_no_longer_holds_up_its_lane() {
    let mut lanes = lanes(options(Order::Table));
    let letter = |number| event("a", number, Keys::All);
    lanes.push(letter(10), 0);
    for number in [2, 3, 4] {
        lanes.push_retried(letter(number), 0);
    }
    let attempt = next(&mut lanes, 0).unwrap();
    let dropped = [letter(2).id, letter(4).id];
    // The first is in flight, so it stays for now.
    let gone = lanes.drop_retried(&dropped, 0);
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].position.lsn, Lsn(4));
    lanes.finish(attempt.ticket, &Outcome::Rejected { status: 500 }, 0, 200);
    assert!(next(&mut lanes, 1).is_none());
    assert_eq!(lanes.drop_retried(&dropped, 1).len(), 1);
    let attempt = next(&mut lanes, 1).unwrap();
    assert_eq!((numbers(&attempt), attempt.number), (vec![3], 1));
    lanes.finish(attempt.ticket, &Outcome::Rejected { status: 500 }, 1, 200);
    assert_eq!(lanes.drop_retried(&[letter(3).id], 2).len(), 1);
    assert_eq!(numbers(&next(&mut lanes, 2).unwrap()), [10]);
}

#[test]
fn a_lane_whose_turn_had_come_for_a_letter_that_was_dropped_sends_nothing() {
    let mut lanes = lanes(options(Order::Table));
    let letter = event("a", 2, Keys::All);
    lanes.push_retried(letter.clone(), 0);
    assert_eq!(lanes.drop_retried(&[letter.id], 0).len(), 1);
    assert!(next(&mut lanes, 0).is_none());
    lanes.push(event("a", 10, Keys::All), 1);
    assert_eq!(numbers(&next(&mut lanes, 1).unwrap()), [10]);
}
