//! The network between the daemon and Postgres at its worst: a stream cut anywhere, black
//! holes, delay, half-closed connections. `WALHOOK_TEST_CUTS` says how often it is cut.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_postgres::Client;

use crate::harness::frames::Place;
use crate::harness::metrics::CHANGES_REPEATED;
use crate::harness::proxy::{Fate, Kind, Proxy, Streams};
use crate::harness::{
    ALL_EVENTS, Cluster, Daemon, Database, ORDERS, Receiver, SOON, longer, oracle, side_by_side,
    traffic,
};

/// A stream is cut somewhere in so much of it.
const STRETCH: usize = 64 << 10;
/// A daemon comes from one end of the stretch to the other in so many cuts.
const CUTS_A_PASS: usize = 100;
/// Daemons that are cut beside one another.
const DAEMONS: usize = 6;

/// What became of the streams of one daemon.
struct Cut {
    places: Vec<Place>,
    changes: usize,
    /// Changes that Postgres sent again.
    sent_again: usize,
}

#[test]
fn a_stream_that_is_cut_at_any_byte_loses_and_repeats_nothing() {
    let cuts = usize::try_from(longer("WALHOOK_TEST_CUTS", 300)).expect("a count");
    let offsets = offsets(cuts);
    let shares = offsets.chunks(cuts.div_ceil(DAEMONS));
    let cut = side_by_side(shares, cut_at);
    let mut places = BTreeMap::<Place, usize>::new();
    for place in cut.iter().flat_map(|cut| &cut.places) {
        *places.entry(*place).or_default() += 1;
    }
    // For who runs it long.
    eprintln!(
        "cut {cuts} times: {} changes, none lost, repeated or overtaken, though {} were sent again; \
         the cuts were at {places:?}",
        cut.iter().map(|cut| cut.changes).sum::<usize>(),
        cut.iter().map(|cut| cut.sent_again).sum::<usize>(),
    );
    if cuts >= 300 {
        let inside = |parts: &[Place]| parts.iter().any(|part| places.contains_key(part));
        let messages = |tags: &str| tags.chars().map(Place::Message).collect::<Vec<_>>();
        assert!(inside(&[Place::Length]), "never cut in a length");
        assert!(inside(&[Place::MessageHead]), "never cut before a message");
        assert!(inside(&[Place::Keepalive]), "never cut in a keepalive");
        assert!(inside(&messages("BC")), "never cut in a BEGIN or COMMIT");
        assert!(inside(&messages("IUD")), "never cut in a row");
    }
}

/// Where the streams are cut. Each is cut a little further on than the one before, so that
/// it brings something new: the daemon waits ever longer for what does not. An odd step
/// comes to each offset of the stretch before it comes to one again.
fn offsets(cuts: usize) -> Vec<usize> {
    let step = (STRETCH / cuts.clamp(1, CUTS_A_PASS)) | 1;
    (0..cuts).map(|cut| 1 + cut * step % STRETCH).collect()
}

