//! SIGKILL of the daemon at any moment, under traffic and beside an endpoint that does what
//! it likes: nothing is lost, overtaken or changed. `WALHOOK_TEST_KILLS` says how often.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::harness::metrics::{
    EVENTS_DEAD, EVENTS_DELIVERED, EVENTS_MADE, EVENTS_RETRIED, EVENTS_WAITING,
    EVENTS_WAITING_AT_START, Metrics,
};
use crate::harness::receiver::Event;
use crate::harness::{
    Answer, Cluster, Daemon, Database, Receiver, SOON, Traffic, longer, oracle, seed, traffic,
};

/// Of all variants together.
const KILLS: u64 = 50;
const VARIANTS: u64 = 3;
const LONG: Duration = Duration::from_secs(900);

/// How an endpoint's events are laid into lanes.
#[derive(Clone, Copy)]
enum Lanes {
    Tables,
    Rows,
}

impl Lanes {
    fn of(self, event: &Event) -> String {
        match self {
            Lanes::Tables => event.table.clone(),
            Lanes::Rows => oracle::row(event),
        }
    }
}

/// Dropped in this order.
struct World {
    daemon: Daemon,
    /// Takes everything.
    steady: Receiver,
    /// Does what it likes.
    wild: Receiver,
    db: Database,
    lanes: Lanes,
    chance: fastrand::Rng,
    kills: u64,
}

#[tokio::test]
async fn kills_of_single_events_with_the_order_of_tables() {
    World::new(Lanes::Tables, "").await.run().await;
}

#[tokio::test]
async fn kills_of_single_events_with_the_order_of_rows() {
    World::new(Lanes::Rows, "order: key\nkey_lanes: 6")
        .await
        .run()
        .await;
}

#[tokio::test]
async fn kills_of_batches() {
    World::new(Lanes::Tables, "batch: {events: 15, wait: 5ms}")
        .await
        .run()
        .await;
}

impl World {
    async fn new(lanes: Lanes, options: &str) -> World {
        let db = Cluster::shared().await.database().await;
        traffic::prepare(&db).await;
        let (steady, wild) = (Receiver::start().await, Receiver::start().await);
        let seed = seed();
        misbehave(&wild, seed);
        let daemon = Daemon::of(&db)
            .endpoint_with("steady", &steady, options)
            .endpoint_with("wild", &wild, &format!("timeout: 400ms\n{options}"))
            .top("memory: {max_bytes: 1MiB}");
        World {
            daemon: traffic::to(daemon, "steady, wild").prepare(),
            db,
            steady,
            wild,
            lanes,
            chance: fastrand::Rng::with_seed(seed),
            kills: longer("WALHOOK_TEST_KILLS", KILLS).div_ceil(VARIANTS),
        }
    }

    async fn run(mut self) {
        // Killed before, while and after it makes its slot: what is committed once that is
        // there is sent.
        let mut killed = 0;
        while self.db.slot_position().await.is_none() {
            self.live_and_die(Duration::from_millis(50 + 20 * killed))
                .await;
            killed += 1;
        }
        let pause = Duration::from_millis(40);
        let traffic = Traffic::start(&self.db, self.chance.u64(..), 2, pause);
        while killed < self.kills {
            self.cycle().await;
            killed += 1;
        }
        traffic.end().await;
        self.last_life().await;
        self.check().await;
        let received = || [&self.steady, &self.wild].into_iter();
        let requests: usize = received().map(|r| r.attempts().len()).sum();
        let repeats: usize = received()
            .map(|r| r.count() - oracle::without_repeats(&r.events()).len())
            .sum();
        // For who runs it long.
        eprintln!(
            "killed {killed} times: {} changes to each of two endpoints in {requests} requests, \
             none lost or overtaken, {repeats} events repeated",
            traffic::changes(&self.db).await
        );
    }

