//! Stuck: the server fails to decode a change, each time. It is tried again, seldom, and
//! told: in the log now and then, on /readyz, in `walhook status`, as a metric. A person
//! mends the server, or goes past the transaction with `walhook skip`.

use std::time::{Duration, SystemTime};

use tracing::{error, info};

use super::reading::Reading;
use crate::lane::endpoint::Shared;
use crate::lsn::Lsn;
use crate::postgres::failure::PgError;
use crate::progress::tracker::ReadTransaction;
use crate::telemetry::systemd;
use crate::telemetry::view::StreamState;

/// Decoding up to the change again costs the server as much each time.
pub(super) const RETRY_MAX: Duration = Duration::from_secs(60);
pub(super) const RETRY_MIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Stuck {
    /// SQLSTATE.
    code: String,
    /// Of the change, as the server says; else of what could not be read.
    at: Lsn,
    /// `None`: the server failed before it said which.
    transaction: Option<ReadTransaction>,
    /// All before it read: the change has been passed. Known once the server was asked
    /// how far its WAL goes.
    passed_at: Option<Lsn>,
    pub failures: u32,
}

impl Stuck {
    /// `before` is what the stream was stuck at until now.
    pub fn at(error: &PgError, reading: &Reading, before: Option<Stuck>) -> Self {
        let transaction = reading.half_read();
        let read_to = reading.history().read_to();
        let at = error
            .at
            .or(transaction.map(|transaction| transaction.commit_lsn))
            .unwrap_or(read_to);
        let again = before.filter(|before| before.at == at);
        Stuck {
            code: error.code.clone(),
            at,
            transaction,
            passed_at: transaction.map(|transaction| Lsn(transaction.commit_lsn.0 + 1)),
            failures: again.map_or(1, |before| before.failures.saturating_add(1)),
        }
    }

    /// A session begins, while the server's WAL ends at `flush`. What fails was
    /// committed before.
    pub fn tried_again(&mut self, flush: Lsn) {
        self.passed_at.get_or_insert(flush);
    }

    /// Where and why: it does not change from one try to the next.
    pub fn place(&self) -> String {
        let Stuck { code, at, .. } = self;
        let of = match &self.transaction {
            Some(ReadTransaction {
                xid, commit_lsn, ..
            }) => format!(" of transaction {xid}, which commits at {commit_lsn}"),
            None => String::new(),
        };
        format!("stuck at {at}, SQLSTATE {code}: the server cannot decode a change{of}")
    }

    /// With what it costs.
    pub fn reason(&self, retained_bytes: Option<u64>) -> String {
        match retained_bytes {
            Some(bytes) => format!("{}; {bytes} bytes of WAL are held", self.place()),
            None => self.place(),
        }
    }

    /// What a person can do.
    pub fn hint(&self) -> String {
        if self.transaction.is_none() {
            // A lost WAL segment stands in the way of what comes behind it, too.
            return "mend the cause, which the server's log names; when that cannot be done, drop \
                    the slot, and `walhook adopt` goes on from now and records the gap"
                .to_owned();
        }
        format!(
            "mend the cause, which the server's log names; or `walhook skip --lsn {}` goes past \
             the whole transaction, whose changes are then lost",
            self.at
        )
    }
}

/// Shows and tells it. `news`: not told lately.
pub(super) fn tell(stuck: &Stuck, shared: &Shared, news: bool) {
    let reason = stuck.reason(shared.view.shown().retained_bytes);
    shared.metrics.stuck.set(1);
    systemd::waiting(&reason);
    let state = StreamState::Stuck {
        reason: reason.clone(),
    };
    shared.view.set_stream(state, SystemTime::now());
    if news {
        error!(hint = stuck.hint(), "{reason}");
    }
}

/// All before `read_to` was read: ends `stuck` once that is past it.
pub(super) fn recover(stuck: &mut Option<Stuck>, read_to: Lsn, shared: &Shared) {
    let is_passed = |stuck: &mut Stuck| stuck.passed_at.is_some_and(|at| at <= read_to);
    if let Some(passed) = stuck.take_if(is_passed) {
        shared.metrics.stuck.set(0);
        show_streaming(shared);
        info!(at = %passed.at, tries = passed.failures, "no longer stuck: the change was decoded");
    }
}

pub(super) fn show_streaming(shared: &Shared) {
    shared.metrics.streaming.set(1);
    shared
        .view
        .set_stream(StreamState::Streaming, SystemTime::now());
    systemd::ready();
}
