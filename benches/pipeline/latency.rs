//! From a commit to its receipt, on an idle machine.

use std::time::Duration;

use tokio::time::Instant;

use crate::Size;
use crate::harness::Cluster;
use crate::receiver::{Counting, Manner};
use crate::report::Report;
use crate::setting::Setting;

const COMMITS: usize = 500;

/// One commit after another, each measured from before its INSERT to its receipt.
pub async fn latency(_size: Size, report: &mut Report) {
    let cluster = Cluster::own().start().await;
    let mut setting = Setting::new(&cluster).await;
    let good = Counting::start(Manner::AtOnce).await;
    let _daemon = setting.daemon(&[("good", good.url(), "")]).await;
    let mut took = Vec::with_capacity(COMMITS);
    for commit in 1..=COMMITS {
        let began = Instant::now();
        setting.insert(1).await;
        while good.events() < commit as u64 {
            tokio::task::yield_now().await;
        }
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let at = |percent: usize| took[COMMITS * percent / 100].as_secs_f64() * 1000.0;
    report.figures("INSERT to receipt, p50", "ms", vec![at(50)]);
    report.figures("INSERT to receipt, p99", "ms", vec![at(99)]);
    cluster.stop_fast(Duration::from_secs(10)).await;
}