async fn cut_at(offsets: &[usize]) -> Cut {
    let db = Cluster::shared().await.database().await;
    traffic::prepare(&db).await;
    let proxy = Proxy::before(&db).await;
    let receiver = Receiver::start().await.keep_events_only();
    let daemon = Daemon::of(&db).url(&proxy.url(&db)).endpoint_with(
        "r",
        &receiver,
        "batch: {events: 100, wait: 1ms}",
    );
    let daemon = traffic::to(daemon, "r").start().await;
    let mut writer = Writer::of(&db).await;
    let mut streams = proxy.streams();
    let mut stream = 0;
    for pass in offsets.chunk_by(|one, next| one < next) {
        // A stream that is not cut brings this, and what went before is not sent again.
        writer.write(0).await;
        db.confirmed(3 * SOON).await;
        proxy.cut_streams_at(pass);
        proxy.turn(Kind::Replication, Fate::EndedForDaemon);
        for offset in pass {
            stream += 1;
            let mut missing = 0;
            // All that was written has passed, so the cut is further on: write that much,
            // the last of it in small parts, so that the cut is seldom in a long value.
            while !is_cut(stream, &mut streams, &receiver, writer.changes).await {
                writer.write(missing).await;
                missing = offset.saturating_sub(streams.borrow().passed);
            }
        }
    }
    let events = receiver.wait_for(writer.changes, 3 * SOON).await;
    assert_eq!(traffic::changes(&db).await, writer.changes);
    oracle::assert_no_repeats(&events);
    oracle::assert_in_order_per_table(&events);
    traffic::assert_complete(&db, &events).await;
    let places = streams.borrow().cuts.clone();
    Cut {
        places,
        changes: events.len(),
        sent_again: daemon.metrics().await.sum(CHANGES_REPEATED, &[]) as usize,
    }
}
/// Waits until this stream is cut, counted from 1, or has brought all that was written.
async fn is_cut(
    number: usize,
    streams: &mut watch::Receiver<Streams>,
    receiver: &Receiver,
    written: usize,
) -> bool {
    let mut begun = streams.clone();
    let idle = async {
        let begun = begun.wait_for(|streams| streams.begun >= number);
        let begun = tokio::time::timeout(3 * SOON, begun).await;
        drop(begun.unwrap_or_else(|_| panic!("stream {number} never begins")));
        receiver.wait_for_so_many(written, 3 * SOON).await;
    };
    tokio::select! {
        biased;
        cut = streams.wait_for(|streams| streams.cuts.len() >= number) => {
            cut.expect("a proxy");
            true
        }
        () = idle => false,
    }
}

/// Writes a transaction at a time, and counts the changes.
struct Writer {
    client: Client,
    next: usize,
    /// The row that is written in turns, and whose turn it is.
    row: usize,
    turn: usize,
    changes: usize,
}

impl Writer {
    /// Of a long value, at most: longer ones would be cut many times before they are whole.
    const LONG_BYTES: usize = 2500;
    /// What its transaction has beside it.
    const BESIDE_LONG_BYTES: usize = 350;
    /// A short transaction makes so many bytes of the stream, about.
    const SHORT_BYTES: usize = 700;

    async fn of(db: &Database) -> Writer {
        Writer {
            client: db.client().await,
            next: 0,
            row: 0,
            turn: 0,
            changes: 0,
        }
    }

    /// So many bytes, and a few more.
    async fn write(&mut self, mut bytes: usize) {
        while bytes > Self::SHORT_BYTES {
            let long = (bytes - Self::SHORT_BYTES).min(Self::LONG_BYTES);
            self.write_long(long).await;
            bytes = bytes.saturating_sub(long + Self::BESIDE_LONG_BYTES);
        }
        self.write_short().await;
    }

    /// A value that is stored apart, when it is long enough, and left out of the update.
    async fn write_long(&mut self, bytes: usize) {
        self.next += 1;
        let (id, parts) = (self.next, bytes / 32);
        let insert = format!(
            "INSERT INTO orders SELECT {id}, 'long', string_agg(md5(g::text), '') \
             FROM generate_series(1, {parts}) g"
        );
        let update = format!("UPDATE orders SET status = 'kept' WHERE id = {id}");
        self.transaction(&[&insert, &update]).await;
    }

    /// The life of two rows, in turns.
    async fn write_short(&mut self) {
        self.turn += 1;
        if self.turn % 5 == 1 {
            self.next += 1;
            self.row = self.next;
        }
        let id = self.row;
        match self.turn % 5 {
            1 => {
                let orders = format!("INSERT INTO orders VALUES ({id}, NULL, 'ä')");
                let items = format!("INSERT INTO items VALUES ({id}, 1, '')");
                self.transaction(&[&orders, &items]).await;
            }
            // The relation is announced anew.
            2 => {
                let alter = "ALTER TABLE orders ALTER note SET STATISTICS 10".to_owned();
                self.client.batch_execute(&alter).await.expect("an alter");
                let update = format!("UPDATE orders SET status = 'paid' WHERE id = {id}");
                self.transaction(&[&update]).await;
            }
            3 => {
                let key = format!("UPDATE orders SET id = -id WHERE id = {id}");
                self.transaction(&[&key]).await;
            }
            4 => {
                let update = format!("UPDATE items SET qty = 2 WHERE id = {id}");
                self.transaction(&[&update]).await;
            }
            _ => {
                let orders = format!("DELETE FROM orders WHERE id = -{id}");
                let items = format!("DELETE FROM items WHERE id = {id}");
                self.transaction(&[&orders, &items]).await;
            }
        }
    }

