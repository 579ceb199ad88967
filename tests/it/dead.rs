//! Thousands of dead letters: listed, sent again in order, dropped, whatever else happens.

use std::time::Duration;

use serde_json::Value;

use crate::harness::metrics::{
    DEAD_LETTERS, EVENTS_DEAD, EVENTS_DELIVERED, EVENTS_MADE, EVENTS_RETRIED, EVENTS_WAITING,
    EVENTS_WAITING_AT_START, Metrics,
};
use crate::harness::receiver::Event;
use crate::harness::{
    ALL_EVENTS, Answer, Cluster, Daemon, Database, ORDERS, Receiver, SOON, eventually, oracle,
};

const PARK: &str = "retry: {max: 100ms, park_statuses: [422]}";

async fn start(options: &str) -> (Database, Receiver, Daemon) {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, options)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    (db, receiver, daemon)
}

async fn insert(db: &Database, rows: std::ops::RangeInclusive<u32>) {
    let (first, last) = (rows.start(), rows.end());
    db.sql(&format!(
        "INSERT INTO orders (id) SELECT generate_series({first}, {last})"
    ))
    .await;
}

async fn dead(daemon: &Daemon, letters: f64) {
    eventually("dead", || async {
        daemon.metrics().await.sum(DEAD_LETTERS, &[]) == letters
    })
    .await;
}

/// Rows 1 to `rows` become dead letters; then all is taken.
async fn park(db: &Database, receiver: &Receiver, daemon: &Daemon, rows: u32) {
    receiver.always(Answer::status(422));
    insert(db, 1..=rows).await;
    dead(daemon, f64::from(rows)).await;
    receiver.always(Answer::Accept);
}

async fn retry(daemon: &Daemon, filter: &[&str]) -> u64 {
    change(daemon, "retry", "retried", filter).await
}

async fn drop_letters(daemon: &Daemon, filter: &[&str]) -> u64 {
    change(daemon, "drop", "dropped", filter).await
}

async fn change(daemon: &Daemon, verb: &str, done: &str, filter: &[&str]) -> u64 {
    let arguments = [&["dead", verb, "--json"], filter].concat();
    let ran = daemon.cli(&arguments).await.expect_code(0);
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    answer[done].as_u64().unwrap()
}

fn ids(events: &[Event]) -> Vec<u64> {
    let id = |event: &Event| event.data("id").as_u64().unwrap();
    events.iter().map(id).collect()
}

#[track_caller]
fn assert_conserved(metrics: &Metrics) {
    let sum = |names: &[&str]| -> f64 { names.iter().map(|name| metrics.sum(name, &[])).sum() };
    assert_eq!(
        sum(&[EVENTS_MADE, EVENTS_WAITING_AT_START, EVENTS_RETRIED]),
        sum(&[EVENTS_DELIVERED, EVENTS_DEAD, EVENTS_WAITING])
    );
}

#[tokio::test]
async fn five_thousand_are_listed_by_the_page_and_sent_again_in_order_while_new_events_come() {
    let (db, receiver, daemon) = start(PARK).await;
    receiver.always(Answer::Status(422, Vec::new(), "not this one".to_owned()));
    insert(&db, 1..=5000).await;
    dead(&daemon, 5000.0).await;
    // Why, when, how often, the last status and what it answered.
    let listed = daemon.cli(&["dead", "list", "--json"]).await.expect_code(0);
    let letters: Vec<Value> = listed
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(letters.len(), 5000);
    for letter in &letters {
        assert_eq!(letter["reason"], "park_status");
        assert_eq!(
            (&letter["attempts"], &letter["last_status"]),
            (&1.into(), &422.into())
        );
        let at = |when: &str| letter[when].as_i64().unwrap();
        assert!(
            (at("parked_at_ms") - at("first_attempt_at_ms")).abs() < 60_000,
            "{letter}"
        );
    }
    let number = letters[4999]["id"].to_string();
    let shown = daemon.cli(&["dead", "show", &number]).await.expect_code(0);
    assert!(shown.stdout.contains("not this one"), "{}", shown.stdout);

    receiver.always(Answer::Accept);
    assert_eq!(retry(&daemon, &["--all"]).await, 5000);
    for row in 5001..=5100 {
        insert(&db, row..=row).await;
    }
    let events = receiver.wait_for(5100, 3 * SOON).await;
    oracle::assert_no_repeats(&events);
    let (old, new): (Vec<u64>, Vec<u64>) = ids(&events).into_iter().partition(|id| *id <= 5000);
    assert!(old.is_sorted() && new.is_sorted());
    // No position moved: what came meanwhile came once, and nothing is sent again.
    dead(&daemon, 0.0).await;
    db.confirmed(SOON).await;
    assert_conserved(&daemon.metrics().await);
}

