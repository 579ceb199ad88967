//! TPC-B as pgbench has it: accounts, tellers and branches get what the history says.

use std::collections::BTreeMap;

use super::copy::{Applied, Row};
use super::subscriber::{ALL, INSERTS, Subscriber, daemon};
use super::{LONG, rounds, source};
use crate::harness::{Cluster, Database, Receiver, seed};
use crate::values::json::Json;

const CLIENTS: usize = 4;
/// At scale 1: accounts, tellers and a branch.
const ROWS: usize = 100_000 + 10 + 1;

/// By table: the sum of its balances.
#[derive(Default)]
struct Sums {
    sums: BTreeMap<&'static str, i64>,
    commit: u64,
    commits: usize,
}

const BALANCES: [(&str, &str); 4] = [
    ("public.pgbench_accounts", "abalance"),
    ("public.pgbench_tellers", "tbalance"),
    ("public.pgbench_branches", "bbalance"),
    ("public.pgbench_history", "delta"),
];

impl Sums {
    fn change(&mut self, commit: u64, applied: &Applied) {
        if self.commit != commit {
            self.end_of_transaction();
            self.commit = commit;
        }
        let found = BALANCES.iter().find(|(table, _)| *table == applied.table);
        let (table, column) = found.expect("one of pgbench's tables");
        let balance = |row: &Row| -> i64 {
            let Json::Number(digits) = &row[*column] else {
                panic!("{row:?}");
            };
            digits.parse().expect("an int")
        };
        let after: i64 = applied.after.iter().map(balance).sum();
        let before: i64 = applied.before.iter().map(balance).sum();
        *self.sums.entry(table).or_default() += after - before;
    }

    fn end_of_transaction(&mut self) {
        self.commits += 1;
        let mut sums = self.sums.values();
        let first = sums.next();
        assert!(
            sums.all(|sum| Some(sum) == first),
            "the sums differ after {} commits: {:?}",
            self.commits,
            self.sums
        );
    }
}

async fn pgbench(db: &Database, arguments: &[&str]) {
    let pgbench = db.pgbench_with(arguments);
    let status = pgbench.exited(LONG).await.expect("pgbench to end");
    assert!(status.success(), "{}", pgbench.output().text());
}

#[tokio::test]
async fn pgbench_is_mirrored_and_its_sums_are_equal_at_every_commit() {
    let db = Cluster::shared().await.database().await;
    // Of the accounts; none is one table.
    let partitions = if seed().is_multiple_of(2) { 0 } else { 3 };
    let partitions = format!("--partitions={partitions}");
    // Its steps are dtgvp; the rows are made once somebody listens.
    pgbench(&db, &["-i", "-q", "-I", "dtpf", &partitions]).await;
    let receiver = Receiver::start().await.keep_events_only();
    let tables = [
        ("public.pgbench_*", ALL),
        ("public.pgbench_history", INSERTS),
    ];
    let mut daemon = daemon(&db, &receiver, &tables).start().await;
    let mut subscriber = Subscriber::new(&db).await;
    pgbench(&db, &["-i", "-q", "-I", "g", &partitions]).await;

    let (clients, transactions) = (CLIENTS.to_string(), (10 * rounds()).to_string());
    let arguments = ["-n", "-b", "tpcb-like", "-c", &clients, "-t", &transactions];
    let bench = db.pgbench_with(&arguments);
    receiver.wait_for_so_many(30_000, LONG).await;
    daemon.restart().await;
    // Among what the clients write.
    receiver.wait_for_so_many(ROWS + 200, LONG).await;
    daemon.kill().await;
    daemon.launch();
    let status = bench.exited(LONG).await.expect("pgbench to end");
    assert!(status.success(), "{}", bench.output().text());

    let events = subscriber.wait(&db, &receiver).await;
    let mut sums = Sums::default();
    subscriber.take(&events, |commit, applied| sums.change(commit, &applied));
    sums.end_of_transaction();
    let rows = source::assert_equal(&db, &subscriber.copy).await;
    assert!(rows > ROWS, "{rows}");
    let history: i64 = db.value("SELECT count(*) FROM pgbench_history").await;
    assert!(sums.commits as i64 > history, "{} commits", sums.commits);
    eprintln!(
        "{rows} rows equal after {} commits and {} events",
        sums.commits,
        subscriber.count()
    );
}
