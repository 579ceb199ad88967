//! Dead letters.

use super::*;
use crate::store::{
    Amount, BODY_PART_BYTES_MAX, DeadFilter, DeadReason, NewDeadLetter, PAGE_LETTERS_MAX, Verdict,
};

fn verdict(parked_at_ms: i64) -> Verdict {
    Verdict {
        reason: DeadReason::Expired,
        parked_at_ms,
        first_attempt_at_ms: Some(1),
        attempts: 7,
        last_status: Some(500),
        last_error: Some("status 500".into()),
        answer: b"oh no\x1b[31m \xFF".to_vec(),
    }
}

pub(super) fn letter(endpoint: &str, number: u8, position: Position) -> NewDeadLetter {
    NewDeadLetter {
        endpoint: endpoint.into(),
        lane: "public.orders".into(),
        event: event(number, position),
        verdict: verdict(i64::from(number)),
    }
}

fn with(change: impl FnOnce(&mut DeadFilter)) -> DeadFilter {
    let mut filter = DeadFilter::default();
    change(&mut filter);
    filter
}

/// Letters 1 to 5 of two endpoints and tables.
fn five(store: &mut Store) {
    let mut letters: Vec<_> = [(1, 30), (2, 20), (3, 10), (4, 40)]
        .map(|(number, lsn)| letter("billing", number, position(lsn, 1)))
        .into();
    let mut other = letter("crm", 5, position(50, 1));
    other.event.table = Arc::new(TableName::new("audit", "log"));
    letters.push(other);
    store
        .park(SLOT, letters, vec![lane("billing", "l", position(41, 0))])
        .unwrap();
}

fn ids(store: &mut Store, filter: &DeadFilter) -> Vec<i64> {
    let page = store.dead_list(filter).unwrap();
    page.letters.iter().map(|letter| letter.id).collect()
}

#[test]
fn a_letter_is_parked_with_the_position_that_passes_it() {
    let place = Place::new();
    five(&mut place.open());
    let mut store = place.open();
    assert_eq!(store.load(SLOT).unwrap().positions.len(), 1);
    let page = store.dead_list(&DeadFilter::default()).unwrap();
    assert_eq!((page.letters.len(), page.next), (5, None));
    let first = &page.letters[0];
    assert_eq!(first.event_id, format!("evt_{}", "01".repeat(16)));
    assert_eq!(first.table, "public.orders");
    assert_eq!((&*first.lsn, first.ordinal), ("0/1E", 1));
    assert_eq!((&*first.state, &*first.reason), ("dead", "expired"));
    assert_eq!(first.last_status, Some(500));
    assert_eq!(first.body_bytes, 8);
}

#[test]
fn a_filter_narrows() {
    let place = Place::new();
    let mut store = place.open();
    five(&mut store);
    let cases: [(DeadFilter, &[i64]); 9] = [
        (with(|f| f.ids = vec![2, 5, 99]), &[2, 5]),
        (with(|f| f.endpoint = Some("crm".into())), &[5]),
        (with(|f| f.table = Some("orders".into())), &[1, 2, 3, 4]),
        (with(|f| f.schema = Some("audit".into())), &[5]),
        (with(|f| f.since_ms = Some(4)), &[4, 5]),
        (with(|f| f.until_ms = Some(2)), &[1]),
        (with(|f| f.lsn_from = Some(Lsn(40))), &[4, 5]),
        (with(|f| f.lsn_to = Some(Lsn(20))), &[2, 3]),
        (with(|f| f.slot = Some("other".into())), &[]),
    ];
    for (filter, expected) in cases {
        assert_eq!(ids(&mut store, &filter), expected, "{filter:?}");
    }
}