#[tokio::test]
async fn letters_are_meant_by_number_endpoint_table_time_and_lsn() {
    let (db, receiver, daemon) = start(PARK).await;
    park(&db, &receiver, &daemon, 300).await;
    receiver.always(Answer::status(422));
    let before = db.lsn().await;
    insert(&db, 301..=400).await;
    dead(&daemon, 400.0).await;
    receiver.always(Answer::Accept);
    let letters = daemon.dead_letters().await;
    let two = ["--id", &letters[7].number(), "--id", &letters[3].number()];
    assert_eq!(retry(&daemon, &two).await, 2);
    let events = receiver.wait_for(2, SOON).await;
    assert_eq!(ids(&events), [4, 8], "in order, however they are named");
    for (filter, count) in [
        (["--table", "public.others"], 0),
        (["--since", "0s"], 0),
        (["--until", "1h"], 0),
        (["--lsn-from", &before], 100),
        (["--limit", "5"], 5),
        (["--lsn-to", &before], 293),
    ] {
        let all: &[&str] = if filter[0] == "--limit" {
            &["--all"]
        } else {
            &[]
        };
        assert_eq!(
            drop_letters(&daemon, &[&filter, all].concat()).await,
            count,
            "{filter:?}"
        );
    }
    dead(&daemon, 0.0).await;
    let unknown = daemon.cli(&["dead", "retry", "--endpoint", "nobody"]).await;
    assert_eq!(unknown.code, 1);
    assert!(
        unknown.text().contains("not in the config"),
        "{}",
        unknown.text()
    );
}

#[tokio::test]
async fn what_is_asked_for_while_others_are_sent_again_is_sent_too() {
    let (db, receiver, daemon) = start(PARK).await;
    park(&db, &receiver, &daemon, 600).await;
    let held = receiver.hold_next();
    // One transaction has one LSN, so the later ones are named by their numbers.
    let letters = daemon.dead_letters().await;
    let later: Vec<String> = letters[300..]
        .iter()
        .map(|letter| letter.number())
        .collect();
    let mut filter = Vec::new();
    for number in &later {
        filter.extend(["--id", number]);
    }
    assert_eq!(retry(&daemon, &filter).await, 300);
    receiver.wait_for_attempts(601, SOON).await;
    assert_eq!(retry(&daemon, &["--all"]).await, 300);
    held.cancel();
    let events = receiver.wait_for(600, 2 * SOON).await;
    oracle::assert_no_repeats(&events);
    dead(&daemon, 0.0).await;
    assert_conserved(&daemon.metrics().await);
}

#[tokio::test]
async fn those_that_fail_again_are_dead_again_with_the_new_verdict() {
    let (db, receiver, daemon) = start("retry: {max: 20ms, park_statuses: [422, 404]}").await;
    park(&db, &receiver, &daemon, 120).await;
    receiver.choose(|attempt| {
        let even = ids(&attempt.events)[0].is_multiple_of(2);
        even.then(|| Answer::Status(404, Vec::new(), "gone for good".to_owned()))
    });
    assert_eq!(retry(&daemon, &["--endpoint", "r"]).await, 120);
    receiver.wait_for(60, SOON).await;
    eventually("dead again", || async {
        daemon.dead_letters().await.len() == 60
    })
    .await;
    let letters = daemon.cli(&["dead", "list", "--json"]).await.expect_code(0);
    for line in letters.stdout.lines() {
        let letter: Value = serde_json::from_str(line).unwrap();
        assert_eq!(letter["last_status"], 404);
        assert_eq!(letter["attempts"], 2, "those before count too");
    }
    let number = daemon.dead_letters().await[0].number();
    let shown = daemon.cli(&["dead", "show", &number]).await.expect_code(0);
    assert!(shown.stdout.contains("gone for good"), "{}", shown.stdout);
    let metrics = daemon.metrics().await;
    assert_eq!(metrics.sum(EVENTS_DEAD, &[]), 180.0);
    assert_conserved(&metrics);
}

