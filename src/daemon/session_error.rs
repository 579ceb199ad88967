//! How a session ends, and whether it is followed by another.

use super::reading::ReadError;
use super::source::{Source, SourceError};
use super::stuck::Stuck;
use crate::postgres::catalog::QueryError;
use crate::postgres::failure::{ConnectError, Failure, PgError, ReplicationError, judge};
use crate::postgres::preflight::Problem;
use crate::postgres::publication::PublicationError;
use crate::postgres::slot::{Gap, SlotVerdict, TimelineVerdict};
use crate::progress::lineage::OtherHistory;
use crate::store::StoreCallError;

/// How a session ended, when it was not for good.
#[derive(Debug)]
pub enum Ended {
    Stopped,
    /// Try again: for this reason.
    Failed(String),
    /// Try again, seldom: the source's `stuck` says where.
    Stuck,
}

/// What can end a session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Replication(#[from] ReplicationError),
    #[error("failed to {0}")]
    Query(#[from] QueryError),
    #[error("failed to {0}")]
    Publication(#[from] PublicationError),
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The server cannot decode a change.
    #[error("{0}")]
    Decoding(PgError),
    #[error("{0}")]
    Slot(SlotVerdict),
    #[error("{0}")]
    Timeline(TimelineVerdict),
    #[error("{}", problems(.0))]
    Preflight(Vec<Problem>),
    #[error("{0}")]
    Transient(String),
    #[error(transparent)]
    Store(#[from] StoreCallError),
}

fn problems(problems: &[Problem]) -> String {
    format!(
        "the database is not ready for this config:\n{}",
        problem_lines(problems)
    )
}

fn problem_lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::full).collect();
    lines.join("\n")
}

impl SessionError {
    /// Decides whether the session is followed by another.
    pub(super) async fn judged(self, source: &mut Source) -> Result<Ended, SourceError> {
        match self {
            SessionError::Store(error) => Err(SourceError::Store(error)),
            SessionError::Decoding(error) => {
                source.stuck = Some(Stuck::at(&error, &source.reading, source.stuck.take()));
                Ok(Ended::Stuck)
            }
            SessionError::Read(ReadError::History(error)) => {
                source.keep_difference(&error).await?;
                Err(SourceError::Definite(other_history(&error)))
            }
            SessionError::Timeline(verdict) => {
                let remedy = verdict.remedy().unwrap_or_default();
                Err(definite(&verdict, &remedy))
            }
            SessionError::Preflight(problems)
                if problems.iter().all(|problem| problem.found.is_transient()) =>
            {
                Ok(Ended::Failed(problem_lines(&problems)))
            }
            SessionError::Slot(verdict) if verdict.is_definite() => {
                let remedy = verdict.remedy().unwrap_or_default();
                Err(definite(&verdict, &remedy))
            }
            SessionError::Preflight(_)
            | SessionError::Publication(PublicationError::NotAllowed { .. }) => {
                Err(SourceError::Definite(self.to_string()))
            }
            SessionError::Slot(_) | SessionError::Transient(_) => {
                Ok(Ended::Failed(self.to_string()))
            }
            error => match judge(&error, source.phase) {
                Failure::Transient(reason) => Ok(Ended::Failed(reason)),
                Failure::Definite(reason) => Err(SourceError::Definite(reason)),
            },
        }
    }
}

fn definite(verdict: &dyn std::fmt::Display, remedy: &str) -> SourceError {
    SourceError::Definite(format!("{verdict}\n  hint: {remedy}"))
}

fn other_history(error: &OtherHistory) -> String {
    let gone = Gap {
        from: error.from(),
        to: error.read_to(),
    };
    format!(
        "the server's history is not the one that was read before: {error}; it was restored from a \
         snapshot, or promoted before it had all, and what was read of the WAL {gone} may no longer \
         exist\n  hint: webhooks for transactions in {gone} may have been sent: tell the receivers, \
         then `walhook adopt` goes on from the slot's position on this server and records it"
    )
}
