//! What a receiver does with a request: answers it, or one of many ways not to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

#[derive(Clone, Debug)]
pub enum Answer {
    /// 200 with a short body.
    Accept,
    /// Any status, these headers, this body.
    Status(u16, Vec<(&'static str, String)>, String),
    /// Another answer, later.
    After(Duration, Box<Answer>),
    /// Another answer, once the test cancels the token.
    Held(CancellationToken, Box<Answer>),
    /// Does the work, then the connection is closed without an answer.
    WorkThenClose,
    /// The connection is reset without an answer.
    Reset,
    /// Half of the head of a 200, then a reset.
    ResetInHead,
    /// Never answers; holds the connection until the sender leaves.
    Hang,
    /// The head of a 200 byte by byte, with this pause between, for ever.
    DripHead(Duration),
    /// A 200 whose body comes byte by byte, with this pause between, for ever.
    DripBody(Duration),
    /// This status with a chunked body of 10 GB, as fast as it is read.
    Endless(u16),
    /// `100 Continue` for ever.
    EndlessInterim,
    /// A 200 with this many bytes of headers.
    HugeHead(usize),
    /// These bytes in place of HTTP, then the end.
    Garbage(&'static [u8]),
    /// These bytes, which begin as a 2xx does, then the end.
    Taken(Vec<u8>),
    /// These bytes, which are another answer or none, then the end.
    Refused(Vec<u8>),
    /// 200, keeps the connection, and closes it while it is idle.
    AcceptThenClose,
    /// 200 with a `content-length` of more than comes.
    ShortBody,
}

/// Whether another request may follow on the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    Open,
    Closed,
}

/// An answer in its own bytes, of a receiver that takes the event.
pub fn raw(bytes: &[u8]) -> Answer {
    Answer::Taken(bytes.to_vec())
}

impl Answer {
    pub fn status(status: u16) -> Answer {
        Answer::Status(status, Vec::new(), String::new())
    }

    pub fn status_with(status: u16, name: &'static str, value: &str) -> Answer {
        Answer::Status(status, vec![(name, value.to_owned())], String::new())
    }

    /// The sender reads a 2xx: what it sent counts as delivered.
    pub fn accepts(&self) -> bool {
        match self {
            // The status line alone decides, whatever becomes of the body.
            Answer::Accept
            | Answer::AcceptThenClose
            | Answer::DripBody(_)
            | Answer::ShortBody
            | Answer::Taken(_) => true,
            Answer::Status(status, ..) | Answer::Endless(status) => (200..300).contains(status),
            Answer::After(_, answer) | Answer::Held(_, answer) => answer.accepts(),
            Answer::WorkThenClose
            | Answer::Reset
            | Answer::ResetInHead
            | Answer::Hang
            | Answer::DripHead(_)
            | Answer::EndlessInterim
            | Answer::HugeHead(_)
            | Answer::Garbage(_)
            | Answer::Refused(_) => false,
        }
    }

    /// Counts the bytes of an endless body in `sent`.
    pub async fn give(
        self,
        stream: &mut TcpStream,
        sent: &AtomicU64,
    ) -> std::io::Result<Connection> {
        let mut answer = self;
        loop {
            match answer {
                Answer::After(pause, then) => {
                    tokio::time::sleep(pause).await;
                    answer = *then;
                }
                Answer::Held(until, then) => {
                    until.cancelled().await;
                    answer = *then;
                }
                now => return now.give_now(stream, sent).await,
            }
        }
    }

    async fn give_now(
        self,
        stream: &mut TcpStream,
        sent: &AtomicU64,
    ) -> std::io::Result<Connection> {
        match self {
            Answer::Accept => write(stream, 200, &[], "ok").await?,
            Answer::Status(status, headers, body) => {
                write(stream, status, &headers, &body).await?;
            }
            Answer::AcceptThenClose => {
                write(stream, 200, &[], "ok").await?;
                return Ok(Connection::Closed);
            }
            Answer::WorkThenClose | Answer::After(..) | Answer::Held(..) => {
                return Ok(Connection::Closed);
            }
            Answer::Reset => return reset(stream),
            Answer::ResetInHead => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le").await?;
                return reset(stream);
            }
            Answer::Hang => {
                stream.read_to_end(&mut Vec::new()).await?;
                return Ok(Connection::Closed);
            }
            Answer::DripHead(pause) => {
                drip(stream, b"HTTP/1.1 200 OK\r\nx: ", pause).await?;
            }
            Answer::DripBody(pause) => {
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
                stream.write_all(head).await?;
                drip(stream, b"", pause).await?;
            }
            Answer::Endless(status) => endless(stream, status, sent).await?,
            Answer::EndlessInterim => loop {
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            },
            Answer::HugeHead(bytes) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
                for number in 0..bytes / 1024 {
                    let line = format!("x-{number}: {}\r\n", "h".repeat(1000));
                    stream.write_all(line.as_bytes()).await?;
                }
                stream.write_all(b"content-length: 0\r\n\r\n").await?;
            }
            Answer::Garbage(bytes) => {
                stream.write_all(bytes).await?;
                stream.shutdown().await?;
                return Ok(Connection::Closed);
            }
            Answer::Taken(bytes) | Answer::Refused(bytes) => {
                stream.write_all(&bytes).await?;
                stream.shutdown().await?;
                return Ok(Connection::Closed);
            }
            Answer::ShortBody => {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort";
                stream.write_all(answer).await?;
                return Ok(Connection::Closed);
            }
        }
        Ok(Connection::Open)
    }
}

async fn write(
    stream: &mut TcpStream,
    status: u16,
    headers: &[(&str, String)],
    body: &str,
) -> std::io::Result<()> {
    let mut answer = format!("HTTP/1.1 {status} Answer\r\n");
    for (name, value) in headers {
        answer.push_str(&format!("{name}: {value}\r\n"));
    }
    // 204 and 304 have no body and no length.
    if status != 204 && status != 304 {
        answer.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    answer.push_str("\r\n");
    answer.push_str(body);
    stream.write_all(answer.as_bytes()).await
}

fn reset(stream: &TcpStream) -> std::io::Result<Connection> {
    // A close with a linger time of 0 is a RST.
    SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
    Ok(Connection::Closed)
}

async fn drip(stream: &mut TcpStream, first: &[u8], pause: Duration) -> std::io::Result<()> {
    for byte in first.iter().copied().chain(std::iter::repeat(b'a')) {
        stream.write_all(&[byte]).await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

async fn endless(stream: &mut TcpStream, status: u16, sent: &AtomicU64) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status} Answer\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut chunk = b"100000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x10_0000, b'a');
    chunk.extend_from_slice(b"\r\n");
    for _ in 0..10_240 {
        stream.write_all(&chunk).await?;
        sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
    }
    stream.write_all(b"0\r\n\r\n").await
}
