//! A session: one control and one replication connection, from connect to their end.
//!
//! 1. control connection: it stays open, it is the canary of a shutdown
//! 2. replication connection, and that both are on the same server
//! 3. preflight: everything wrong at once, before anything is changed
//! 4. publications, each in its own committed transaction, before the slot
//! 5. the slot: what it is against what the state file remembers, created when neither is there
//! 6. START, and the slot compared once more before the first row is used
//! 7. the loop: bytes -> messages -> events
//!
//! Whatever waits, the status updates go on: they have a task of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::canary::Canary;
use super::checkpoint::Lineage;
use super::reading::{Announced, Next, Reading};
use super::session_error::{Ended, SessionError};
use super::slot::{self, Opened};
use super::source::{Source, SourceError, SourceStop};
use super::stuck::{self, Stuck};
use super::watch::Watch;
use crate::lane::budget::MemoryBudget;
use crate::lane::endpoint::Shared;
use crate::lsn::Lsn;
use crate::mapping::SourceIdentity;
use crate::pgoutput::{Frame, Reply};
use crate::postgres::Client;
use crate::postgres::catalog::{self, Moment};
use crate::postgres::connect::{self, Control};
use crate::postgres::failure::{ReplicationError, chain, is_poison};
use crate::postgres::replication::ReplicationConnection;
use crate::postgres::status::StatusInputs;
use crate::postgres::stream::{StreamFrame, StreamReader};
use crate::telemetry::view::View;

/// Without a byte for so long, though replies were asked for, the peer is gone. A shorter
/// `wal_sender_timeout` is the limit on this side, too.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How long a transaction that is read may be invisible to others.
const SHOWN_WITHIN: Duration = Duration::from_secs(2);
const SHOWN_POLL: Duration = Duration::from_millis(2);

/// A session's connections, before it streams.
struct Connected {
    control: Control,
    replication: ReplicationConnection,
    opened: Opened,
    canary: Canary,
}

/// Runs one session to its end.
pub(super) async fn run(source: &mut Source, stop: &SourceStop) -> Result<Ended, SourceError> {
    let connected = tokio::select! {
        () = stop.reading.cancelled() => return Ok(Ended::Stopped),
        connected = connect(source) => connected,
    };
    let streamed = match connected {
        Ok(connected) => stream(source, stop, connected).await,
        Err(error) => Err(error),
    };
    match streamed {
        Ok(()) => Ok(Ended::Stopped),
        Err(error) => error.judged(source).await,
    }
}

/// Steps 1 to 5. The replication connection logs in first: it gives a password in
/// clear text over TLS or a unix socket alone.
async fn connect(source: &mut Source) -> Result<Connected, SessionError> {
    let info = &source.config.source.conninfo;
    let replication = match connect::replication(info).await {
        // The preflight says it with all else that is wrong.
        Err(error) if error.is_not_allowed() => Err(error),
        connected => Ok(connected?),
    };
    let (control, connection) = connect::control(info).await?;
    let canary = Canary::keep(connection);
    connect::pin(&control.client).await?;
    if control.unverified && source.told.is_news("unverified") {
        warn!(
            "the connection to the database is not verified: anybody in between could pose as it; use sslmode=verify-full"
        );
    }
    let mut replication = match replication {
        Ok(replication) => replication,
        Err(error) => {
            let problems = slot::problems(&source.config, &control.client).await?;
            return Err(if problems.is_empty() {
                SessionError::Connect(error)
            } else {
                SessionError::Preflight(problems)
            });
        }
    };
    let system = replication.identify_system().await?;
    let server = catalog::server(&control.client).await?;
    same_server(&mut replication, &server, system.system_identifier).await?;
    if server.encoding == "SQL_ASCII" {
        replication.read_bytes_as_they_are().await?;
    }
    let opened = slot::open(source, &control.client, &mut replication, &system).await?;
    source.reading.of_source(SourceIdentity {
        system_identifier: system.system_identifier,
        database: server.database.as_str().into(),
    });
    source.lineage.send_replace(Some(Lineage {
        system_identifier: system.system_identifier,
        timeline: system.timeline,
    }));
    Ok(Connected {
        control,
        replication,
        opened,
        canary,
    })
}

/// A name can lead to two servers: a pooler, a failover between the two connects.
async fn same_server(
    replication: &mut ReplicationConnection,
    server: &catalog::Server,
    system_identifier: u64,
) -> Result<(), SessionError> {
    let started = replication
        .query("SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8")
        .await?;
    let started = started
        .first()
        .and_then(|row| row.first()?.as_deref()?.parse::<i64>().ok());
    let same = started == Some(server.postmaster_start_us)
        && server
            .system_identifier
            .is_none_or(|identifier| identifier == system_identifier);
    if same {
        Ok(())
    } else {
        Err(SessionError::Transient(
            "the two connections to the database are on different servers".to_owned(),
        ))
    }
}

