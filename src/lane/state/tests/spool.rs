//! When a lane moves to disk, and when it returns.

use super::*;
use crate::delivery::outcome::{Outcome, Unreachable};
use crate::lane::attempt::{
    Finished, LoadedEntry, LoadedRun, ParkReason, Progress, Write, WriteEntry,
};
use crate::lane::state::Why;

/// The events of a write, by lane.
fn written(write: &Write) -> Vec<(String, Vec<u64>)> {
    let runs = write.runs.iter().map(|run| {
        let numbers = run.entries.iter().map(|entry| match entry {
            WriteEntry::Event(event) | WriteEntry::Marker(event) => event.position.lsn.0,
        });
        (run.lane.to_string(), numbers.collect())
    });
    runs.collect()
}

fn write_out(lanes: &mut Lanes, now: MonotonicMs) -> (Write, Progress) {
    let write = lanes.take_write().unwrap();
    let sequences: Vec<i64> = (1..=write.runs.len() as i64).collect();
    let progress = lanes.written(&sequences, now);
    (write, progress)
}

#[test]
fn a_lane_whose_head_fails_for_seconds_moves_to_disk_with_all_of_it() {
    let mut lanes = lanes(options(Order::Table));
    for number in 1..=3 {
        lanes.push(event("a", number, Keys::All), 0);
    }
    lanes.push(event("b", 4, Keys::All), 0);
    let attempts = all(&mut lanes, 0);
    lanes.finish(attempts[0].ticket, &Outcome::Rejected { status: 500 }, 0, 0);
    lanes.finish(attempts[1].ticket, &Outcome::Delivered, 0, 0);
    lanes.push(event("b", 5, Keys::All), 2_500);
    assert_eq!(lanes.move_to_disk(Why::Age, 2_999), 0);
    assert_eq!(lanes.move_to_disk(Why::Age, 3_000), 1);
    let (write, progress) = write_out(&mut lanes, 3_000);
    assert_eq!(
        written(&write),
        [("table public.a".to_owned(), vec![1, 2, 3])]
    );
    assert_eq!(
        (write.runs[0].attempts, write.runs[0].first_attempt),
        (1, Some(0))
    );
    assert_eq!(
        write.positions[0].position,
        event("a", 3, Keys::All).position_after()
    );
    // As Postgres sees it they are settled.
    assert_eq!(progress.settled, [(Lsn(1), 1), (Lsn(2), 1), (Lsn(3), 1)]);
}

#[test]
fn an_event_in_flight_goes_to_disk_too_and_is_settled_there() {
    let mut lanes = lanes(options(Order::Table));
    lanes.push(event("a", 1, Keys::All), 0);
    lanes.push(event("a", 2, Keys::All), 0);
    let attempt = next(&mut lanes, 0).unwrap();
    assert_eq!(lanes.move_to_disk(Why::Age, 3_000), 1);
    let write = lanes.take_write().unwrap();
    let Finished::Settled(settled) = lanes.finish(attempt.ticket, &Outcome::Delivered, 3_001, 0)
    else {
        panic!("not settled");
    };
    assert_eq!(settled.progress.settled, [], "it belongs to the spool");
    assert_eq!(
        settled.progress.positions[0].position,
        event("a", 1, Keys::All).position_after()
    );
    let progress = lanes.written(&[7], 3_002);
    assert_eq!(progress.settled, [(Lsn(1), 1), (Lsn(2), 1)]);
    assert_eq!(
        (progress.on_disk[0].sequence, progress.on_disk[0].settled),
        (7, 1)
    );
    assert_eq!(progress.on_disk[0].left.entries, 1);
    assert_eq!(write.runs.len(), 1);
}

#[test]
fn pressure_moves_only_the_lane_that_holds_most_and_is_slow() {
    let mut lanes = lanes(options(Order::Table));
    for number in 1..=3 {
        lanes.push(event("a", number, Keys::All), 0);
    }
    lanes.push(event("b", 4, Keys::All), 0);
    assert_eq!(lanes.move_to_disk(Why::Pressure, 999), 0);
    assert_eq!(lanes.move_to_disk(Why::Pressure, 1_000), 1);
    assert_eq!(
        written(&write_out(&mut lanes, 1_000).0)[0].0,
        "table public.a"
    );
}