#[tokio::test]
async fn a_letter_that_fails_holds_up_its_lane_until_it_is_dropped_and_no_other_lane() {
    let (db, receiver, daemon) = start(&format!("{PARK}\norder: key\nkey_lanes: 8")).await;
    park(&db, &receiver, &daemon, 1000).await;
    receiver.choose(|attempt| {
        let event = &attempt.events[0];
        let poison = event.kind == "order.created" && event.data("id") == 7;
        poison.then(|| Answer::status(500))
    });
    assert_eq!(retry(&daemon, &["--all"]).await, 1000);
    // A lane of eight has some 125 of them.
    let events = receiver
        .wait_until(|events| events.len() > 800, 2 * SOON)
        .await;
    oracle::assert_no_repeats(&events);
    // New events of its row wait behind it.
    db.sql("UPDATE orders SET status = 'paid' WHERE id = 7")
        .await;
    let left = async || -> Vec<Value> {
        let listed = daemon.cli(&["dead", "list", "--json"]).await.expect_code(0);
        let letters = listed.stdout.lines().map(serde_json::from_str);
        letters.collect::<Result<_, _>>().unwrap()
    };
    // What was delivered is removed a moment later.
    eventually("those of its lane alone", || async {
        left().await.len() < 200
    })
    .await;
    let letters = left().await;
    assert!(letters.iter().all(|letter| letter["state"] == "retrying"));
    let number = letters[0]["id"].to_string();
    assert_eq!(drop_letters(&daemon, &["--id", &number]).await, 1);
    let events = receiver.wait_for(1000, 2 * SOON).await;
    oracle::assert_no_repeats(&events);
    let of_row = events.iter().filter(|event| event.data("id") == 7);
    assert_eq!(
        of_row.count(),
        1,
        "the update, not the insert that was dropped"
    );
    dead(&daemon, 0.0).await;
    assert_conserved(&daemon.metrics().await);
}

#[tokio::test]
async fn those_dropped_while_they_are_sent_again_are_not_sent() {
    let (db, receiver, daemon) = start(PARK).await;
    // Ten times as many as are in the lanes at once.
    park(&db, &receiver, &daemon, 1000).await;
    let held = receiver.hold_next();
    assert_eq!(retry(&daemon, &["--all"]).await, 1000);
    receiver.wait_for_attempts(1001, SOON).await;
    assert_eq!(drop_letters(&daemon, &["--all"]).await, 1000);
    insert(&db, 1001..=1001).await;
    held.cancel();
    let events = receiver.wait_for(2, SOON).await;
    // The one in flight, then what is new.
    assert_eq!(ids(&events), [1, 1001]);
    dead(&daemon, 0.0).await;
    assert_conserved(&daemon.metrics().await);
}

#[tokio::test]
async fn letters_of_a_disabled_endpoint_wait_until_it_is_enabled() {
    let (db, receiver, mut daemon) = start(PARK).await;
    park(&db, &receiver, &daemon, 300).await;
    receiver.next(Answer::status(410));
    insert(&db, 301..=301).await;
    receiver.wait_for_attempts(301, SOON).await;
    assert_eq!(retry(&daemon, &["--all"]).await, 300);
    daemon.restart().await;
    assert_eq!(receiver.attempts().len(), 301, "nothing is sent");
    daemon
        .cli(&["endpoint", "enable", "r"])
        .await
        .expect_code(0);
    let events = receiver.wait_for(301, SOON).await;
    let old: Vec<u64> = ids(&events).into_iter().filter(|id| *id <= 300).collect();
    assert!(old.is_sorted());
    oracle::assert_no_repeats(&events);
}