    /// One life: mostly short, sometimes long enough for what waits to go to disk, and
    /// for it to come back.
    async fn cycle(&mut self) {
        let refuses = self.chance.u8(..5) == 0;
        if refuses {
            self.wild.refuse().await;
        }
        let life = match self.chance.u8(..8) {
            0 => self.chance.u64(2_000..4_500),
            _ => self.chance.u64(20..900),
        };
        self.live_and_die(Duration::from_millis(life)).await;
        if refuses {
            self.wild.accept_again().await;
        }
    }

    async fn live_and_die(&mut self, life: Duration) {
        self.daemon.launch();
        sleep(life).await;
        assert!(self.daemon.is_running(), "{}", self.daemon.output());
        self.daemon.kill().await;
        // P2: Postgres was told of nothing that would not outlive this.
        let position = self.db.slot_position().await;
        let durable = self.daemon.durable();
        if let (Some(position), Some(durable)) = (position, durable) {
            assert!(position <= durable, "told {position}, stored {durable}");
        }
    }

    /// Begins with events on disk, and ends with none anywhere.
    async fn last_life(&mut self) {
        self.wild.refuse().await;
        self.db
            .sql("INSERT INTO orders SELECT g, 'last' FROM generate_series(1, 100) g")
            .await;
        self.daemon.launch();
        self.daemon.ready().await;
        self.db.confirmed(LONG).await;
        self.daemon.kill().await;
        self.daemon.launch();
        self.daemon.ready().await;
        self.wild.choose(|_| None);
        self.wild.accept_again().await;
        self.db.confirmed(LONG).await;
        // One that stands still for so long stands still for ever.
        let (mut left, mut stands_since) = (f64::MAX, Instant::now());
        while left > 0.0 {
            sleep(Duration::from_millis(100)).await;
            let waiting = self.daemon.metrics().await.sum(EVENTS_WAITING, &[]);
            if waiting < left {
                (left, stands_since) = (waiting, Instant::now());
            }
            assert!(
                stands_since.elapsed() < 2 * SOON,
                "{waiting} events wait for ever"
            );
        }
    }

    async fn check(&self) {
        let metrics = self.daemon.metrics().await;
        for name in ["steady", "wild"] {
            assert_conserved(&metrics, name);
        }
        let waited = metrics.sum(EVENTS_WAITING_AT_START, &[("endpoint", "wild")]);
        assert!(waited >= 100.0, "{waited}");
        let nobody = HashSet::new();
        for receiver in [&self.steady, &self.wild] {
            let events = oracle::without_repeats(&receiver.events());
            traffic::assert_complete(&self.db, &events).await;
            oracle::assert_in_order_by(&events, |event| self.lanes.of(event));
            oracle::assert_never_overtaken(&receiver.attempts(), &nobody, |event| {
                self.lanes.of(event)
            });
        }
    }
}

/// P7, for a moment in which nothing is on its way.
fn assert_conserved(metrics: &Metrics, endpoint: &str) {
    let of = |name| metrics.sum(name, &[("endpoint", endpoint)]);
    let came = of(EVENTS_MADE) + of(EVENTS_WAITING_AT_START) + of(EVENTS_RETRIED);
    let went = of(EVENTS_DELIVERED) + of(EVENTS_DEAD) + of(EVENTS_WAITING);
    assert_eq!(came, went, "{endpoint}");
}

/// Whatever a receiver may do, at random; most often it takes what comes.
pub fn misbehave(receiver: &Receiver, seed: u64) {
    let mut chance = fastrand::Rng::with_seed(seed);
    receiver.choose(move |_| match chance.u8(..20) {
        0 => Some(Answer::status(500)),
        1 => Some(Answer::status_with(503, "retry-after", "0")),
        2 => Some(Answer::Reset),
        3 => Some(Answer::ResetInHead),
        4 | 5 => Some(Answer::WorkThenClose),
        6 => Some(Answer::Hang),
        7 => Some(Answer::AcceptThenClose),
        8 => Some(Answer::ShortBody),
        9 => Some(Answer::After(
            Duration::from_millis(chance.u64(..300)),
            Box::new(Answer::Accept),
        )),
        _ => None,
    });
}