/// Steps 6 and 7, and the end of the stream.
async fn stream(
    source: &mut Source,
    stop: &SourceStop,
    connected: Connected,
) -> Result<(), SessionError> {
    let Connected {
        control,
        replication,
        opened,
        mut canary,
    } = connected;
    let slot_name = source.config.source.slot.clone();
    let (mut reader, writer) = replication
        .start(&slot_name, &opened.publications, opened.start)
        .await?;
    let sent_from = slot::compare_again(source, &control.client).await?;

    let received = Arc::new(AtomicU64::new(0));
    let reply_now = Arc::new(Notify::new());
    let (confirmed, was_confirmed) = watch::channel(Lsn::ZERO);
    let inputs = StatusInputs {
        durable: source.durable.clone(),
        received: Arc::clone(&received),
        reply_now: Arc::clone(&reply_now),
        confirmed,
    };
    let status_stop = CancellationToken::new();
    let every = status_interval(&control.client).await?;
    let silence_max = every.map_or(SILENCE_MAX, |every| SILENCE_MAX.min(every * 3));
    let mut status = StatusTask(tokio::spawn(writer.run(inputs, every, status_stop.clone())));

    source.reading.reconnected(sent_from.max(opened.start));
    source.streaming(opened.flush);
    let reading = Loop {
        reading: &mut source.reading,
        stuck: &mut source.stuck,
        client: &control.client,
        silence_max,
        budget: &source.shared.budget,
        received: &received,
        reply_now: &reply_now,
        shared: &source.shared,
    };
    let watch = Watch {
        config: &source.config,
        client: &control.client,
        shared: &source.shared,
        watched: &mut source.watched,
    };
    let shown = show_confirmed(was_confirmed, &source.shared.view);
    // Priorities: stop, the canary, the status task (it should not end), the stream,
    // the watch.
    tokio::select! {
        biased;
        () = stop.reading.cancelled() => {}
        reason = canary.ended() => return Err(SessionError::Transient(reason)),
        ended = &mut status.0 => return Err(match ended {
            Ok(Err(error)) => SessionError::Replication(error),
            Ok(Ok(())) => SessionError::Transient("status updates ended".to_owned()),
            Err(error) => match error.try_into_panic() {
                // As any task's: the daemon ends.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => SessionError::Transient("status updates ended".to_owned()),
            },
        }),
        ended = reading.run(&mut reader) => {
            if let Err(SessionError::Decoding(_)) = &ended {
                slot::show_retained(source, &control.client).await?;
            }
            return ended;
        }
        ended = watch.run() => {
            ended?;
            // The slot is lost: with its own words, and the gap.
            slot::compare_again(source, &control.client).await?;
            let reason = "the slot was lost while it was read".to_owned();
            return Err(SessionError::Transient(reason));
        }
        () = shown => {}
    }
    // What was read stays with the lanes until they have told what they settled; the
    // status updates go on until that is durable.
    stop.stream.cancelled().await;
    status_stop.cancel();
    if let Ok(Err(error)) = (&mut status.0).await {
        debug!(error = chain(&error), "failed to confirm the last position");
    }
    Ok(())
}

/// Shows what the status updates confirm, for as long as they go on.
async fn show_confirmed(mut confirmed: watch::Receiver<Lsn>, view: &View) {
    loop {
        let lsn = *confirmed.borrow_and_update();
        if !lsn.is_zero() {
            view.update(|shown| shown.confirmed = lsn);
        }
        if confirmed.changed().await.is_err() {
            // The status task says why, in the branch that waits for it.
            std::future::pending::<()>().await;
        }
    }
}

/// A task that ends with the session.
struct StatusTask(tokio::task::JoinHandle<Result<(), ReplicationError>>);

impl Drop for StatusTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The control connection may be dead while the stream is not.
pub(super) async fn within<T>(
    silence_max: Duration,
    asking: impl Future<Output = Result<T, SessionError>>,
) -> Result<T, SessionError> {
    match tokio::time::timeout(silence_max, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(SessionError::Transient(format!(
            "no answer on the control connection for {} s",
            silence_max.as_secs()
        ))),
    }
}

/// A third of `wal_sender_timeout`, when it is set.
async fn status_interval(client: &Client) -> Result<Option<Duration>, SessionError> {
    let timeout_ms = catalog::wal_sender_timeout_ms(client).await?;
    Ok(timeout_ms
        .filter(|ms| *ms > 0)
        .map(|ms| Duration::from_millis(ms / 3).max(Duration::from_millis(50))))
}

/// The loop over the stream.
struct Loop<'a> {
    reading: &'a mut Reading,
    stuck: &'a mut Option<Stuck>,
    client: &'a Client,
    silence_max: Duration,
    budget: &'a MemoryBudget,
    received: &'a AtomicU64,
    reply_now: &'a Notify,
    shared: &'a Shared,
}

/// What a frame leaves to be done, once it is no longer borrowed.
enum Then {
    Go,
    Describe(Announced),
    /// Types, and the message that is to be read once more.
    Reread(Vec<u32>, Vec<u8>),
    Ended,
}

