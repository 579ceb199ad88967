//! A crash, a panic, an error and a delay at every write, fsync, send and confirm. After
//! each: nothing lost, nothing overtaken, ids as they were, Postgres told of nothing that
//! was not durable.

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use crate::harness::metrics::EVENTS_WAITING;
use crate::harness::{
    Answer, Cluster, Daemon, Database, Receiver, SOON, eventually, oracle, side_by_side, traffic,
};

const SIGABRT: i32 = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Crash,
    Panic,
    Error,
    Delay,
}

/// What leads the daemon to the place.
#[derive(Clone, Copy)]
enum Scene {
    /// Events are delivered.
    Delivers,
    /// The endpoint is away, so that they go to disk.
    Spools,
    /// Some are refused, and become dead letters.
    Parks,
}

/// What an error at the place does to the daemon.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnError {
    /// It is not known what is on disk: it ends, and starts from what is.
    Ends,
    GoesOn,
}

/// All actions at a place.
fn survives(place: &str, scene: Scene, on_error: OnError) {
    let actions = [
        (Action::Crash, 1),
        (Action::Crash, 3),
        (Action::Panic, 1),
        (Action::Error, 1),
        (Action::Delay, 1),
    ];
    side_by_side(actions, |(action, pass)| {
        Try::at(place, action, pass, scene, on_error)
    });
}

/// Dropped in this order.
struct Try {
    daemon: Daemon,
    receiver: Receiver,
    db: Database,
    scene: Scene,
    what: String,
}

impl Try {
    async fn at(place: &str, action: Action, pass: u32, scene: Scene, on_error: OnError) {
        let db = Cluster::shared().await.database().await;
        traffic::prepare(&db).await;
        let receiver = Receiver::start().await;
        let options = "retry: {max: 100ms, park_statuses: [422]}";
        let daemon = Daemon::of(&db)
            .endpoint_with("r", &receiver, options)
            .top("memory: {max_bytes: 1MiB}");
        let mut world = Try {
            daemon: traffic::to(daemon, "r").prepare(),
            db,
            receiver,
            scene,
            what: format!("{place}={action:?}@{pass}").to_lowercase(),
        };
        let is_made = place.ends_with("slot creation") || place.ends_with("intention");
        if is_made && pass > 1 {
            return;
        }
        if !is_made {
            world.daemon.launch();
            world.daemon.ready().await;
            assert_eq!(world.daemon.stop().await, 0);
        }
        world.daemon.set_failpoint(&world.what);
        world.daemon.launch();
        let ends = match action {
            Action::Crash | Action::Panic => true,
            Action::Error => on_error == OnError::Ends,
            Action::Delay => false,
        };
        if !is_made {
            world.write(0).await;
        }
        if ends {
            world.ends(action, is_made).await;
        }
        world.goes_on(is_made).await;
    }

