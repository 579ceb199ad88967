//! Status updates: the only place that tells Postgres what is confirmed.
//!
//! They have a timer and a task of their own, so that they go out while lanes are
//! full, while a row is half received and while a commit is being decoded. Only what
//! is durable is confirmed, and never less than before.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::failure::ReplicationError;
use super::socket::Transport;
use crate::failpoint::{self, Failed};
use crate::lsn::Lsn;
use crate::pgoutput::{Reply, status_update};

/// Without anything new to say an update goes out after so long. As often one asks for a
/// reply, so that a peer that is gone is noticed. `wal_sender_timeout` is 60 s.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// What is new is told at most so often.
const PAUSE: Duration = Duration::from_millis(100);
/// A write that blocks for longer: the peer is gone.
const WRITE_MAX: Duration = Duration::from_secs(60);

/// 2000-01-01 in Unix microseconds.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// The half of a stream that writes.
#[derive(Debug)]
pub struct StatusWriter {
    socket: WriteHalf<Transport>,
    confirmed: Lsn,
    /// When the last update that asks for a reply went out.
    asked: Instant,
}

/// What the writer shares with who reads the stream.
#[derive(Clone, Debug)]
pub struct StatusInputs {
    /// What is durable, and so may be confirmed.
    pub durable: watch::Receiver<Lsn>,
    /// End of the WAL that was received.
    pub received: Arc<AtomicU64>,
    /// A keepalive asked for a reply.
    pub reply_now: Arc<Notify>,
    /// Told what was confirmed.
    pub confirmed: watch::Sender<Lsn>,
}

impl StatusWriter {
    pub(super) fn new(socket: WriteHalf<Transport>) -> Self {
        StatusWriter {
            socket,
            confirmed: Lsn::ZERO,
            asked: Instant::now(),
        }
    }

    /// Runs until `stop`, then confirms what is durable and closes the stream.
    /// `every` is the longest silence: a third of `wal_sender_timeout`, when that is short.
    pub async fn run(
        mut self,
        mut inputs: StatusInputs,
        every: Option<Duration>,
        stop: CancellationToken,
    ) -> Result<(), ReplicationError> {
        let silence_max = every.map_or(SILENCE_MAX, |every| every.min(SILENCE_MAX));
        let mut durable_open = true;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = inputs.reply_now.notified() => {}
                changed = inputs.durable.changed(), if durable_open => {
                    durable_open = changed.is_ok();
                }
                () = tokio::time::sleep(silence_max) => {}
            }
            let reply = if self.asked.elapsed() >= silence_max {
                self.asked = Instant::now();
                Reply::Now
            } else {
                Reply::NotNeeded
            };
            self.send(&inputs, reply).await?;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(PAUSE) => {}
                () = inputs.reply_now.notified() => self.send(&inputs, Reply::NotNeeded).await?,
            }
        }
        self.send(&inputs, Reply::NotNeeded).await?;
        let mut done = BytesMut::new();
        frontend::copy_done(&mut done);
        self.write(&done).await
    }

    async fn send(&mut self, inputs: &StatusInputs, reply: Reply) -> Result<(), ReplicationError> {
        let durable = *inputs.durable.borrow();
        self.confirmed = self.confirmed.max(durable);
        let received = Lsn(inputs.received.load(Ordering::Relaxed)).max(self.confirmed);
        let content = status_update(received, self.confirmed, self.confirmed, clock_us(), reply);
        let mut message = BytesMut::new();
        frontend::CopyData::new(&content[..])?.write(&mut message);
        failpoint::before("status update").map_err(broken)?;
        self.write(&message).await?;
        failpoint::after("status update").map_err(broken)?;
        inputs.confirmed.send_replace(self.confirmed);
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), ReplicationError> {
        let write = async {
            self.socket.write_all(bytes).await?;
            self.socket.flush().await
        };
        match tokio::time::timeout_at(Instant::now() + WRITE_MAX, write).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(ReplicationError::Io(io::ErrorKind::TimedOut.into())),
        }
    }
}

fn broken(failed: Failed) -> ReplicationError {
    ReplicationError::Io(io::Error::other(failed))
}

/// Microseconds since 2000-01-01 UTC.
fn clock_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX) - POSTGRES_EPOCH_US
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    use super::*;

    /// What a status update says: written, flushed, applied.
    async fn told(server: &mut UnixStream) -> [u64; 3] {
        // The tag and the length of CopyData, then the update.
        let mut message = [0; 5 + 34];
        server.read_exact(&mut message).await.unwrap();
        assert_eq!((message[0], message[5]), (b'd', b'r'));
        [6, 14, 22].map(|at| u64::from_be_bytes(message[at..at + 8].try_into().unwrap()))
    }

    #[tokio::test]
    async fn only_what_is_durable_is_confirmed_and_never_less_than_before() {
        let (ours, mut server) = UnixStream::pair().unwrap();
        let (_read, socket) = tokio::io::split(Transport::Unix(ours));
        let mut writer = StatusWriter::new(socket);
        let (checkpoint, durable) = watch::channel(Lsn(50));
        let inputs = StatusInputs {
            durable,
            received: Arc::new(AtomicU64::new(1_000)),
            reply_now: Arc::new(Notify::new()),
            confirmed: watch::channel(Lsn::ZERO).0,
        };
        writer.send(&inputs, Reply::NotNeeded).await.unwrap();
        assert_eq!(told(&mut server).await, [1_000, 50, 50]);
        checkpoint.send_replace(Lsn(40));
        writer.send(&inputs, Reply::NotNeeded).await.unwrap();
        assert_eq!(told(&mut server).await, [1_000, 50, 50]);
    }
}