#[test]
fn a_list_comes_in_pages() {
    let place = Place::new();
    let mut store = place.open();
    five(&mut store);
    let mut filter = with(|f| f.limit = Some(2));
    let mut seen = Vec::new();
    loop {
        let page = store.dead_list(&filter).unwrap();
        assert!(page.letters.len() <= 2);
        seen.extend(page.letters.iter().map(|letter| letter.id));
        filter.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);

    let many = (0..=PAGE_LETTERS_MAX)
        .map(|number| {
            let mut letter = letter("many", 0, position(u64::from(number), 1));
            letter.event.id = EventId(u128::from(number).to_be_bytes());
            letter
        })
        .collect();
    store.park(SLOT, many, vec![]).unwrap();
    let page = store
        .dead_list(&with(|f| {
            f.endpoint = Some("many".into());
            f.limit = Some(u32::MAX);
        }))
        .unwrap();
    assert_eq!(page.letters.len(), PAGE_LETTERS_MAX as usize);
    assert!(page.next.is_some());
}

#[test]
fn a_letter_is_shown_with_its_body_in_parts() {
    let place = Place::new();
    let mut store = place.open();
    let body = format!("{{\"x\":\"{}\"}}", "ü".repeat(BODY_PART_BYTES_MAX as usize));
    let mut big = letter("a", 1, position(1, 1));
    big.event.body = body.clone().into();
    big.verdict.answer = vec![b'x'; 5000];
    big.verdict.last_error = Some("ü".repeat(400));
    store.park(SLOT, vec![big], vec![]).unwrap();

    let mut shown = String::new();
    let mut from = Some(0);
    while let Some(start) = from {
        let part = store.dead_show(1, start).unwrap().unwrap();
        assert!(part.body_part.len() <= BODY_PART_BYTES_MAX as usize);
        assert_eq!(part.answer.len(), 1024);
        assert_eq!(part.summary.last_error.unwrap().len(), 512);
        shown.push_str(&part.body_part);
        from = part.body_next;
    }
    assert!(shown == body);
    assert_eq!(store.dead_show(2, 0).unwrap(), None);
    let past = store.dead_show(1, u64::MAX).unwrap().unwrap();
    assert_eq!((&*past.body_part, past.body_next), ("", None));
}

#[test]
fn letters_to_retry_come_in_order_of_position() {
    let place = Place::new();
    let mut store = place.open();
    five(&mut store);
    let billing = with(|f| f.endpoint = Some("billing".into()));
    assert_eq!(store.dead_retry(&billing).unwrap(), 4);
    assert_eq!(store.dead_retry(&billing).unwrap(), 0);

    let first = store.retrying(SLOT, "billing", None, 3, 1 << 20).unwrap();
    let lsns: Vec<_> = first.iter().map(|e| e.cursor.position.lsn.0).collect();
    assert_eq!(lsns, [10, 20, 30]);
    assert_eq!(first[0].event, event(3, position(10, 1)));
    assert_eq!((&*first[0].lane, first[0].attempts), ("public.orders", 7));
    let last = first.last().map(|event| event.cursor);
    let rest = store.retrying(SLOT, "billing", last, 3, 1 << 20).unwrap();
    assert_eq!(rest.len(), 1);
    let one = store.retrying(SLOT, "billing", None, 3, 1).unwrap();
    assert_eq!(one.len(), 1, "one however large");
    assert_eq!(store.retrying(SLOT, "crm", None, 3, 1 << 20).unwrap(), []);
}