    /// It ends at the place, and is started again.
    async fn ends(&mut self, action: Action, is_made: bool) {
        let what = &self.what;
        // It comes to a later pass by what is written meanwhile.
        for tick in 1_000_000.. {
            if is_made || !self.daemon.is_running() || tick > 1_000_200 {
                break;
            }
            let row = format!("INSERT INTO orders VALUES ({tick}, 'tick')");
            self.db.sql(&row).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let status = self.daemon.end().await;
        match action {
            Action::Crash => assert_eq!(status.signal(), Some(SIGABRT), "{what}: {status}"),
            _ => assert_eq!(status.code(), Some(1), "{what}: {status}"),
        }
        self.told_no_more_than_durable().await;
        self.daemon.set_failpoint("");
        self.daemon.launch();
    }

    async fn told_no_more_than_durable(&self) {
        let position = self.db.slot_position().await;
        if let (Some(position), Some(durable)) = (position, self.daemon.durable()) {
            assert!(
                position <= durable,
                "{}: told {position}, stored {durable}",
                self.what
            );
        }
    }

    async fn goes_on(mut self, is_made: bool) {
        let what = &self.what;
        if is_made {
            self.daemon.ready().await;
            self.write(0).await;
        }
        self.write(1).await;
        if matches!(self.scene, Scene::Spools) {
            self.db.confirmed(2 * SOON).await;
            self.receiver.accept_again().await;
        }
        self.db.confirmed(2 * SOON).await;
        let changes = traffic::changes(&self.db).await;
        eventually("nothing waits", || async {
            self.daemon.metrics().await.sum(EVENTS_WAITING, &[]) == 0.0
        })
        .await;
        let output = self.daemon.output();
        assert!(
            output.contains("failpoint"),
            "{what} was never reached\n{output}"
        );
        let dead: HashSet<_> = self.daemon.dead_events().await.into_iter().collect();
        assert_eq!(
            matches!(self.scene, Scene::Parks),
            !dead.is_empty(),
            "{what}"
        );
        let events = oracle::without_repeats(&self.receiver.events());
        oracle::assert_in_order_per_table(&events);
        oracle::assert_never_overtaken(&self.receiver.attempts(), &dead, |event| {
            event.table.clone()
        });
        if dead.is_empty() {
            traffic::assert_complete(&self.db, &events).await;
        } else {
            assert_eq!(events.len() + dead.len(), changes, "{what}");
        }
        assert_eq!(self.daemon.stop().await, 0, "{what}");
        self.told_no_more_than_durable().await;
    }

    async fn write(&self, round: u32) {
        let first = round * 10_000;
        match self.scene {
            Scene::Spools if round == 0 => self.receiver.refuse().await,
            Scene::Spools | Scene::Delivers => {}
            Scene::Parks => self.receiver.choose(|attempt| {
                let id = attempt.events[0].data("id").as_u64();
                id.is_some_and(|id| id % 7 == 0)
                    .then(|| Answer::status(422))
            }),
        }
        // More than memory holds.
        let many = matches!(self.scene, Scene::Spools) && round == 0;
        let rows = if many { 250 } else { 10 };
        for part in 0..4 {
            let from = first + part * rows + 1;
            let to = from + rows - 1;
            self.db
                .sql(&format!(
                    "INSERT INTO orders SELECT g, 'new', repeat(md5(g::text), 60) \
                     FROM generate_series({from}, {to}) g; \
                     INSERT INTO items SELECT g, 1, 'one' FROM generate_series({from}, {to}, 5) g; \
                     UPDATE items SET qty = 2 WHERE id = {from}; DELETE FROM items WHERE id = {from}"
                ))
                .await;
        }
    }
}

#[test]
fn the_intention_to_make_the_slot() {
    survives("before write the intention", Scene::Delivers, OnError::Ends);
    survives("after write the intention", Scene::Delivers, OnError::Ends);
}

#[test]
fn the_creation_of_the_slot() {
    survives("before slot creation", Scene::Delivers, OnError::GoesOn);
    survives("after slot creation", Scene::Delivers, OnError::GoesOn);
}

#[test]
fn the_commit_of_a_checkpoint() {
    survives("before write progress", Scene::Delivers, OnError::Ends);
    survives("after write progress", Scene::Delivers, OnError::Ends);
}

#[test]
fn the_way_to_a_checkpoint_and_from_it() {
    survives("before checkpoint", Scene::Delivers, OnError::Ends);
    survives("after checkpoint", Scene::Delivers, OnError::Ends);
}

#[test]
fn the_commit_of_events_that_wait() {
    survives("before append waiting events", Scene::Spools, OnError::Ends);
    survives("after append waiting events", Scene::Spools, OnError::Ends);
}

#[test]
fn the_commit_of_dead_letters() {
    survives("before park dead letters", Scene::Parks, OnError::Ends);
    survives("after park dead letters", Scene::Parks, OnError::Ends);
}

#[test]
fn the_sending() {
    survives("before send", Scene::Delivers, OnError::GoesOn);
    survives("after answer", Scene::Delivers, OnError::GoesOn);
}

#[test]
fn the_word_to_postgres() {
    survives("before status update", Scene::Delivers, OnError::GoesOn);
    survives("after status update", Scene::Delivers, OnError::GoesOn);
}
