//! A backlog of one table in the WAL, read as fast as may be.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::Size;
use crate::harness::installation::client_program;
use crate::harness::{Cluster, Daemon, Database};
use crate::receiver::{Counting, Manner};
use crate::report::Report;
use crate::setting::Setting;

pub const BATCH: &str = "batch: {events: 100, wait: 5ms}";

/// How Postgres is reached.
#[derive(Clone, Copy)]
pub enum Way {
    Tcp,
    UnixSocket,
}

/// What reading a backlog cost.
pub struct Cost {
    pub rate: f64,
    /// The daemon's own time on a core, in microseconds an event.
    pub cpu_us: f64,
}

/// Events a second in batches, against `pg_recvlogical` that throws away the same backlog.
pub async fn backlog(size: Size, report: &mut Report) {
    let cluster = Cluster::own().start().await;
    for (what, way) in [
        (
            "a backlog in batches over TCP, against pg_recvlogical",
            Way::Tcp,
        ),
        (
            "the same over a unix socket, against pg_recvlogical over one",
            Way::UnixSocket,
        ),
    ] {
        let (mut ours, mut theirs, mut cpu) = (vec![], vec![], vec![]);
        for _ in 0..size.pairs {
            theirs.push(pg_recvlogical(&cluster, size.rows, way).await);
            let cost = walhook(&cluster, size.rows, way, BATCH).await;
            ours.push(cost.rate);
            cpu.push(cost.cpu_us);
        }
        report.pairs(what, "events/s", ours, theirs);
        report.figures("the daemon's CPU time meanwhile", "us an event", cpu);
    }
    cluster.stop_fast(Duration::from_secs(10)).await;
}

/// From the start of the daemon to the receipt of the last event.
pub async fn walhook(cluster: &Arc<Cluster>, rows: u64, way: Way, options: &str) -> Cost {
    let mut setting = Setting::new(cluster).await;
    let receiver = Counting::start(Manner::AtOnce).await;
    let endpoints = [("good", receiver.url(), options)];
    let mut daemon = setting.daemon_by(way, &endpoints).await;
    assert_eq!(daemon.stop().await, 0);
    setting.insert(rows).await;
    let began = Instant::now();
    daemon.launch();
    receiver.wait_for(rows).await;
    let took = began.elapsed();
    let cost = Cost {
        rate: rows as f64 / took.as_secs_f64(),
        cpu_us: cpu(&daemon).as_secs_f64() * 1e6 / rows as f64,
    };
    println!("{:.0} events/s, {:.2} us of CPU", cost.rate, cost.cpu_us);
    cost
}

/// Rows a second of `pg_recvlogical -f /dev/null`.
async fn pg_recvlogical(cluster: &Arc<Cluster>, rows: u64, way: Way) -> f64 {
    let mut setting = Setting::new(cluster).await;
    let db = &setting.db;
    let slot = db.slot.clone();
    db.sql(&format!(
        "CREATE PUBLICATION {slot} FOR TABLE orders WITH (publish_via_partition_root = true)"
    ))
    .await;
    db.sql(&format!(
        "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"
    ))
    .await;
    setting.insert(rows).await;
    let end = setting.db.lsn().await;
    let mut command = recvlogical(&setting.db, way);
    command.args(["--slot", &slot, "--start", "--no-loop", "-f", "/dev/null"]);
    command.args(["--endpos", &end, "-o", "proto_version=1"]);
    command.args(["-o", &format!("publication_names={slot}")]);
    let began = Instant::now();
    let ended = tokio::task::spawn_blocking(move || command.status()).await;
    let status = ended.expect("no panic").expect("pg_recvlogical");
    assert!(status.success(), "{status}");
    let rate = rows as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.0} rows/s by pg_recvlogical");
    rate
}

fn recvlogical(db: &Database, way: Way) -> Command {
    let mut command = Command::new(client_program("pg_recvlogical"));
    let host = match way {
        Way::Tcp => "127.0.0.1".into(),
        Way::UnixSocket => db.cluster.socket_directory().into_os_string(),
    };
    command.arg("-h").arg(host).args(["-U", "postgres"]);
    command.args(["-p", &db.cluster.port.to_string(), "-d", &db.name]);
    command
}

/// The time that the daemon has had on a core: `utime` and `stime` of proc(5), which are
/// in hundredths of a second on Linux.
pub fn cpu(daemon: &Daemon) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