#[test]
fn a_retried_letter_goes_or_is_dead_again() {
    let place = Place::new();
    let mut store = place.open();
    five(&mut store);
    store.dead_retry(&DeadFilter::default()).unwrap();
    let delivered = [EventId([1; 16]), EventId([2; 16]), EventId([99; 16])];
    assert_eq!(
        store.dead_delivered(SLOT, "billing", &delivered).unwrap(),
        2
    );
    let again = Verdict {
        reason: DeadReason::ParkStatus,
        attempts: 8,
        last_status: Some(422),
        ..verdict(99)
    };
    let third = EventId([3; 16]);
    let asked = vec![third, EventId([4; 16]), delivered[0]];
    assert_eq!(
        store.no_longer_retrying(SLOT, "billing", asked).unwrap(),
        [delivered[0]]
    );
    assert!(store.dead_again(SLOT, "billing", third, &again).unwrap());
    assert!(
        !store
            .dead_again(SLOT, "billing", delivered[0], &again)
            .unwrap()
    );
    // Parked anew from its lane: the same letter, not a second one.
    let fourth = letter("billing", 4, position(40, 1));
    store
        .park(SLOT, vec![fourth.clone(), fourth], vec![])
        .unwrap();
    drop(store);

    let mut store = place.open();
    let page = store.dead_list(&DeadFilter::default()).unwrap();
    let states: Vec<_> = page
        .letters
        .iter()
        .map(|l| (l.id, &*l.state, &*l.reason, l.attempts))
        .collect();
    assert_eq!(
        states,
        [
            (3, "dead", "park_status", 15),
            (4, "dead", "expired", 7),
            (5, "retrying", "expired", 7)
        ]
    );
}

#[test]
fn counts_follow_every_step() {
    let place = Place::new();
    let mut store = place.open();
    five(&mut store);
    let amounts = |store: &mut Store| {
        let counts = store.counts(SLOT).unwrap();
        assert_eq!(counts[0].table, TableName::new("public", "orders"));
        (counts[0].dead, counts[0].retrying)
    };
    let amount = |events: u64| Amount {
        events,
        bytes: events * 8,
    };
    assert_eq!(amounts(&mut store), (amount(4), amount(0)));
    store.dead_retry(&with(|f| f.ids = vec![1, 2])).unwrap();
    assert_eq!(amounts(&mut store), (amount(2), amount(2)));
    let first = EventId([1; 16]);
    store.dead_delivered(SLOT, "billing", &[first]).unwrap();
    assert_eq!(amounts(&mut store), (amount(2), amount(1)));
    let second = EventId([2; 16]);
    store
        .dead_again(SLOT, "billing", second, &verdict(1))
        .unwrap();
    assert_eq!(amounts(&mut store), (amount(3), amount(0)));
    let mut rest = with(|f| f.limit = Some(2));
    assert_eq!(store.dead_drop(&rest).unwrap(), 2);
    assert_eq!(store.dead_drop(&rest).unwrap(), 2);
    assert_eq!(store.dead_drop(&rest).unwrap(), 0);
    rest.limit = None;
    assert_eq!(amounts(&mut store), (amount(0), amount(0)));
}

#[test]
fn a_number_is_never_used_again() {
    let place = Place::new();
    let mut store = place.open();
    five(&mut store);
    store.dead_drop(&DeadFilter::default()).unwrap();
    store
        .park(SLOT, vec![letter("a", 1, position(1, 1))], vec![])
        .unwrap();
    assert_eq!(ids(&mut store, &DeadFilter::default()), [6]);
}

#[test]
fn debug_output_holds_no_row_values() {
    let place = Place::new();
    let mut store = place.open();
    let mut secret = letter("a", 1, position(1, 1));
    secret.event.body = "hunter2".into();
    secret.verdict.answer = b"hunter2".to_vec();
    let mut texts = vec![format!("{secret:?}")];
    store.park(SLOT, vec![secret], vec![]).unwrap();
    texts.push(format!("{:?}", store.dead_show(1, 0).unwrap()));
    store.dead_retry(&DeadFilter::default()).unwrap();
    let retrying = store.retrying(SLOT, "a", None, 1, 1).unwrap();
    texts.push(format!("{retrying:?}"));
    for text in texts {
        assert!(text.contains("evt_0101"), "{text}");
        let raw = format!("{:?}", b"hunter2");
        assert!(!text.contains("hunter2") && !text.contains(&raw), "{text}");
    }
}

#[test]
fn a_store_may_live_in_a_thread() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&Place::new().open());
}
