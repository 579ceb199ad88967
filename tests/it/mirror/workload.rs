//! Everything that a transaction may have in it, at random, while the schema changes.

use futures_util::future::join_all;

use super::changes::Changes;
use super::subscriber::{ALL, INSERTS, MESSAGES, OPTIONS, Subscriber};
use super::writer::Writer;
use super::{LONG, rounds};
use crate::harness::metrics::EVENTS_DEAD;
use crate::harness::{Cluster, Daemon, Database, Receiver, seed};
use crate::kill::misbehave;

const WRITERS: u64 = 3;
/// Of each writer in each round.
const TRANSACTIONS: u64 = 12;
/// Of the schema, in each round.
const CHANGES: u64 = 3;

struct World {
    writers: Vec<Writer>,
    changes: Changes,
    subscriber: Subscriber,
    daemon: Daemon,
    receiver: Receiver,
    db: Database,
}

/// What becomes of the daemon while others write.
#[derive(Clone, Copy, Debug)]
enum Disturbance {
    None,
    Restart,
    Kill,
}

impl World {
    async fn new(seed: u64, options: &str) -> World {
        let cluster = Cluster::own()
            .setting("max_prepared_transactions", "10")
            .setting("deadlock_timeout", "'100ms'");
        let db = cluster.start().await.database().await;
        db.sql(include_str!("schema.sql")).await;
        let receiver = Receiver::start().await.keep_events_only();
        let daemon = Daemon::of(&db)
            .endpoint_with("r", &receiver, &format!("{OPTIONS}\n{options}"))
            .top(MESSAGES)
            .table("m.*", ALL)
            .table("m.log", INSERTS)
            .table("m.silent", INSERTS);
        let mut writers = Vec::new();
        for number in 0..WRITERS {
            writers.push(Writer::new(&db, seed, number).await);
        }
        World {
            writers,
            changes: Changes::new(&db, seed).await,
            subscriber: Subscriber::new(&db).await,
            daemon: daemon.start().await,
            receiver,
            db,
        }
    }

    async fn round(&mut self, disturbance: Disturbance) {
        let (daemon, receiver) = (&mut self.daemon, &self.receiver);
        let some = receiver.count() + 20;
        let disturb = async {
            match disturbance {
                Disturbance::None => {}
                Disturbance::Restart => {
                    receiver.wait_for_so_many(some, LONG).await;
                    daemon.restart().await;
                }
                Disturbance::Kill => {
                    receiver.wait_for_so_many(some, LONG).await;
                    daemon.kill().await;
                    daemon.launch();
                }
            }
        };
        let writers = self.writers.iter_mut();
        let writing = join_all(writers.map(|writer| writer.transactions(TRANSACTIONS)));
        let changing = self.changes.change(&self.db, CHANGES);
        tokio::join!(writing, changing, disturb);
    }

    /// Every few rounds nobody writes, and the copy equals the source.
    async fn run(&mut self, disturbances: &[Disturbance]) {
        let mut disturbances = disturbances.iter().cycle();
        let mut rows = 0;
        for round in 0..rounds() {
            let disturbance = match round % 4 {
                1 => *disturbances.next().expect("a cycle"),
                _ => Disturbance::None,
            };
            self.round(disturbance).await;
            if round % 4 == 3 {
                rows = self.subscriber.catches_up(&self.db, &self.receiver).await;
            }
        }
        rows = self
            .subscriber
            .catches_up(&self.db, &self.receiver)
            .await
            .max(rows);
        self.daemon.ready().await;
        let metrics = self.daemon.metrics().await;
        assert_eq!(metrics.sum(EVENTS_DEAD, &[]), 0.0);
        let committed: u64 = self.writers.iter().map(|writer| writer.committed).sum();
        let failed: Vec<_> = self.writers.iter().map(|writer| &writer.failed).collect();
        eprintln!(
            "{rows} rows equal after {committed} transactions and {} events; failed by SQLSTATE: \
             {failed:?}; changes of the schema: {:?}",
            self.subscriber.count(),
            self.changes.done
        );
        assert!(
            committed >= WRITERS * TRANSACTIONS * rounds() / 2,
            "{failed:?}"
        );
    }
}

#[tokio::test]
async fn a_workload_of_everything_is_mirrored_over_restarts_and_kills() {
    let mut world = World::new(seed(), "").await;
    world.run(&[Disturbance::Restart, Disturbance::Kill]).await;
}

#[tokio::test]
async fn a_workload_of_everything_is_mirrored_by_an_endpoint_that_fails_at_random() {
    let seed = seed();
    let mut world = World::new(seed, "timeout: 400ms").await;
    misbehave(&world.receiver, seed);
    world.run(&[Disturbance::None]).await;
}
