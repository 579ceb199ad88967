//! Intention, checkpoint, positions, journal, rules, endpoints, gaps.

use std::collections::HashMap;

use super::*;
use crate::progress::tracker::{JOURNAL_LENGTH, ReadKind};
use crate::store::{
    DisabledBy, EndpointRow, EndpointState, Gap, GapReason, History, Intention, JournalEntry,
    NewDeadLetter, Progress, SlotState,
};

fn entry(number: u64) -> JournalEntry {
    JournalEntry {
        kind: ReadKind::Transaction,
        commit_lsn: Lsn(number),
        xid: number as u32,
        commit_time_us: -(number as i64),
    }
}

#[test]
fn an_unknown_slot_is_empty() {
    let place = Place::new();
    assert_eq!(place.open().load(SLOT).unwrap(), SlotState::default());
    assert_eq!(place.open().slots().unwrap(), Vec::<String>::new());
}

#[test]
fn a_commit_is_on_disk_when_it_returns() {
    let place = Place::new();
    let store = place.open();
    let synchronous: i64 = (store.connection())
        .pragma_query_value(None, "synchronous", |row| row.get(0))
        .unwrap();
    assert_eq!(synchronous, 2, "FULL");
    let mode: String = (store.connection())
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn all_that_was_committed_is_there_after_a_crash() {
    let place = Place::new();
    let intention = Intention {
        system_identifier: u64::MAX,
        lsn: Lsn(0x16_B374_D848),
    };
    let head = LanePosition {
        first_attempt_at_ms: Some(17),
        attempts: 3,
        ..lane("billing", "public.orders", position(300, u64::MAX >> 1))
    };
    let gap = Gap {
        endpoint: Some("crm".into()),
        reason: GapReason::SpoolFull,
        from: Lsn(100),
        to: Lsn(200),
        events: Some(9),
        recorded_at_ms: 1,
    };
    place
        .open()
        .intend(SLOT, intention.system_identifier, intention.lsn)
        .unwrap();
    place
        .open()
        .commit(&Progress {
            checkpoint: Some(checkpoint(250)),
            positions: vec![head.clone()],
            journal: vec![entry(240)],
            gaps: vec![gap.clone()],
            ..Progress::of(SLOT)
        })
        .unwrap();
    place
        .open()
        .rules_changed(SLOT, "public.orders", u64::MAX)
        .unwrap();

    let mut store = place.open();
    let state = store.load(SLOT).unwrap();
    assert!(state.history.is_some());
    assert_eq!(state.intention, Some(intention));
    assert_eq!(state.checkpoint, Some(checkpoint(250)));
    assert_eq!(state.start, None);
    assert_eq!(state.journal_from, Some(intention.lsn));
    assert_eq!(state.positions, [head]);
    assert_eq!(state.journal, [entry(240)]);
    assert_eq!(
        state.rules,
        HashMap::from([("public.orders".to_owned(), u64::MAX)])
    );
    assert_eq!(store.gaps(SLOT).unwrap(), [gap]);
    assert_eq!(store.slots().unwrap(), [SLOT]);
    assert_eq!(store.load("other").unwrap(), SlotState::default());
}

#[test]
fn a_checkpoint_removes_the_positions_below_it_of_enabled_endpoints() {
    let place = Place::new();
    let mut store = place.open();
    let disabled = EndpointState::Disabled(DisabledBy::Gone410);
    store.set_endpoint(SLOT, "gone", disabled, 5).unwrap();
    store
        .set_endpoint(SLOT, "back", EndpointState::Enabled, 6)
        .unwrap();
    store
        .commit(&Progress {
            positions: vec![
                lane("back", "a", position(99, 4)),
                lane("back", "b", position(100, 1)),
                lane("gone", "a", position(99, 4)),
                lane("new", "a", position(99, 4)),
            ],
            checkpoint: Some(checkpoint(100)),
            ..Progress::of(SLOT)
        })
        .unwrap();
    let state = store.load(SLOT).unwrap();
    assert_eq!(
        state.positions,
        [
            lane("back", "b", position(100, 1)),
            lane("gone", "a", position(99, 4)),
        ]
    );
    let row = |endpoint: &str, state, since_ms| EndpointRow {
        endpoint: endpoint.into(),
        state,
        since_ms,
    };
    assert_eq!(
        state.endpoints,
        [
            row("back", EndpointState::Enabled, 6),
            row("gone", disabled, 5)
        ]
    );
}

#[test]
fn a_position_takes_the_place_of_the_one_before() {
    let place = Place::new();
    let mut store = place.open();
    for ordinal in [1, 2] {
        store
            .commit(&Progress {
                positions: vec![lane("a", "l", position(9, ordinal))],
                ..Progress::of(SLOT)
            })
            .unwrap();
    }
    assert_eq!(
        store.load(SLOT).unwrap().positions,
        [lane("a", "l", position(9, 2))]
    );
    let lanes = [
        lane("a", "l/0", position(8, 0)),
        lane("a", "l/1", position(8, 0)),
    ];
    store.replace_lanes(SLOT, "a", &lanes).unwrap();
    assert_eq!(store.load(SLOT).unwrap().positions, lanes);
}

#[test]
fn the_journal_keeps_the_last_transactions() {
    let place = Place::new();
    let mut store = place.open();
    for start in [1, 51, 101] {
        store
            .commit(&Progress {
                checkpoint: Some(checkpoint(start + 50)),
                journal: (start..start + 50).map(entry).collect(),
                ..Progress::of(SLOT)
            })
            .unwrap();
    }
    let last: Vec<_> = (151 - JOURNAL_LENGTH as u64..=150).map(entry).collect();
    assert_eq!(store.load(SLOT).unwrap().journal, last);
    store
        .commit(&Progress {
            checkpoint: Some(checkpoint(2000)),
            journal: (1000..2000).map(entry).collect(),
            ..Progress::of(SLOT)
        })
        .unwrap();
    let state = store.load(SLOT).unwrap();
    assert_eq!(state.journal.len(), JOURNAL_LENGTH);
    assert_eq!(state.journal.first(), Some(&entry(2000 - 64)));
    assert_eq!(state.journal_from, Some(Lsn(2000 - 64)));
}

#[test]
fn above_the_checkpoint_the_journal_keeps_what_a_lane_stands_in() {
    let place = Place::new();
    let mut store = place.open();
    for ahead in [400, 500] {
        store
            .commit(&Progress {
                checkpoint: Some(checkpoint(100)),
                journal: vec![entry(ahead)],
                positions: vec![lane("a", "l", position(ahead, 3))],
                ..Progress::of(SLOT)
            })
            .unwrap();
    }
    assert_eq!(store.load(SLOT).unwrap().journal, [entry(500)]);
    store
        .commit(&Progress {
            checkpoint: Some(checkpoint(300)),
            journal: vec![entry(200), entry(250)],
            ..Progress::of(SLOT)
        })
        .unwrap();
    let journal = store.load(SLOT).unwrap().journal;
    assert_eq!(journal, [entry(200), entry(250), entry(500)]);
}

#[test]
fn where_the_history_differs_is_kept_until_a_person_goes_on() {
    let place = Place::new();
    let mut store = place.open();
    store.differs(SLOT, Some(Lsn(70))).unwrap();
    assert_eq!(place_of(&mut store).differs, Some(Lsn(70)));
    store
        .go_on_at(SLOT, &checkpoint(50), History::New, &[])
        .unwrap();
    assert_eq!(place_of(&mut store).differs, None);
}

#[test]
fn a_gap_is_to_be_announced_until_somebody_was_told_and_again_once_it_has_grown() {
    let place = Place::new();
    let mut store = place.open();
    let mut gap = Gap {
        endpoint: None,
        reason: GapReason::Vanished,
        from: Lsn(10),
        to: Lsn(20),
        events: None,
        recorded_at_ms: 1,
    };
    let mut record = |store: &mut Store, to| {
        gap.to = Lsn(to);
        let gaps = [gap.clone()];
        store
            .go_on_at(SLOT, &checkpoint(20), History::New, &gaps)
            .unwrap();
        gap.clone()
    };
    let before = record(&mut store, 20);
    assert_eq!(
        store.gaps_to_announce(SLOT).unwrap(),
        std::slice::from_ref(&before)
    );
    store.announced(SLOT, &before, 5).unwrap();
    assert_eq!(store.gaps_to_announce(SLOT).unwrap(), []);
    // The same again is no news; a longer one is.
    record(&mut store, 20);
    assert_eq!(store.gaps_to_announce(SLOT).unwrap(), []);
    let grown = record(&mut store, 30);
    assert_eq!(
        store.gaps_to_announce(SLOT).unwrap(),
        std::slice::from_ref(&grown)
    );
    // Told of what it was meanwhile.
    store.announced(SLOT, &before, 6).unwrap();
    assert_eq!(
        store.gaps_to_announce(SLOT).unwrap(),
        std::slice::from_ref(&grown)
    );
    assert_eq!(store.gaps(SLOT).unwrap(), [grown]);
}

#[test]
fn a_checkpoint_never_goes_back_and_the_whole_commit_is_refused() {
    let place = Place::new();
    let mut store = place.open();
    let mut progress = Progress {
        checkpoint: Some(checkpoint(100)),
        ..Progress::of(SLOT)
    };
    store.commit(&progress).unwrap();
    progress.checkpoint = Some(checkpoint(99));
    progress.positions = vec![lane("a", "l", position(200, 0))];
    let error = store.commit(&progress).unwrap_err();
    assert!(matches!(error, StoreError::CheckpointBehind { .. }));
    assert!(!error.is_fatal());
    let state = store.load(SLOT).unwrap();
    assert_eq!(state.checkpoint, Some(checkpoint(100)));
    assert_eq!(state.positions, []);
}

#[test]
fn a_person_may_go_on_elsewhere() {
    let place = Place::new();
    let mut store = place.open();
    store
        .commit(&Progress {
            checkpoint: Some(checkpoint(100)),
            positions: vec![lane("a", "l", position(200, 0))],
            journal: vec![entry(90)],
            dead: vec![dead_letter()],
            ..Progress::of(SLOT)
        })
        .unwrap();
    let before = store.load(SLOT).unwrap().history;
    let gap = Gap {
        endpoint: None,
        reason: GapReason::Adopted,
        from: Lsn(50),
        to: Lsn(100),
        events: None,
        recorded_at_ms: 3,
    };
    store
        .go_on_at(SLOT, &checkpoint(50), History::Same, &[])
        .unwrap();
    assert_eq!(store.load(SLOT).unwrap().history, before);
    store
        .go_on_at(
            SLOT,
            &checkpoint(60),
            History::New,
            std::slice::from_ref(&gap),
        )
        .unwrap();
    drop(store);

    let mut store = place.open();
    let state = store.load(SLOT).unwrap();
    assert_ne!(state.history, before);
    assert_eq!(state.start, Some(Lsn(60)));
    assert_eq!(state.journal_from, Some(Lsn(60)));
    assert_eq!(state.checkpoint, Some(checkpoint(60)));
    assert_eq!((state.positions, state.journal), (vec![], vec![]));
    assert_eq!(store.gaps(SLOT).unwrap(), [gap]);
    assert_eq!(store.counts(SLOT).unwrap()[0].dead.events, 1);

    store
        .commit(&Progress {
            checkpoint: Some(checkpoint(70)),
            ..Progress::of(SLOT)
        })
        .unwrap();
    // For as long as the slot may fall back behind it.
    assert_eq!(store.load(SLOT).unwrap().start, Some(Lsn(60)));
}

#[test]
fn a_gap_grows_while_it_is_open() {
    let place = Place::new();
    let mut store = place.open();
    let mut gap = Gap {
        endpoint: Some("a".into()),
        reason: GapReason::SpoolFull,
        from: Lsn(1),
        to: Lsn(2),
        events: Some(1),
        recorded_at_ms: 1,
    };
    for (to, events) in [(2, 1), (9, 8)] {
        gap.to = Lsn(to);
        gap.events = Some(events);
        store
            .commit(&Progress {
                gaps: vec![gap.clone()],
                ..Progress::of(SLOT)
            })
            .unwrap();
    }
    assert_eq!(store.gaps(SLOT).unwrap(), [gap]);
}

#[test]
fn a_slot_is_removed_with_all_of_it_and_nothing_of_another() {
    let place = Place::new();
    let mut store = place.open();
    for slot in [SLOT, "other"] {
        store.intend(slot, 1, Lsn(1)).unwrap();
        store
            .set_endpoint(slot, "a", EndpointState::Enabled, 1)
            .unwrap();
        store
            .commit(&Progress {
                checkpoint: Some(checkpoint(1)),
                positions: vec![lane("a", "l", position(2, 0))],
                journal: vec![entry(1)],
                dead: vec![dead_letter()],
                ..Progress::of(slot)
            })
            .unwrap();
        store.rules_changed(slot, "t", 1).unwrap();
    }
    let other = store.load("other").unwrap();
    assert!(store.remove_slot(SLOT).unwrap());
    assert!(!store.remove_slot(SLOT).unwrap());
    assert_eq!(store.load(SLOT).unwrap(), SlotState::default());
    assert_eq!(store.counts(SLOT).unwrap(), []);
    assert_eq!(store.load("other").unwrap(), other);
    assert_eq!(store.counts("other").unwrap()[0].dead.events, 1);
}

fn place_of(store: &mut Store) -> SlotState {
    store.load(SLOT).unwrap()
}

fn dead_letter() -> NewDeadLetter {
    super::dead::letter("a", 1, position(1, 1))
}

#[test]
fn a_lane_does_not_go_back_but_to_the_beginning_of_a_change_when_rules_change() {
    let place = Place::new();
    let mut store = place.open();
    let at = |lsn, ordinal, n| LanePosition {
        position: Position {
            n,
            ..position(lsn, ordinal)
        },
        ..lane("a", "l", position(0, 0))
    };
    let mut commit = |lane: LanePosition| {
        let positions = vec![lane];
        store
            .commit(&Progress {
                positions,
                ..Progress::of(SLOT)
            })
            .unwrap();
        store.load(SLOT).unwrap().positions[0].position
    };
    assert_eq!(commit(at(300, 2, 1)), at(300, 2, 1).position);
    for older in [at(299, 9, 9), at(300, 1, 5), at(300, 2, 0)] {
        assert_eq!(commit(older), at(300, 2, 1).position);
    }
    assert_eq!(commit(at(300, 2, 2)), at(300, 2, 2).position);
    store.rules_changed(SLOT, "*", 7).unwrap();
    let state = store.load(SLOT).unwrap();
    assert_eq!(state.positions[0].position, at(300, 2, 0).position);
    assert_eq!(state.rules.get("*"), Some(&7));
}