impl Loop<'_> {
    async fn run(mut self, reader: &mut StreamReader) -> Result<(), SessionError> {
        loop {
            loop {
                let then = match reader.next_frame() {
                    Ok(None) => break,
                    Ok(Some(frame)) => self.frame(frame)?,
                    Err(ReplicationError::Server(error)) if is_poison(&error) => {
                        // What came before it is the lanes' already.
                        self.reading.flush()?;
                        return Err(SessionError::Decoding(error));
                    }
                    Err(error) => return Err(error.into()),
                };
                if self.stuck.is_some() {
                    let read_to = self.reading.history().read_to();
                    stuck::recover(self.stuck, read_to, self.shared);
                }
                match then {
                    Then::Go => {}
                    Then::Describe(announced) => {
                        within(self.silence_max, self.describe(announced)).await?;
                    }
                    Then::Reread(types, payload) => self.reread(types, &payload).await?,
                    Then::Ended => {
                        return Err(SessionError::Transient(
                            "the server ended the stream: it is shutting down".to_owned(),
                        ));
                    }
                }
                if self.reading.has_pending() {
                    self.make_room().await?;
                }
            }
            // All that the socket had is mapped: hand it over at once.
            self.reading.flush()?;
            let silent_until = Instant::now() + self.silence_max;
            match tokio::time::timeout_at(silent_until, reader.fill()).await {
                Ok(filled) => filled?,
                Err(_) => {
                    let seconds = self.silence_max.as_secs();
                    let reason = format!("nothing came from the server for {seconds} s");
                    return Err(SessionError::Transient(reason));
                }
            }
        }
    }

    fn frame(&mut self, frame: StreamFrame<'_>) -> Result<Then, SessionError> {
        match frame {
            StreamFrame::Copy(Frame::Data {
                wal_end, payload, ..
            }) => {
                self.received.fetch_max(wal_end.0, Ordering::Relaxed);
                match self.reading.message(payload)? {
                    Next::Go => Ok(Then::Go),
                    Next::Describe(announced) => Ok(Then::Describe(announced)),
                    Next::Reread(types) => Ok(Then::Reread(types, payload.to_vec())),
                }
            }
            StreamFrame::Copy(Frame::Keepalive { wal_end, reply, .. }) => {
                self.received.fetch_max(wal_end.0, Ordering::Relaxed);
                self.shared.view.update(|shown| shown.wal_end = wal_end);
                self.reading.keepalive(wal_end)?;
                if reply == Reply::Now {
                    self.reply_now.notify_one();
                }
                Ok(Then::Go)
            }
            StreamFrame::Notice(notice) => {
                info!(%notice, "notice of the server");
                Ok(Then::Go)
            }
            StreamFrame::Ended => Ok(Then::Ended),
        }
    }

    /// Takes room in memory for the events of the last message, waiting for the
    /// endpoints when there is none.
    async fn make_room(&mut self) -> Result<(), SessionError> {
        let bytes = self.reading.pending_bytes();
        if !self.budget.try_take(bytes) {
            // They can only make room by sending what was staged before.
            self.reading.flush()?;
            self.budget.take(bytes, self.reading.holders()).await;
        }
        self.reading.stage()?;
        Ok(())
    }

    /// The catalog says what the Relation message leaves out.
    async fn describe(&mut self, announced: Announced) -> Result<(), SessionError> {
        self.shown().await?;
        let facts = catalog::relation_facts(self.client, announced.relation.oid).await?;
        let types = if announced.unknown_types.is_empty() {
            Vec::new()
        } else {
            catalog::type_kinds(self.client, &announced.unknown_types).await?
        };
        let rekeyed = self
            .reading
            .bind(announced, &facts.key, &facts.roots, types);
        if let Some(known) = rekeyed {
            let from = catalog::server(self.client).await?.flush_lsn;
            self.reading.rekeyed(known, from);
        }
        Ok(())
    }

    /// What these types are made of may have changed: ALTER TYPE tells the stream nothing.
    /// A type is read once for a message, so this ends.
    async fn reread(&mut self, mut types: Vec<u32>, payload: &[u8]) -> Result<(), SessionError> {
        loop {
            within(self.silence_max, self.retype(&types)).await?;
            match self.reading.message(payload)? {
                Next::Reread(more) => types = more,
                Next::Go | Next::Describe(_) => return Ok(()),
            }
        }
    }

    async fn retype(&mut self, types: &[u32]) -> Result<(), SessionError> {
        let moment = self.shown().await?;
        let kinds = catalog::type_kinds(self.client, types).await?;
        self.reading.retype(types, kinds, moment.lsn);
        Ok(())
    }

    /// Waits until others see the transaction that is being read: what it has made is not
    /// in the catalog before. One that is held up by a synchronous standby is not waited
    /// for longer than that.
    async fn shown(&self) -> Result<Moment, SessionError> {
        // Relations and rows come inside of transactions alone.
        let xid = self.reading.half_read().map_or(0, |read| read.xid);
        let until = Instant::now() + SHOWN_WITHIN;
        loop {
            let moment = catalog::moment(self.client, xid).await?;
            if moment.shows || xid == 0 || Instant::now() > until {
                return Ok(moment);
            }
            tokio::time::sleep(SHOWN_POLL).await;
        }
    }
}
