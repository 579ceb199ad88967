//! The spool, and what goes with an endpoint that is dropped.

use super::*;
use crate::store::{
    Dropped, EndpointState, Entry, GapReason, Marker, NewRun, Progress, Spool, WaitingRun,
};

fn run(endpoint: &str, lane: &str, numbers: std::ops::Range<u8>) -> NewRun {
    NewRun {
        endpoint: endpoint.into(),
        lane: lane.into(),
        table: Arc::new(TableName::new("public", "orders")),
        enqueued_at_ms: 1000 + i64::from(numbers.start),
        first_attempt_at_ms: Some(5),
        attempts: 2,
        entries: numbers
            .map(|number| Entry::Event(event(number, position(u64::from(number), 1))))
            .collect(),
    }
}

fn read(store: &mut Store, endpoint: &str, lane: &str, after: i64) -> Vec<WaitingRun> {
    store
        .read_runs(SLOT, endpoint, lane, after, 1 << 30)
        .unwrap()
}

#[test]
fn runs_are_read_back_in_order_after_a_crash() {
    let place = Place::new();
    let mut with_marker = run("a", "l", 3..5);
    let marker = Marker {
        id: EventId([9; 16]),
        position: position(5, 1),
        last_of_change: false,
    };
    with_marker.entries.push(Entry::Marker(marker));
    let empty = run("a", "l", 0..0);
    let runs = [run("a", "l", 0..3), empty, run("b", "l", 0..1), with_marker];
    assert_eq!(
        place.open().append_runs(SLOT, &runs, &[]).unwrap(),
        [1, 2, 3]
    );

    let mut store = place.open();
    let found = read(&mut store, "a", "l", 0);
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].sequence, found[1].sequence), (1, 3));
    assert_eq!(found[0].entries, runs[0].entries);
    assert_eq!(found[1].entries, runs[3].entries);
    assert_eq!(found[0].enqueued_at_ms, 1000);
    assert_eq!(
        (found[0].first_attempt_at_ms, found[0].attempts),
        (Some(5), 2)
    );
    assert_eq!(read(&mut store, "a", "l", 1).len(), 1);
    let limited = store.read_runs(SLOT, "a", "l", 0, 1).unwrap();
    assert_eq!(limited.len(), 1, "one however large");

    let lanes = store.waiting_lanes(SLOT).unwrap();
    assert_eq!(lanes.len(), 2);
    assert_eq!((lanes[0].events, lanes[0].last_sequence), (5, 3));
    assert_eq!(lanes[0].oldest_enqueued_at_ms, 1000);
    assert_eq!(store.counts(SLOT).unwrap()[0].waiting.events, 5);
    assert_eq!(store.spool_bytes(SLOT).unwrap(), 6 * 8);
}

#[test]
fn a_lane_is_settled_from_its_front() {
    let place = Place::new();
    let mut store = place.open();
    let runs = [
        run("a", "l", 0..3),
        run("a", "m", 0..3),
        run("a", "l", 3..6),
    ];
    store.append_runs(SLOT, &runs, &[]).unwrap();
    let found = read(&mut store, "a", "l", 0);

    store.settle_runs(SLOT, &[found[0].settle(1)]).unwrap();
    let left = read(&mut store, "a", "l", 0);
    assert_eq!((left[0].settled, left[0].entries.len()), (1, 2));
    assert_eq!(store.counts(SLOT).unwrap()[0].waiting.events, 8);

    // A further step counts from what was read, and takes the run before along.
    let further = read(&mut store, "a", "l", 1)[0].settle(2);
    let progress = Progress {
        runs: vec![further],
        dead: vec![super::dead::letter("a", 3, position(3, 1))],
        ..Progress::of(SLOT)
    };
    store.commit(&progress).unwrap();
    let left = read(&mut store, "a", "l", 0);
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].sequence, left[0].settled), (3, 2));
    assert_eq!(left[0].entries, runs[2].entries[2..]);
    assert_eq!(store.spool_bytes(SLOT).unwrap(), (3 + 1 + 1) * 8);

    store.settle_runs(SLOT, &[left[0].settle(1)]).unwrap();
    assert_eq!(read(&mut store, "a", "l", 0), []);
    assert_eq!(
        read(&mut store, "a", "m", 0).len(),
        1,
        "another lane's stay"
    );
    let bodies: i64 = store
        .connection()
        .query_row("SELECT count(*) FROM run_body", [], |row| row.get(0))
        .unwrap();
    assert_eq!(bodies, 1);
}

#[test]
fn a_sequence_is_never_used_again() {
    let place = Place::new();
    let mut store = place.open();
    store
        .append_runs(SLOT, &[run("a", "l", 0..1)], &[])
        .unwrap();
    let progress = read(&mut store, "a", "l", 0)[0].settle(1);
    store.settle_runs(SLOT, &[progress]).unwrap();
    drop(store);
    let mut store = place.open();
    assert_eq!(
        store
            .append_runs(SLOT, &[run("a", "l", 0..1)], &[])
            .unwrap(),
        [2]
    );
}

#[test]
fn an_endpoint_is_dropped_with_all_of_it_and_a_gap_is_recorded() {
    let place = Place::new();
    let mut store = place.open();
    store
        .set_endpoint(SLOT, "a", EndpointState::Enabled, 1)
        .unwrap();
    let runs = [run("a", "l", 2..5), run("b", "l", 0..1)];
    store.append_runs(SLOT, &runs, &[]).unwrap();
    store
        .park(
            SLOT,
            vec![super::dead::letter("a", 1, position(1, 1))],
            vec![
                lane("a", "l", position(9, 0)),
                lane("b", "l", position(9, 0)),
            ],
        )
        .unwrap();
    let dropped = store.drop_endpoint(SLOT, "a", 77).unwrap();
    let expected = Dropped {
        positions: 1,
        waiting_events: 3,
        dead_letters: 1,
    };
    assert_eq!(dropped, Some(expected));
    assert_eq!(store.drop_endpoint(SLOT, "a", 77).unwrap(), None);
    assert_eq!(store.drop_endpoint("?", "a", 77).unwrap(), None);

    let state = store.load(SLOT).unwrap();
    assert_eq!(state.endpoints, []);
    assert_eq!(state.positions, [lane("b", "l", position(9, 0))]);
    let counts = store.counts(SLOT).unwrap();
    assert_eq!((counts.len(), counts[0].waiting.events), (1, 1));
    let gaps = store.gaps(SLOT).unwrap();
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].reason, GapReason::EndpointDropped);
    assert_eq!((gaps[0].from, gaps[0].to), (Lsn(2), Lsn(4)));
    assert_eq!((gaps[0].events, gaps[0].recorded_at_ms), (Some(3), 77));
}

#[test]
fn a_drained_spool_gives_its_space_back() {
    let place = Place::new();
    let mut store = place.open();
    let mut large = run("a", "l", 0..1);
    if let Entry::Event(event) = &mut large.entries[0] {
        event.body = vec![b'x'; 4 << 20].into();
    }
    store.append_runs(SLOT, &[large], &[]).unwrap();
    let progress = read(&mut store, "a", "l", 0)[0].settle(1);
    store.settle_runs(SLOT, &[progress]).unwrap();
    assert!(store.give_back(10).unwrap());
    while store.give_back(1000).unwrap() {}
    drop(store);
    let length = std::fs::metadata(place.path()).unwrap().len();
    assert!(length < 1 << 20, "{length}");
}
