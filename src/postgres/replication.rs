//! The replication connection until it streams: plain commands of the simple query
//! protocol.
//!
//! <https://www.postgresql.org/docs/current/protocol-replication.html>

use std::io;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use super::catalog::quote;
use super::connect::NO_TRANSACTION_TIMEOUT;
use super::failure::{PgError, ReplicationError};
use super::messages::Messages;
use super::status::StatusWriter;
use super::stream::{self, StreamReader};
use crate::failpoint;
use crate::lsn::Lsn;

/// Logged in with `replication=database`, not streaming yet.
#[derive(Debug)]
pub struct ReplicationConnection {
    messages: Messages,
}

/// What IDENTIFY_SYSTEM says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    pub system_identifier: u64,
    pub timeline: u32,
    /// End of flushed WAL.
    pub flush: Lsn,
}

/// A row of text values.
type Row = Vec<Option<String>>;

impl ReplicationConnection {
    pub(super) fn new(messages: Messages) -> Self {
        ReplicationConnection { messages }
    }

    /// Runs one command and returns its rows.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Row>, ReplicationError> {
        self.send(sql).await?;
        let mut rows = Vec::new();
        let mut failed = None;
        loop {
            match self.messages.next().await? {
                Message::DataRow(body) => {
                    let buffer = body.buffer();
                    let row = body
                        .ranges()
                        .map(|range| {
                            Ok(range
                                .and_then(|range| buffer.get(range))
                                .map(|value| String::from_utf8_lossy(value).into_owned()))
                        })
                        .collect()?;
                    rows.push(row);
                }
                Message::ErrorResponse(body) => failed = Some(PgError::from_fields(body.fields())?),
                Message::ReadyForQuery(_) => {
                    return match failed {
                        Some(error) => Err(ReplicationError::Server(error)),
                        None => Ok(rows),
                    };
                }
                _ => {}
            }
        }
    }

    async fn send(&mut self, sql: &str) -> Result<(), ReplicationError> {
        let mut query = BytesMut::new();
        frontend::query(sql, &mut query)?;
        Ok(self.messages.send(&query).await?)
    }

    pub async fn identify_system(&mut self) -> Result<System, ReplicationError> {
        let rows = self.query("IDENTIFY_SYSTEM").await?;
        let column = |index: usize| rows.first().and_then(|row| row.get(index)?.as_deref());
        let system = || {
            Some(System {
                system_identifier: column(0)?.parse().ok()?,
                timeline: column(1)?.parse().ok()?,
                flush: column(2)?.parse().ok()?,
            })
        };
        system().ok_or_else(|| malformed("IDENTIFY_SYSTEM"))
    }

    /// The history file of a timeline, which the server may have lost.
    pub async fn timeline_history(&mut self, timeline: u32) -> Result<String, ReplicationError> {
        let rows = self.query(&format!("TIMELINE_HISTORY {timeline}")).await?;
        rows.into_iter()
            .next()
            .and_then(|row| row.into_iter().nth(1)?)
            .ok_or_else(|| malformed("TIMELINE_HISTORY"))
    }

    /// Lets rows of a database in SQL_ASCII through as the bytes that they are.
    pub async fn read_bytes_as_they_are(&mut self) -> Result<(), ReplicationError> {
        self.query("SET client_encoding = 'SQL_ASCII'").await?;
        Ok(())
    }

    /// Creates the slot. Waits for every write transaction that is open.
    pub async fn create_slot(&mut self, slot: &str) -> Result<Lsn, ReplicationError> {
        let slot = quote::identifier(slot);
        // This spelling is understood from 10 on.
        let command = format!("CREATE_REPLICATION_SLOT {slot} LOGICAL pgoutput NOEXPORT_SNAPSHOT");
        failpoint::before("slot creation").map_err(io::Error::other)?;
        let rows = self.query(&command).await?;
        failpoint::after("slot creation").map_err(io::Error::other)?;
        rows.first()
            .and_then(|row| row.get(1)?.as_deref()?.parse().ok())
            .ok_or_else(|| malformed("CREATE_REPLICATION_SLOT"))
    }

    /// Starts to stream at `from`; `0/0` is the slot's own position.
    pub async fn start(
        mut self,
        slot: &str,
        publications: &[String],
        from: Lsn,
    ) -> Result<(StreamReader, StatusWriter), ReplicationError> {
        self.query(NO_TRANSACTION_TIMEOUT).await?;
        let names: Vec<String> = publications
            .iter()
            .map(|name| quote::identifier(name))
            .collect();
        let command = format!(
            "START_REPLICATION SLOT {} LOGICAL {from} (proto_version '1', publication_names {}, messages 'true')",
            quote::identifier(slot),
            plain_literal(&names.join(",")),
        );
        self.send(&command).await?;
        self.messages.copy_both().await?;
        let (transport, read) = self.messages.into_parts();
        Ok(stream::split(transport, read))
    }
}

/// The replication grammar knows no `E''` strings; a quote is doubled.
fn plain_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn malformed(command: &str) -> ReplicationError {
    ReplicationError::Io(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the answer to {command} has another form than PostgreSQL's"),
    ))
}