#[test]
fn pressure_moves_the_largest_lanes_until_they_hold_half() {
    let mut lanes = lanes(options(Order::Table));
    for (number, table) in (1..).zip(["a", "a", "b", "b", "c", "c", "d", "d"]) {
        lanes.push(event(table, number, Keys::All), 0);
    }
    assert_eq!(lanes.move_to_disk(Why::Pressure, 1_000), 2);
    assert_eq!(lanes.move_to_disk(Why::Pressure, 1_000), 1);
    assert_eq!(lanes.move_to_disk(Why::Pressure, 1_000), 1);
    assert_eq!(lanes.move_to_disk(Why::Pressure, 1_000), 0);
}

#[test]
fn a_lane_that_is_sending_can_be_left_with_what_it_sends() {
    let mut lanes = lanes(options(Order::Table));
    for number in 1..=3 {
        lanes.push(event("a", number, Keys::All), 0);
    }
    let attempt = next(&mut lanes, 0).unwrap();
    lanes.move_to_disk(Why::Age, 6_000);
    write_out(&mut lanes, 6_000);
    lanes.unload_what_follows();
    lanes.finish(attempt.ticket, &Outcome::Delivered, 6_001, 0);
    assert!(next(&mut lanes, 6_001).is_none(), "it is to be read back");
    let load = lanes.next_load().unwrap();
    assert_eq!(load.after, 0);
}

#[test]
fn lanes_that_share_an_event_move_together_and_it_is_written_once() {
    let mut lanes = lanes(options(Order::Key { lanes: 4 }));
    lanes.push(event("a", 1, Keys::One(0)), 0);
    lanes.push(event("a", 2, Keys::Two(0, 1)), 0);
    lanes.push(event("a", 3, Keys::One(2)), 2_000);
    assert_eq!(lanes.move_to_disk(Why::Age, 6_000), 2);
    let write = lanes.take_write().unwrap();
    assert_eq!(
        written(&write),
        [
            ("key 0 of 4".to_owned(), vec![1, 2]),
            ("key 1 of 4".to_owned(), vec![2])
        ]
    );
    assert!(matches!(write.runs[0].entries[1], WriteEntry::Event(_)));
    assert!(matches!(write.runs[1].entries[0], WriteEntry::Marker(_)));
}

#[test]
fn a_lane_is_read_back_and_returns_to_memory_once_it_keeps_up_again() {
    let large = |number| Event {
        body: Bytes::from(vec![b'x'; 300 << 10]),
        ..event("a", number, Keys::All)
    };
    let mut lanes = lanes(options(Order::Table));
    lanes.push(large(1), 0);
    lanes.push(large(2), 0);
    lanes.move_to_disk(Why::Age, 6_000);
    lanes.push(large(3), 6_000);
    let (write, _) = write_out(&mut lanes, 6_000);
    let mut sent = Vec::new();
    let mut loaded = Vec::new();
    loop {
        while let Some(attempt) = next(&mut lanes, 6_001) {
            sent.extend(numbers(&attempt));
            let finished = lanes.finish(attempt.ticket, &Outcome::Delivered, 6_001, 0);
            assert!(matches!(finished, Finished::Settled(_)));
        }
        let Some(load) = lanes.next_load() else { break };
        let (sequence, run) = (1..).zip(&write.runs).nth(load.after as usize).unwrap();
        loaded.push(sequence);
        let entries = run.entries.iter().map(|entry| match entry {
            WriteEntry::Event(event) => LoadedEntry::Event(Event::clone(event)),
            WriteEntry::Marker(event) => LoadedEntry::Marker(event.id),
        });
        let run = LoadedRun {
            sequence,
            since: 6_000,
            settled: 0,
            attempts: 0,
            first_attempt: None,
            entries: entries.collect(),
        };
        lanes.loaded(load.lane, vec![run], 6_001);
    }
    assert_eq!((sent, loaded), (vec![1, 2, 3], vec![2, 3]));
    assert!(!lanes.is_spooling());
    lanes.push(large(4), 6_002);
    assert!(lanes.take_write().is_none(), "it stays in memory");
    assert_eq!(numbers(&next(&mut lanes, 6_002).unwrap()), [4]);
}

