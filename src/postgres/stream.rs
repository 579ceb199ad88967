//! The stream: frames are split on the read buffer, in place.
//!
//! ```text
//! socket -> [d len w|k ...][d len w ...][d le     one buffer, kept
//!            ^ next_frame()                      ^ fill()
//! ```
//!
//! `fill` may be dropped at any point and loses nothing. A frame that is not whole
//! is never given out.
//!
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>

use std::time::Duration;

use bytes::{Buf, BytesMut};
use postgres_protocol::message::backend::Message;
use tokio::io::{AsyncReadExt, ReadHalf};

use super::failure::{PgError, ReplicationError};
use super::socket::Transport;
use super::status::StatusWriter;
use crate::pgoutput;

/// What the buffer is kept at. A larger frame makes it grow, until it is read.
const BUFFER_BYTES: usize = 256 * 1024;
/// Read at least so much at a time.
const READ_BYTES_MIN: usize = 64 * 1024;
/// Who reads so much at once, and all that was there, is quick enough for a while: see
/// [`StreamReader::fill`].
const BUSY_BYTES: usize = 16 * 1024;
const REST: Duration = Duration::from_millis(1);
/// Postgres cannot send more: a message is built in one allocation of at most 1 GiB.
const FRAME_BYTES_MAX: usize = 1 << 30;
/// Tag and length.
const HEADER_BYTES: usize = 5;

/// What the server sent next.
#[derive(Debug)]
pub enum StreamFrame<'a> {
    /// XLogData or a keepalive.
    Copy(pgoutput::Frame<'a>),
    /// Data, not an error: 18 says in a notice that it skips rows.
    Notice(PgError),
    /// The server has ended the stream.
    Ended,
}

/// Splits whole frames off the bytes of a stream. Pure.
#[derive(Debug)]
pub struct FrameBuffer {
    buffer: BytesMut,
    /// Bytes at the front that were given out by the last [`FrameBuffer::next_frame`].
    given: usize,
}

impl FrameBuffer {
    pub fn new(read: BytesMut) -> Self {
        FrameBuffer {
            buffer: read,
            given: 0,
        }
    }

    /// Bytes as they came.
    #[cfg(fuzzing)]
    pub fn push(&mut self, read: &[u8]) {
        self.forget_given();
        self.buffer.extend_from_slice(read);
    }

    /// The next whole frame; `None` until more bytes have come.
    pub fn next_frame(&mut self) -> Result<Option<StreamFrame<'_>>, ReplicationError> {
        loop {
            self.forget_given();
            let Some((tag, length)) = self.header()? else {
                return Ok(None);
            };
            if self.buffer.len() < length {
                return Ok(None);
            }
            self.given = length;
            match tag {
                b'd' => {
                    let content = self.buffer.get(HEADER_BYTES..length).unwrap_or_default();
                    return Ok(Some(StreamFrame::Copy(pgoutput::Frame::parse(content)?)));
                }
                b'N' => return Ok(Some(StreamFrame::Notice(self.error_fields()?))),
                b'E' => return Err(ReplicationError::Server(self.error_fields()?)),
                // CopyDone, CommandComplete.
                b'c' | b'C' => return Ok(Some(StreamFrame::Ended)),
                // ParameterStatus after a reload of the server's configuration.
                b'S' => {}
                other => return Err(ReplicationError::Unexpected(other)),
            }
        }
    }

    /// How many bytes are missing of the frame at the front.
    fn missing(&self) -> Result<usize, ReplicationError> {
        Ok(match self.header()? {
            Some((_, length)) => (length + self.given).saturating_sub(self.buffer.len()),
            None => 0,
        })
    }

    fn forget_given(&mut self) {
        self.buffer.advance(self.given.min(self.buffer.len()));
        self.given = 0;
    }

    /// Tag and whole length of the frame that stands behind what was given out.
    fn header(&self) -> Result<Option<(u8, usize)>, ReplicationError> {
        let front = self.buffer.get(self.given..).unwrap_or_default();
        let Some((header, _)) = front.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [tag, a, b, c, d] = *header;
        // The length counts itself, the tag not.
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if !(4..=FRAME_BYTES_MAX).contains(&length) {
            return Err(ReplicationError::Io(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                format!("a frame says that it is {length} bytes long"),
            )));
        }
        Ok(Some((tag, length + 1)))
    }

    fn error_fields(&self) -> Result<PgError, ReplicationError> {
        let mut whole = BytesMut::from(self.buffer.get(..self.given).unwrap_or_default());
        match Message::parse(&mut whole)? {
            Some(Message::ErrorResponse(body)) => Ok(PgError::from_fields(body.fields())?),
            Some(Message::NoticeResponse(body)) => Ok(PgError::from_fields(body.fields())?),
            _ => Err(ReplicationError::Unexpected(b'E')),
        }
    }
}

