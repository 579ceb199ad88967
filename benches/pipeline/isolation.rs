//! What bad endpoints cost a good one, and how fast what waited is sent.

use std::time::Duration;

use tokio::time::Instant;

use crate::Size;
use crate::backlog::{BATCH, Way, walhook};
use crate::harness::Cluster;
use crate::receiver::{Counting, Manner};
use crate::report::Report;
use crate::setting::{Setting, peak_mib};

/// One event a request, as most receivers have it.
const SINGLE: &str = "order: key";
/// Where nobody listens.
const DEAD: &str = "http://127.0.0.1:1/hooks";

/// A good endpoint's rate beside a dead, a hanging, a dripping and a slow one, against
/// alone, at an offered load of half of what it reaches alone.
pub async fn isolation(size: Size, report: &mut Report) {
    let cluster = Cluster::own().start().await;
    let reached = capacity(&cluster, size.rows / 4, SINGLE).await;
    println!("alone it takes {reached:.0} events a second of a backlog; offered is half of it");
    let (mut alone, mut beside, mut peak, mut lag) = (vec![], vec![], vec![], vec![]);
    for _ in 0..size.pairs {
        let one = offered(&cluster, reached / 2.0, size.seconds, Company::None).await;
        let two = offered(&cluster, reached / 2.0, size.seconds, Company::Bad).await;
        alone.push(one.rate);
        beside.push(two.rate);
        peak.push(two.peak_mib);
        lag.push(two.lag.as_secs_f64());
    }
    report.pairs(
        "a good endpoint beside four bad ones, against alone",
        "events/s",
        beside,
        alone,
    );
    report.figures("resident memory meanwhile, at most", "MiB", peak);
    report.figures("until the slot lags less than 1 MiB", "s", lag);
    cluster.stop_fast(Duration::from_secs(10)).await;
}

/// What waited on disk, sent in batches, against the rate at which it is sent live; and
/// the memory while all of it waits.
pub async fn drain(size: Size, report: &mut Report) {
    let cluster = Cluster::own().start().await;
    let (mut drained, mut live, mut peak) = (vec![], vec![], vec![]);
    for _ in 0..size.pairs {
        live.push(capacity(&cluster, size.rows, BATCH).await);
        let (rate, peak_mib) = drain_once(&cluster, size.rows).await;
        drained.push(rate);
        peak.push(peak_mib);
    }
    report.pairs(
        "draining the spool in batches, against live",
        "events/s",
        drained,
        live,
    );
    report.figures("resident memory while all of it waits", "MiB", peak);
    cluster.stop_fast(Duration::from_secs(10)).await;
}

enum Company {
    None,
    Bad,
}

struct Offered {
    rate: f64,
    peak_mib: f64,
    lag: Duration,
}

async fn offered(
    cluster: &std::sync::Arc<Cluster>,
    rows_per_second: f64,
    seconds: u64,
    company: Company,
) -> Offered {
    let mut setting = Setting::new(cluster).await;
    let good = Counting::start(Manner::AtOnce).await;
    let hanging = Counting::start(Manner::Hang).await;
    let dripping = Counting::start(Manner::Drip).await;
    let slow = Counting::start(Manner::After(Duration::from_millis(200))).await;
    let mut endpoints = vec![("good", good.url(), SINGLE)];
    if let Company::Bad = company {
        endpoints.extend([
            ("dead", DEAD.to_owned(), SINGLE),
            ("hanging", hanging.url(), SINGLE),
            ("dripping", dripping.url(), SINGLE),
            ("slow", slow.url(), SINGLE),
        ]);
    }
    let daemon = setting.daemon(&endpoints).await;
    let during = Duration::from_secs(seconds);
    setting.offer(rows_per_second, during).await;
    let rate = good.events() as f64 / during.as_secs_f64();
    let lag = setting.lag_returns().await;
    let peak_mib = peak_mib(&daemon);
    println!("{rate:.0} events/s, lag back after {lag:.1?}, {peak_mib:.0} MiB");
    Offered {
        rate,
        peak_mib,
        lag,
    }
}

/// Events a second of a backlog that waits in the WAL.
async fn capacity(cluster: &std::sync::Arc<Cluster>, rows: u64, options: &str) -> f64 {
    walhook(cluster, rows, Way::Tcp, options).await.rate
}

async fn drain_once(cluster: &std::sync::Arc<Cluster>, rows: u64) -> (f64, f64) {
    let mut setting = Setting::new(cluster).await;
    let good = Counting::start(Manner::AtOnce).await;
    let mut daemon = setting.daemon(&[("good", DEAD.to_owned(), BATCH)]).await;
    setting.insert(rows).await;
    setting.lag_returns().await;
    let peak_mib = peak_mib(&daemon);
    daemon.edit_config(DEAD, &good.url());
    assert_eq!(daemon.stop().await, 0);
    let began = Instant::now();
    daemon.launch();
    good.wait_for(rows).await;
    let rate = rows as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.0} events/s drained, {peak_mib:.0} MiB while they waited");
    (rate, peak_mib)
}