/// Runs of one lane and one event each.
fn run(sequence: i64, number: u64) -> LoadedRun {
    LoadedRun {
        sequence,
        since: 0,
        settled: 0,
        attempts: 0,
        first_attempt: None,
        entries: vec![LoadedEntry::Event(event("a", number, Keys::All))],
    }
}

#[test]
fn what_is_made_durable_of_one_lane_is_so_of_those_that_share_its_events() {
    let mut lanes = lanes(options(Order::Key { lanes: 2 }));
    lanes.push(event("a", 1, Keys::Two(0, 1)), 0);
    for (number, key) in [(2, 1), (3, 1), (4, 0)] {
        lanes.push(event("a", number, Keys::One(key)), 0);
    }
    let first = next(&mut lanes, 0).unwrap();
    lanes.finish(first.ticket, &Outcome::Delivered, 0, 0);
    let others = all(&mut lanes, 0);
    let (rejected, refused) = (
        Outcome::Rejected { status: 500 },
        Outcome::Refused { status: 422 },
    );
    // The other lane stands behind it, at its head that has failed.
    lanes.finish(others[0].ticket, &rejected, 0, 0);
    let stands = |positions: &[crate::lane::attempt::LaneProgress]| {
        let other = positions.iter().find(|at| &*at.lane == "key 0 of 2");
        other.map(|at| (at.position.lsn.0, at.attempts))
    };
    let Finished::Park(park) = lanes.finish(others[1].ticket, &refused, 0, 0) else {
        panic!("not parked");
    };
    assert_eq!(numbers(&others[1]), [2]);
    assert_eq!(stands(&park.positions), Some((4, 1)));
    lanes.parked(park.ticket, 0);
    lanes.spill(&[1], 0);
    let write = lanes.take_write().unwrap();
    assert_eq!(written(&write), [("key 1 of 2".to_owned(), vec![3])]);
    assert_eq!(stands(&write.positions), Some((4, 1)));
}

#[test]
fn what_is_read_back_before_its_write_is_told_is_sent_once() {
    let mut lanes = lanes(options(Order::Table));
    lanes.push(event("a", 1, Keys::All), 0);
    let attempt = next(&mut lanes, 0).unwrap();
    lanes.finish(attempt.ticket, &Outcome::Rejected { status: 500 }, 0, 0);
    lanes.move_to_disk(Why::Age, 3_000);
    lanes.take_write().unwrap();
    lanes.written(&[1], 3_000);
    lanes.push(event("a", 2, Keys::All), 3_000);
    lanes.take_write().unwrap();
    assert!(next(&mut lanes, 3_001).is_none());
    let load = lanes.next_load().unwrap();
    // Both are on disk, and of the second the lanes do not know yet.
    lanes.loaded(load.lane, vec![run(1, 1), run(2, 2)], 3_002);
    lanes.written(&[2], 3_002);
    let mut sent = Vec::new();
    loop {
        if let Some(attempt) = next(&mut lanes, 3_003) {
            sent.extend(numbers(&attempt));
            lanes.finish(attempt.ticket, &Outcome::Delivered, 3_003, 0);
        } else if let Some(load) = lanes.next_load() {
            let runs = [run(1, 1), run(2, 2)];
            let after = runs.into_iter().filter(|run| run.sequence > load.after);
            lanes.loaded(load.lane, after.collect(), 3_003);
        } else {
            break;
        }
    }
    assert_eq!(sent, [1, 2]);
    assert!(!lanes.is_spooling());
}

#[test]
fn lanes_are_idle_while_nothing_is_in_flight_or_being_read() {
    let mut lanes = lanes(options(Order::Table));
    lanes.push(event("a", 1, Keys::All), 0);
    let attempt = next(&mut lanes, 0).unwrap();
    assert!(!lanes.is_idle());
    let unreachable = Outcome::Unreachable(Unreachable::Connect);
    lanes.finish(attempt.ticket, &unreachable, 0, 1);
    lanes.move_to_disk(Why::Age, 3_000);
    write_out(&mut lanes, 3_000);
    assert!(next(&mut lanes, 3_001).is_none());
    assert!(lanes.is_idle());
    let load = lanes.next_load().unwrap();
    assert!(!lanes.is_idle());
    lanes.not_loaded(&load);
    assert!(lanes.is_idle());
}

