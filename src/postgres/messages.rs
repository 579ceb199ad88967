//! Messages of a connection that does not stream: one at a time, in order.

use std::io;

use bytes::{Buf, BytesMut};
use postgres_protocol::message::backend::{Header, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::failure::{PgError, ReplicationError};
use super::socket::Transport;

/// No message outside of a stream is larger.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Messages {
    transport: Transport,
    buffer: BytesMut,
}

impl Messages {
    pub(super) fn new(transport: Transport) -> Self {
        Messages {
            transport,
            buffer: BytesMut::with_capacity(8 * 1024),
        }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.transport.is_encrypted()
    }

    pub(super) fn end_point(&self) -> Option<Vec<u8>> {
        self.transport.end_point()
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.transport.write_all(bytes).await?;
        self.transport.flush().await
    }

    pub(super) async fn next(&mut self) -> io::Result<Message> {
        loop {
            if let Some(message) = Message::parse(&mut self.buffer)? {
                return Ok(message);
            }
            self.fill().await?;
        }
    }

    /// Waits for CopyBothResponse, which the library's parser does not know, and takes
    /// it off the buffer.
    pub(super) async fn copy_both(&mut self) -> Result<(), ReplicationError> {
        const COPY_BOTH_RESPONSE: u8 = b'W';
        loop {
            let header = Header::parse(&self.buffer)?;
            // The tag, and a length that counts itself.
            let whole =
                header.and_then(|header| Some((header, usize::try_from(header.len()).ok()? + 1)));
            match whole {
                Some((header, length)) if self.buffer.len() >= length => {
                    if header.tag() == COPY_BOTH_RESPONSE {
                        self.buffer.advance(length);
                        return Ok(());
                    }
                    if let Some(Message::ErrorResponse(body)) = Message::parse(&mut self.buffer)? {
                        return Err(ReplicationError::Server(PgError::from_fields(
                            body.fields(),
                        )?));
                    }
                }
                _ => self.fill().await?,
            }
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.buffer.len() > MESSAGE_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a message of the server is too long",
            ));
        }
        self.buffer.reserve(8 * 1024);
        if self.transport.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// The transport, and what was read beyond the last message.
    pub(super) fn into_parts(self) -> (Transport, BytesMut) {
        (self.transport, self.buffer)
    }
}
