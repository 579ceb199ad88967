//! What an answer means, and what becomes of an event that nobody takes.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use crate::harness::metrics::{DEAD_LETTERS, EVENTS_WAITING, SPOOL_EVENTS};
use crate::harness::{
    ALL_EVENTS, Answer, Cluster, Daemon, Database, ORDERS, Receiver, SOON, eventually, oracle,
};

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

#[tokio::test]
async fn every_2xx_is_a_delivery() {
    let (db, receiver, _daemon) = start("").await;
    for status in [200, 201, 202, 204, 206, 299] {
        receiver.next(Answer::status(status));
    }
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 6)")
        .await;
    receiver.wait_for(6, SOON).await;
    assert_eq!(receiver.attempts().len(), 6);
}

#[tokio::test]
async fn everything_else_is_tried_again() {
    let (db, receiver, _daemon) = start("retry: {max: 20ms}").await;
    let statuses = [
        300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 403, 404, 408, 409, 413, 415, 421, 425,
        429, 500, 501, 502, 503, 504, 599, 999,
    ];
    for status in statuses {
        receiver.next(Answer::status(status));
    }
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    let attempts = receiver.attempts();
    assert_eq!(attempts.len(), statuses.len() + 1);
    assert!(
        attempts
            .iter()
            .all(|attempt| attempt.id() == attempts[0].id())
    );
}

#[tokio::test]
async fn every_attempt_is_signed_anew_with_its_own_time() {
    let (db, receiver, _daemon) = start("retry: {max: 1s}").await;
    for _ in 0..6 {
        receiver.next(Answer::status(500));
    }
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    let attempts = receiver.attempts();
    for attempt in &attempts {
        let time: u64 = attempt.request.header("webhook-timestamp").parse().unwrap();
        let ago = attempts.last().unwrap().at.duration_since(attempt.at);
        let at = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            - ago;
        assert!(at.as_secs().abs_diff(time) <= 2, "{time} at {at:?}");
    }
}

#[tokio::test]
async fn retry_after_in_seconds_is_kept() {
    let (db, receiver, _daemon) = start("").await;
    receiver.next(Answer::status_with(503, "retry-after", "2"));
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    let attempts = receiver.attempts();
    let waited = attempts[1].at.duration_since(attempts[0].at);
    assert!(
        waited >= Duration::from_secs(2) && waited < Duration::from_secs(5),
        "{waited:?}"
    );
    assert_eq!(attempts[1].number(), 1, "a pause spends no attempt");
}

#[tokio::test]
async fn retry_after_as_a_date_is_kept_and_acts_on_the_whole_endpoint() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    db.sql("CREATE TABLE items (id int PRIMARY KEY)").await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db).endpoint("r", &receiver);
    let _daemon = daemon
        .table("public.orders", ALL_EVENTS)
        .table("public.items", "to: r\nevents: {insert: item.created}")
        .start()
        .await;
    let until = SystemTime::now() + Duration::from_secs(4);
    receiver.next(Answer::status_with(
        429,
        "retry-after",
        &httpdate::fmt_http_date(until),
    ));
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    let paused = receiver.wait_for_attempts(1, SOON).await[0].at;
    db.sql("INSERT INTO items VALUES (1)").await;
    receiver.wait_for(2, SOON).await;
    let attempts = receiver.attempts();
    // A date has whole seconds: up to one less than 4 s remain.
    assert!(attempts[1].at.duration_since(paused) >= Duration::from_millis(2500));
}

#[tokio::test]
async fn a_senseless_retry_after_does_no_harm() {
    let (db, receiver, _daemon) = start("retry: {max: 20ms}").await;
    for value in [
        "-1",
        "1e99",
        "soon",
        "",
        "0",
        "0.5",
        "Sun, 06 Nov 1994 08:49:37 GMT",
    ] {
        receiver.next(Answer::status_with(429, "retry-after", value));
    }
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    assert_eq!(receiver.attempts().len(), 8);
}

#[tokio::test]
async fn a_410_disables_the_endpoint_until_it_is_enabled() {
    let (db, receiver, mut daemon) = start("").await;
    receiver.next(Answer::status(410));
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    receiver.wait_for_attempts(1, SOON).await;
    db.sql("INSERT INTO orders (id) VALUES (2), (3)").await;
    eventually("disabled", || async {
        daemon.cli(&["status"]).await.text().contains("disabled")
    })
    .await;
    // It stays disabled over a restart: its events are read again, and wait.
    daemon.restart().await;
    eventually("waiting", || async {
        daemon.metrics().await.sum(EVENTS_WAITING, &[]) == 3.0
    })
    .await;
    assert_eq!(
        receiver.attempts().len(),
        1,
        "nothing is sent to a disabled endpoint"
    );
    daemon
        .cli(&["endpoint", "enable", "r"])
        .await
        .expect_code(0);
    let events = receiver.wait_for(3, SOON).await;
    oracle::assert_in_order_per_table(&events);
}