    /// Each statement makes one change.
    async fn transaction(&mut self, statements: &[&str]) {
        self.changes += statements.len();
        let sql = format!("BEGIN; {}; COMMIT", statements.join("; "));
        self.client.batch_execute(&sql).await.expect("rows");
    }
}

/// A cluster whose limit of silence is short, with a proxy before it.
async fn impatient() -> (Arc<Cluster>, Database, Proxy, Receiver, Daemon) {
    let cluster = Cluster::own().setting("wal_sender_timeout", "'2s'");
    let cluster = cluster.start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    db.sql("CREATE TABLE later (id int PRIMARY KEY)").await;
    let proxy = Proxy::before(&db).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .url(&proxy.url(&db))
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .table("public.later", "to: r\nevents: {insert: later.made}")
        .start()
        .await;
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    (cluster, db, proxy, receiver, daemon)
}

/// What is written after the fault arrives, once, and on another connection.
async fn recovers_from(kinds: &[Kind], fate: Fate, reason: &str) {
    let (_cluster, db, proxy, receiver, daemon) = impatient().await;
    for &kind in kinds {
        proxy.turn(kind, fate);
    }
    // The table is new in the stream: the daemon asks the catalog about it.
    db.sql("INSERT INTO later VALUES (1)").await;
    db.sql("INSERT INTO orders (id) VALUES (2)").await;
    daemon.lines().line_with(reason, SOON).await;
    let events = receiver.wait_for(3, 2 * SOON).await;
    db.confirmed(SOON).await;
    oracle::assert_no_repeats(&events);
    let tables: HashSet<_> = events.iter().map(|event| event.table.as_str()).collect();
    assert_eq!(tables.len(), 2);
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_given_up() {
    recovers_from(
        &[Kind::Replication],
        Fate::Swallowed,
        "nothing came from the server",
    )
    .await;
}

#[tokio::test]
async fn a_network_that_swallows_all_is_given_up() {
    let both = [Kind::Replication, Kind::Control];
    recovers_from(&both, Fate::Swallowed, "nothing came from the server").await;
}

#[tokio::test]
async fn a_control_connection_that_falls_silent_is_given_up() {
    recovers_from(
        &[Kind::Control],
        Fate::Swallowed,
        "no answer on the control connection",
    )
    .await;
}

#[tokio::test]
async fn a_connection_that_ends_on_one_side_is_replaced() {
    for fate in [Fate::EndedForDaemon, Fate::EndedForServer] {
        for kind in [Kind::Replication, Kind::Control] {
            recovers_from(&[kind], fate, "not streaming; trying again").await;
        }
    }
}

#[tokio::test]
async fn a_slow_network_is_slow_and_nothing_else() {
    let (_cluster, db, proxy, receiver, daemon) = impatient().await;
    proxy.delay(Duration::from_millis(100));
    for id in 2..=20 {
        db.sql(&format!("INSERT INTO orders (id) VALUES ({id})"))
            .await;
    }
    db.sql("INSERT INTO later VALUES (1)").await;
    let events = receiver.wait_for(21, SOON).await;
    oracle::assert_in_order_per_table(&events);
    oracle::assert_no_repeats(&events);
    db.confirmed(SOON).await;
    assert!(
        !daemon.output().contains("not streaming"),
        "{}",
        daemon.output()
    );
}