/// The half of a stream that reads.
#[derive(Debug)]
pub struct StreamReader {
    socket: ReadHalf<Transport>,
    frames: FrameBuffer,
    /// TLS gives a record at a time, so that a short read leaves more behind. A unix socket
    /// takes about 280 rows until the walsender waits, which is less than come in a moment.
    may_rest: bool,
    /// The last read took all that was there, and it was much.
    rests: bool,
}

/// Divides a connection that has begun to stream; `read` came behind the reply to START.
pub(super) fn split(transport: Transport, read: BytesMut) -> (StreamReader, StatusWriter) {
    let may_rest = matches!(transport, Transport::Tcp(_));
    let (socket, writer) = tokio::io::split(transport);
    let reader = StreamReader {
        socket,
        frames: FrameBuffer::new(read),
        may_rest,
        rests: false,
    };
    (reader, StatusWriter::new(writer))
}

impl StreamReader {
    /// The next whole frame that was read; `None`: [`StreamReader::fill`] first.
    pub fn next_frame(&mut self) -> Result<Option<StreamFrame<'_>>, ReplicationError> {
        self.frames.next_frame()
    }

    /// Waits for more bytes.
    ///
    /// The walsender makes a system call a row, and a reader that sleeps on the socket makes
    /// it wake that reader as often. So while much comes the reader does not wait for the
    /// first byte but for a moment, in which the walsender decodes and nobody is woken. Rows
    /// that come one by one are read at once.
    pub async fn fill(&mut self) -> Result<(), ReplicationError> {
        self.frames.forget_given();
        let missing = self.frames.missing()?;
        let buffer = &mut self.frames.buffer;
        if buffer.is_empty() && buffer.capacity() > 4 * BUFFER_BYTES {
            // A large frame has been read: its memory goes back.
            *buffer = BytesMut::with_capacity(BUFFER_BYTES);
        }
        if buffer.capacity() - buffer.len() < missing.max(READ_BYTES_MIN) {
            buffer.reserve(missing.max(BUFFER_BYTES - buffer.len().min(BUFFER_BYTES / 2)));
        }
        if self.rests {
            tokio::time::sleep(REST).await;
        }
        let room = buffer.capacity() - buffer.len();
        let read = self.socket.read_buf(buffer).await?;
        if read == 0 {
            return Err(ReplicationError::Closed);
        }
        self.rests = self.may_rest && (BUSY_BYTES..room).contains(&read);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;
    use crate::pgoutput::tests::{STRETCH, stretch};

    fn frame(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut frame = vec![tag];
        frame.extend((content.len() as u32 + 4).to_be_bytes());
        frame.extend(content);
        frame
    }

    fn data(payload: &[u8]) -> Vec<u8> {
        let mut content = vec![b'w'];
        content.extend([0; 24]);
        content.extend(payload);
        frame(b'd', &content)
    }

    fn keepalive(wal_end: u64) -> Vec<u8> {
        let mut content = vec![b'k'];
        content.extend(wal_end.to_be_bytes());
        content.extend([0; 8]);
        content.push(1);
        frame(b'd', &content)
    }

    /// What a stream of these bytes gives out, as text.
    fn read_in(chunks: &[&[u8]]) -> Result<Vec<String>, ReplicationError> {
        let mut frames = FrameBuffer::new(BytesMut::new());
        let mut seen = Vec::new();
        for chunk in chunks {
            push(&mut frames, chunk);
            while let Some(frame) = frames.next_frame()? {
                seen.push(match frame {
                    StreamFrame::Copy(pgoutput::Frame::Data { payload, .. }) => {
                        String::from_utf8_lossy(payload).into_owned()
                    }
                    StreamFrame::Copy(pgoutput::Frame::Keepalive { wal_end, .. }) => {
                        format!("keepalive {wal_end}")
                    }
                    StreamFrame::Notice(notice) => format!("notice {}", notice.code),
                    StreamFrame::Ended => "ended".to_owned(),
                });
            }
        }
        Ok(seen)
    }

    fn stream() -> (Vec<u8>, Vec<String>) {
        let mut bytes = data(b"one");
        bytes.extend(frame(b'S', b"TimeZone\0UTC\0"));
        bytes.extend(keepalive(0x10));
        bytes.extend(frame(b'N', b"SWARNING\0VWARNING\0C01000\0Mskipped\0\0"));
        bytes.extend(data(b""));
        bytes.extend(frame(b'c', b""));
        let seen = ["one", "keepalive 0/10", "notice 01000", "", "ended"];
        (bytes, seen.map(str::to_owned).to_vec())
    }

    #[test]
    fn frames_are_the_same_wherever_the_stream_is_cut() {
        let (bytes, seen) = stream();
        for cut in 0..=bytes.len() {
            let (a, b) = bytes.split_at(cut);
            assert_eq!(read_in(&[a, b]).unwrap(), seen, "cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read_in(&single).unwrap(), seen);
    }

    /// The messages that a reader of the frames takes.
    fn steps_in(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut frames = FrameBuffer::new(BytesMut::new());
        let mut reader = pgoutput::Reader::new();
        let mut seen = Vec::new();
        for chunk in chunks {
            push(&mut frames, chunk);
            while let Some(frame) = frames.next_frame().unwrap() {
                let StreamFrame::Copy(pgoutput::Frame::Data { payload, .. }) = frame else {
                    continue;
                };
                let step = reader.step(pgoutput::decode(payload).unwrap()).unwrap();
                seen.push(payload.to_vec());
                if let pgoutput::Step::Relation(header) = step {
                    let relation = header.into_relation(vec![0]);
                    reader.bind(relation);
                }
            }
        }
        seen
    }

    fn push(frames: &mut FrameBuffer, bytes: &[u8]) {
        frames.forget_given();
        frames.buffer.extend_from_slice(bytes);
    }

    /// The next frame is `expected`, a whole CopyData, and so is the message in it.
    #[track_caller]
    fn assert_next(frames: &mut FrameBuffer, expected: &[u8], cut: usize) {
        let Some(StreamFrame::Copy(found)) = frames.next_frame().unwrap() else {
            panic!("no frame behind a cut at {cut}");
        };
        let expected = pgoutput::Frame::parse(&expected[HEADER_BYTES..]).unwrap();
        assert!(found == expected, "cut at {cut}");
        if let (
            pgoutput::Frame::Data { payload: found, .. },
            pgoutput::Frame::Data { payload, .. },
        ) = (found, expected)
        {
            let (found, message) = (pgoutput::decode(found), pgoutput::decode(payload));
            assert!(found.unwrap() == message.unwrap(), "cut at {cut}");
        }
    }

    /// Between frames the buffer is as it was before: so each frame is cut at each of its
    /// bytes, with the next one behind it, and not the whole stretch so many times.
    #[test]
    fn a_recorded_stretch_reads_the_same_wherever_it_is_cut() {
        let stretch = stretch();
        let mut frames = FrameBuffer::new(BytesMut::new());
        let mut offset = 0;
        for (at, frame) in stretch.iter().enumerate() {
            for cut in 0..frame.len() {
                let (before, after) = frame.split_at(cut);
                push(&mut frames, before);
                // Cut off for good: nothing of it is given out.
                assert!(frames.next_frame().unwrap().is_none(), "{}", offset + cut);
                let next = stretch.get(at + 1).copied().unwrap_or_default();
                push(&mut frames, &[after, next].concat());
                assert_next(&mut frames, frame, offset + cut);
                if !next.is_empty() {
                    assert_next(&mut frames, next, offset + cut);
                }
                assert!(frames.next_frame().unwrap().is_none());
                assert!(frames.buffer.is_empty(), "{}", offset + cut);
            }
            offset += frame.len();
        }
        assert_eq!(offset, STRETCH.len());
    }

    /// As above to the letter, at some of the offsets.
    #[test]
    fn a_recorded_stretch_is_read_in_two_parts_as_in_one() {
        let whole = steps_in(&[STRETCH]);
        assert!(whole.len() > 400, "{}", whole.len());
        for cut in (0..=STRETCH.len()).step_by(641) {
            let (before, after) = STRETCH.split_at(cut);
            let begun = steps_in(&[before]);
            assert!(whole.starts_with(&begun), "cut off at {cut}");
            assert!(steps_in(&[before, after]) == whole, "cut at {cut}");
        }
        let single: Vec<&[u8]> = STRETCH.chunks(1).collect();
        assert!(steps_in(&single) == whole);
    }

    #[test]
    fn a_frame_that_is_not_whole_is_not_given_out() {
        let bytes = data(b"one");
        for cut in 0..bytes.len() {
            assert!(read_in(&[&bytes[..cut]]).unwrap().is_empty());
        }
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        assert!(matches!(
            read_in(&[b"Hello world"]),
            Err(ReplicationError::Io(_) | ReplicationError::Unexpected(_))
        ));
        assert!(matches!(
            read_in(&[&[b'd', 0, 0, 0, 3]]),
            Err(ReplicationError::Io(_))
        ));
        assert!(matches!(
            read_in(&[&frame(b'd', b"x")]),
            Err(ReplicationError::Frame(_))
        ));
        let error = frame(b'E', b"SERROR\0VERROR\0C57P01\0Mbye\0\0");
        assert!(
            matches!(read_in(&[&error]), Err(ReplicationError::Server(error)) if error.code == "57P01")
        );
        assert_eq!(Lsn::ZERO, Lsn(0));
    }
}