#[tokio::test]
async fn park_statuses_make_a_dead_letter_at_once() {
    let (db, receiver, daemon) = start("retry: {max: 200ms, park_statuses: [422]}").await;
    receiver.next(Answer::status(422));
    db.sql("INSERT INTO orders (id) VALUES (1), (2)").await;
    let events = receiver.wait_for(1, SOON).await;
    assert_eq!(events[0].data("id"), 2);
    assert_eq!(receiver.attempts().len(), 2);
    assert_eq!(daemon.dead_events().await, [receiver.attempts()[0].id()]);
}

#[tokio::test]
async fn what_nobody_takes_for_long_becomes_a_dead_letter() {
    let (db, receiver, mut daemon) = start("retry: {for: 2s, max: 100ms}").await;
    receiver.choose(|attempt| (attempt.events[0].data("id") != 9).then(|| Answer::status(500)));
    db.sql("INSERT INTO orders (id) VALUES (1), (2)").await;
    let first = receiver.wait_for_attempts(1, SOON).await[0].clone();
    db.sql("INSERT INTO orders (id) VALUES (9)").await;
    let events = receiver.wait_for(1, SOON).await;
    assert_eq!(events[0].data("id"), 9);
    assert!(
        receiver
            .attempts()
            .last()
            .unwrap()
            .at
            .duration_since(first.at)
            >= Duration::from_secs(2)
    );
    let dead = daemon.dead_letters().await;
    assert_eq!(dead.len(), 2, "{dead:?}");
    assert_eq!(dead[0].event_id, first.id());

    // They outlive a restart, and one that is retried arrives as the same bytes.
    daemon.restart().await;
    receiver.choose(|_| None);
    daemon
        .cli(&["dead", "retry", "--id", &dead[0].number()])
        .await
        .expect_code(0);
    let events = receiver.wait_for(2, SOON).await;
    assert_eq!(events[1].id, first.id());
    eventually("one dead letter left", || async {
        daemon.dead_events().await == [dead[1].event_id.as_str()]
    })
    .await;
    daemon
        .cli(&["dead", "drop", "--id", &dead[1].number()])
        .await
        .expect_code(0);
    assert_eq!(daemon.dead_events().await, [""; 0]);
}

#[tokio::test]
async fn with_then_block_a_lane_tries_for_ever() {
    let (db, receiver, daemon) = start("retry: {for: 500ms, then: block, max: 100ms}").await;
    receiver.always(Answer::status(500));
    db.sql("INSERT INTO orders (id) VALUES (1), (2)").await;
    let attempts = receiver.wait_for_attempts(20, SOON).await;
    assert!(attempts[19].at.duration_since(attempts[0].at) > Duration::from_millis(500));
    assert!(
        attempts
            .iter()
            .all(|attempt| attempt.id() == attempts[0].id())
    );
    assert_eq!(daemon.dead_events().await, [""; 0]);
    receiver.always(Answer::Accept);
    receiver.wait_for(2, SOON).await;
}

#[tokio::test]
async fn retry_for_goes_on_counting_over_a_restart() {
    let (db, receiver, mut daemon) = start("retry: {for: 4s, max: 100ms}").await;
    receiver.always(Answer::status(500));
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    let first = receiver.wait_for_attempts(1, SOON).await[0].at;
    receiver.wait_for_attempts(5, SOON).await;
    daemon.restart().await;
    eventually("a dead letter", || async {
        daemon.dead_letters().await.len() == 1
    })
    .await;
    let last = receiver.attempts().last().unwrap().at;
    let tried = last.duration_since(first);
    assert!(
        tried >= Duration::from_secs(3) && tried < Duration::from_secs(8),
        "{tried:?}"
    );
}

#[tokio::test]
async fn an_endpoint_that_fails_now_and_then_does_not_fill_the_log() {
    let (db, receiver, daemon) = start("retry: {max: 10ms}").await;
    for _ in 0..40 {
        receiver.next(Answer::status(500));
        receiver.next(Answer::status(204));
    }
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 40)")
        .await;
    receiver.wait_for(40, SOON).await;
    assert_eq!(receiver.attempts().len(), 80);
    let log = daemon.output();
    assert_eq!(log.matches("endpoint is failing").count(), 1, "{log}");
    assert_eq!(log.matches("endpoint has recovered").count(), 1, "{log}");
}

async fn spooled(daemon: &Daemon, events: f64) {
    eventually("on disk", || async {
        daemon.metrics().await.sum(SPOOL_EVENTS, &[]) == events
    })
    .await;
}

#[tokio::test]
async fn what_a_disabled_endpoint_does_not_get_waits_on_disk_over_restarts_and_crashes() {
    let (db, receiver, mut daemon) = start("").await;
    receiver.next(Answer::status(410));
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 500)")
        .await;
    receiver.wait_for_attempts(1, SOON).await;
    // Nothing holds the slot.
    db.confirmed(2 * SOON).await;
    spooled(&daemon, 500.0).await;
    daemon.restart().await;
    db.sql("INSERT INTO orders (id) SELECT generate_series(501, 600)")
        .await;
    db.confirmed(2 * SOON).await;
    daemon.kill().await;
    daemon.launch();
    daemon.ready().await;
    spooled(&daemon, 600.0).await;
    assert_eq!(receiver.attempts().len(), 1);
    daemon
        .cli(&["endpoint", "enable", "r"])
        .await
        .expect_code(0);
    let events = receiver.wait_for(600, SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    // The 410 spent no attempt.
    let second = receiver.attempts()[1].clone();
    assert_eq!((second.id(), second.number()), (events[0].id.as_str(), 1));
}

