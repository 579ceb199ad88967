//! A probe: reads the slot once, without confirming anything, to see where the server
//! fails to decode a change. Nothing of what it reads is used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::failure::{PgError, ReplicationError, is_poison};
use super::replication::ReplicationConnection;
use super::status::StatusInputs;
use super::stream::{StreamFrame, StreamReader};
use crate::lsn::Lsn;
use crate::pgoutput::{self, Frame, Message, Reply};
use crate::progress::tracker::{ReadKind, ReadTransaction};

/// Shorter than the third of a short `wal_sender_timeout`.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// Without a byte for so long the peer is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What is read.
#[derive(Clone, Debug)]
pub struct Probe<'a> {
    pub slot: &'a str,
    pub publications: &'a [String],
    /// `0/0`: the slot's own position.
    pub start: Lsn,
    /// Transactions below it are settled.
    pub checkpoint: Lsn,
    /// Up to here.
    pub end: Lsn,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    /// All of it can be decoded.
    Clear,
    Stuck(Box<Poison>),
}

/// A change that the server cannot decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    pub error: PgError,
    /// That it is in; `None`: the server failed before it said which.
    pub transaction: Option<ReadTransaction>,
    /// Its changes that came before.
    pub changes_before: u64,
    /// The first transaction before it that is not settled.
    pub unsettled: Option<ReadTransaction>,
}

/// Reads until the server fails on a change, or `end` is reached.
pub async fn probe(
    replication: ReplicationConnection,
    probe: Probe<'_>,
) -> Result<Probed, ReplicationError> {
    let (mut reader, writer) = replication
        .start(probe.slot, probe.publications, probe.start)
        .await?;
    // Nothing is confirmed: zero is no position.
    let (_durable, nothing) = watch::channel(Lsn::ZERO);
    let (confirmed, _) = watch::channel(Lsn::ZERO);
    let received = Arc::new(AtomicU64::new(0));
    let reply_now = Arc::new(Notify::new());
    let inputs = StatusInputs {
        durable: nothing,
        received: Arc::clone(&received),
        reply_now: Arc::clone(&reply_now),
        confirmed,
    };
    let status = writer.run(inputs, Some(STATUS_EVERY), CancellationToken::new());
    let mut reading = Reading {
        checkpoint: probe.checkpoint,
        end: probe.end,
        open: None,
        changes: 0,
        unsettled: None,
    };
    tokio::select! {
        probed = reading.run(&mut reader, &received, &reply_now) => probed,
        ended = status => Err(ended.err().unwrap_or(ReplicationError::Closed)),
    }
}

struct Reading {
    checkpoint: Lsn,
    end: Lsn,
    open: Option<ReadTransaction>,
    changes: u64,
    unsettled: Option<ReadTransaction>,
}

impl Reading {
    async fn run(
        &mut self,
        reader: &mut StreamReader,
        received: &AtomicU64,
        reply_now: &Notify,
    ) -> Result<Probed, ReplicationError> {
        loop {
            let read_to = match reader.next_frame() {
                Ok(Some(StreamFrame::Copy(frame))) => {
                    if let Frame::Keepalive {
                        reply: Reply::Now, ..
                    } = frame
                    {
                        reply_now.notify_one();
                    }
                    self.frame(frame, received)?
                }
                Ok(Some(StreamFrame::Notice(_))) => None,
                Ok(Some(StreamFrame::Ended)) => return Err(ReplicationError::Closed),
                Ok(None) => {
                    let filled = tokio::time::timeout(SILENCE_MAX, reader.fill()).await;
                    filled.unwrap_or(Err(ReplicationError::Closed))?;
                    None
                }
                Err(ReplicationError::Server(error)) if is_poison(&error) => {
                    return Ok(Probed::Stuck(Box::new(Poison {
                        error,
                        transaction: self.open,
                        changes_before: self.changes,
                        unsettled: self.unsettled,
                    })));
                }
                Err(error) => return Err(error),
            };
            if read_to.is_some_and(|read_to| read_to >= self.end) {
                return Ok(Probed::Clear);
            }
        }
    }

    /// Up to where all was read, when it says so.
    fn frame(
        &mut self,
        frame: Frame<'_>,
        received: &AtomicU64,
    ) -> Result<Option<Lsn>, ReplicationError> {
        match frame {
            Frame::Keepalive { wal_end, .. } => Ok(Some(wal_end).filter(|_| self.open.is_none())),
            Frame::Data {
                wal_end, payload, ..
            } => {
                received.fetch_max(wal_end.0, Ordering::Relaxed);
                Ok(self.message(&pgoutput::decode(payload)?))
            }
        }
    }

    fn message(&mut self, message: &Message<'_>) -> Option<Lsn> {
        match message {
            Message::Begin {
                final_lsn,
                commit_time_us,
                xid,
            } => {
                self.changes = 0;
                self.open = Some(ReadTransaction {
                    kind: ReadKind::Transaction,
                    commit_lsn: *final_lsn,
                    xid: *xid,
                    commit_time_us: *commit_time_us,
                });
                None
            }
            Message::Commit { end_lsn, .. } => {
                if let Some(read) = self.open.take() {
                    self.passed(read);
                }
                Some(*end_lsn)
            }
            Message::Logical {
                transactional: false,
                lsn,
                ..
            } => {
                self.passed(ReadTransaction::message(*lsn, 0));
                Some(*lsn)
            }
            Message::Insert { .. }
            | Message::Update { .. }
            | Message::Delete { .. }
            | Message::Truncate { .. }
            | Message::Logical { .. } => {
                self.changes += 1;
                None
            }
            Message::Origin { .. } | Message::Relation(_) | Message::Type { .. } => None,
        }
    }

    /// To skip what comes later would lose it, unless it is settled.
    fn passed(&mut self, read: ReadTransaction) {
        let unsettled = Some(read).filter(|read| !read.is_below(self.checkpoint));
        self.unsettled = self.unsettled.or(unsettled);
    }
}