#[tokio::test]
async fn a_crash_in_the_middle_loses_none_and_goes_on_in_order() {
    let (db, receiver, mut daemon) =
        start(&format!("{PARK}\nbatch: {{events: 20, wait: 1ms}}")).await;
    park(&db, &receiver, &daemon, 3000).await;
    assert_eq!(retry(&daemon, &["--all"]).await, 3000);
    for at in [300, 900, 1800] {
        eventually("some", || async { receiver.count() >= at }).await;
        daemon.kill().await;
        daemon.launch();
        daemon.ready().await;
        insert(&db, 4000 + at as u32..=4009 + at as u32).await;
    }
    let all = |events: &[Event]| oracle::without_repeats(events).len() == 3030;
    let events = receiver.wait_until(all, 2 * SOON).await;
    assert!(events.len() < 3030 + 3 * 200, "{} came", events.len());
    let once = ids(&oracle::without_repeats(&events));
    let (old, new): (Vec<u64>, Vec<u64>) = once.into_iter().partition(|id| *id <= 3000);
    assert!(old.is_sorted() && new.is_sorted());
    dead(&daemon, 0.0).await;
    assert_conserved(&daemon.metrics().await);
}

#[tokio::test]
async fn they_go_ahead_of_what_waits_on_disk() {
    let (db, receiver, daemon) = start(PARK).await;
    park(&db, &receiver, &daemon, 300).await;
    receiver.refuse().await;
    insert(&db, 1001..=1500).await;
    // Its events are on disk now.
    db.confirmed(2 * SOON).await;
    assert_eq!(retry(&daemon, &["--all"]).await, 300);
    eventually("read", || async {
        daemon.metrics().await.sum(EVENTS_RETRIED, &[]) > 0.0
    })
    .await;
    receiver.accept_again().await;
    let events = receiver.wait_for(800, 2 * SOON).await;
    oracle::assert_no_repeats(&events);
    let (old, new): (Vec<u64>, Vec<u64>) = ids(&events).into_iter().partition(|id| *id <= 300);
    assert!(old.is_sorted() && new.is_sorted());
    // One may have been the probe of the endpoint that was away.
    let ahead = events
        .iter()
        .take(100)
        .filter(|event| event.data("id").as_u64() <= Some(300));
    assert!(ahead.count() >= 50);
    dead(&daemon, 0.0).await;
    assert_conserved(&daemon.metrics().await);
}

#[tokio::test]
async fn with_order_key_letters_of_several_lanes_keep_their_place_among_the_others() {
    let (db, receiver, daemon) = start(&format!("{PARK}\norder: key\nkey_lanes: 4")).await;
    receiver.always(Answer::status(422));
    insert(&db, 1..=100).await;
    db.sql("UPDATE orders SET id = id + 1000 WHERE id <= 50")
        .await;
    db.sql(
        "UPDATE orders SET status = 'moved'; DELETE FROM orders WHERE id > 1040; TRUNCATE orders",
    )
    .await;
    insert(&db, 1..=100).await;
    let all: u32 = 100 + 50 + 100 + 10 + 1 + 100;
    dead(&daemon, f64::from(all)).await;
    receiver.always(Answer::Accept);
    // Slow in some lanes, so that others would overtake.
    receiver.choose(|attempt| {
        let slow = attempt.events[0].position.1.is_multiple_of(3);
        slow.then(|| Answer::After(Duration::from_millis(5), Box::new(Answer::Accept)))
    });
    assert_eq!(retry(&daemon, &["--all"]).await, u64::from(all));
    let events = receiver.wait_for(all as usize, 2 * SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_by(&events, |event| event.data("id").to_string());
    oracle::assert_replay(&events, &db, "public.orders").await;
    dead(&daemon, 0.0).await;
    assert_conserved(&daemon.metrics().await);
}