#[tokio::test]
async fn the_clock_of_a_disabled_endpoint_runs_on_and_its_head_is_tried_once() {
    let (db, receiver, daemon) = start("retry: {for: 4s, max: 100ms}").await;
    receiver.next(Answer::status(410));
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 200)")
        .await;
    receiver.wait_for_attempts(1, SOON).await;
    spooled(&daemon, 200.0).await;
    // All that is on disk is older than this before the endpoint is enabled.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(daemon.metrics().await.sum(DEAD_LETTERS, &[]), 0.0);
    receiver.always(Answer::status(500));
    daemon
        .cli(&["endpoint", "enable", "r"])
        .await
        .expect_code(0);
    eventually("all dead", || async {
        daemon.metrics().await.sum(DEAD_LETTERS, &[]) == 200.0
    })
    .await;
    assert_eq!(receiver.attempts().len(), 2);
    // What comes now is not older.
    receiver.always(Answer::Accept);
    db.sql("INSERT INTO orders (id) VALUES (201)").await;
    let events = receiver.wait_for(1, SOON).await;
    assert_eq!(events[0].data("id"), 201);
}

#[tokio::test]
async fn with_then_block_what_waits_on_disk_stays_there_for_ever() {
    let (db, receiver, mut daemon) = start("retry: {for: 500ms, then: block, max: 100ms}").await;
    receiver.always(Answer::status(500));
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 300)")
        .await;
    db.confirmed(2 * SOON).await;
    spooled(&daemon, 300.0).await;
    let head = receiver.attempts()[0].id().to_owned();
    daemon.restart().await;
    let so_far = receiver.attempts().len();
    let attempts = receiver.wait_for_attempts(so_far + 20, SOON).await;
    assert!(attempts.iter().all(|attempt| attempt.id() == head));
    assert_eq!(daemon.dead_events().await, [""; 0]);
    receiver.always(Answer::Accept);
    let events = receiver.wait_for(300, SOON).await;
    oracle::assert_in_order_per_table(&events);
}

#[tokio::test]
async fn the_number_of_the_attempt_goes_on_over_restarts() {
    let (db, receiver, mut daemon) = start("retry: {max: 300ms}").await;
    receiver.always(Answer::status(500));
    db.sql("INSERT INTO orders (id) VALUES (1), (2)").await;
    for _ in 0..2 {
        let so_far = receiver.attempts().len();
        receiver.wait_for_attempts(so_far + 3, SOON).await;
        daemon.restart().await;
    }
    let so_far = receiver.attempts().len();
    receiver.wait_for_attempts(so_far + 3, SOON).await;
    receiver.always(Answer::Accept);
    receiver.wait_for(2, SOON).await;
    let attempts = receiver.attempts();
    let first: Vec<u32> = attempts
        .iter()
        .filter(|attempt| attempt.id() == attempts[0].id())
        .map(|attempt| attempt.number())
        .collect();
    let counted: Vec<u32> = (1..=first.len() as u32).collect();
    assert_eq!(first, counted);
}

#[tokio::test]
async fn a_status_of_park_statuses_parks_events_that_waited_on_disk_in_their_turn() {
    let (db, receiver, daemon) = start("retry: {max: 100ms, park_statuses: [422]}").await;
    receiver.refuse().await;
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 300)")
        .await;
    db.confirmed(2 * SOON).await;
    receiver.choose(|attempt| {
        let id = attempt.events[0].data("id").as_u64();
        id.is_some_and(|id| id.is_multiple_of(10))
            .then(|| Answer::status(422))
    });
    receiver.accept_again().await;
    let events = receiver.wait_for(270, SOON).await;
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    eventually("parked", || async {
        daemon.dead_letters().await.len() == 30
    })
    .await;
    let parked = HashSet::from_iter(daemon.dead_events().await);
    oracle::assert_never_overtaken(&receiver.attempts(), &parked, |event| event.table.clone());
}

#[tokio::test]
async fn between_two_attempts_is_at_most_the_backoff_and_not_always_the_same() {
    let (db, receiver, _daemon) = start("retry: {max: 400ms}").await;
    receiver.always(Answer::status(500));
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    let attempts = receiver.wait_for_attempts(25, 2 * SOON).await;
    let waits: Vec<Duration> = attempts
        .windows(2)
        .map(|two| two[1].at.duration_since(two[0].at))
        .collect();
    // The machine may be late, but not each time.
    let within = waits
        .iter()
        .filter(|wait| **wait <= Duration::from_millis(450));
    assert!(within.count() >= 18, "{waits:?}");
    let spread = waits
        .iter()
        .max()
        .unwrap()
        .abs_diff(*waits.iter().min().unwrap());
    assert!(spread > Duration::from_millis(100), "{waits:?}");
}