#[test]
fn what_waited_on_disk_for_longer_than_retry_for_is_parked_with_the_head_that_failed() {
    let on_disk = OnDisk {
        lane: crate::lane::name::LaneName::Endpoint,
        last_sequence: 2,
        oldest_commit_time_us: 0,
    };
    let mut lanes = Lanes::new(
        options(Order::Endpoint),
        Position::default(),
        Vec::new(),
        vec![on_disk],
        Health::Open,
    );
    assert!(lanes.next(0).is_none());
    let load = lanes.next_load().unwrap();
    assert_eq!((load.after, &*load.name), (-1, "all"));
    let run = |sequence, since, numbers: std::ops::Range<u64>| LoadedRun {
        sequence,
        since,
        settled: 0,
        attempts: 0,
        first_attempt: None,
        entries: numbers
            .map(|number| LoadedEntry::Event(event("a", number, Keys::All)))
            .collect(),
    };
    // retry.for is 60 s: the first run has waited for longer, the second has not.
    lanes.loaded(
        load.lane,
        vec![run(1, -61_000, 1..4), run(2, -1_000, 4..6)],
        0,
    );
    let attempt = next(&mut lanes, 0).unwrap();
    let rejected = Outcome::Rejected { status: 500 };
    let Finished::Park(park) = lanes.finish(attempt.ticket, &rejected, 0, 0) else {
        panic!("not parked");
    };
    assert_eq!((park.events.len(), park.attempts), (1, 1));
    lanes.parked(park.ticket, 0);
    let Some(Next::Park(park)) = lanes.next(0) else {
        panic!("not parked");
    };
    assert_eq!(
        (park.events.len(), park.attempts, park.reason),
        (2, 0, ParkReason::TooOld)
    );
    assert_eq!(park.on_disk[0].left.entries, 0);
    lanes.parked(park.ticket, 0);
    assert_eq!(numbers(&next(&mut lanes, 0).unwrap()), [4]);
}

#[test]
fn an_endpoint_that_filled_the_spool_misses_what_comes() {
    let mut lanes = lanes(options(Order::Table));
    lanes.push(event("a", 1, Keys::All), 0);
    lanes.disable_for_full_spool();
    lanes.move_all_to_disk(0);
    assert_eq!(lanes.push(event("a", 2, Keys::All), 0), Pushed::Missed);
    assert_eq!(write_out(&mut lanes, 0).1.settled, [(Lsn(1), 1)]);
    assert!(lanes.next(0).is_none());
    lanes.enable();
    assert_eq!(lanes.push(event("a", 3, Keys::All), 0), Pushed::Queued);
}

#[test]
fn the_attempts_of_a_head_on_disk_are_told_though_it_leaves_memory_while_it_waits() {
    let on_disk = OnDisk {
        lane: crate::lane::name::LaneName::Endpoint,
        last_sequence: 1,
        oldest_commit_time_us: 0,
    };
    let mut lanes = Lanes::new(
        options(Order::Endpoint),
        Position::default(),
        Vec::new(),
        vec![on_disk],
        Health::Open,
    );
    assert!(lanes.next(0).is_none());
    let load = lanes.next_load().unwrap();
    let run = LoadedRun {
        sequence: 1,
        since: 0,
        settled: 3,
        attempts: 4,
        first_attempt: Some(-5_000),
        entries: vec![LoadedEntry::Event(event("a", 1, Keys::All))],
    };
    lanes.loaded(load.lane, vec![run], 0);
    let attempt = next(&mut lanes, 0).unwrap();
    assert_eq!(attempt.number, 5);
    lanes.finish(attempt.ticket, &Outcome::Rejected { status: 500 }, 0, 0);
    let Some(HeadProgress::Disk(at)) = lanes.failing_at(attempt.ticket) else {
        panic!("not told");
    };
    assert_eq!((at.sequence, at.settled, at.left.entries), (1, 3, 1));
    assert_eq!((at.attempts, at.first_attempt), (5, Some(-5_000)));
}
