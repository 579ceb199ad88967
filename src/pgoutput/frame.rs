//! The frames inside CopyData while a slot is streamed, and the one that we send.
//!
//! <https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-START-REPLICATION>

use super::error::{DecodeError, Malformed};
use super::wire::Wire;
use crate::lsn::Lsn;

/// What the walsender puts into one CopyData. Clocks are the server's, in
/// microseconds since 2000-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// `w`: one pgoutput message. `wal_start` says nothing about progress: it is
    /// not monotonic, and zero for Relation and Type.
    Data {
        wal_start: Lsn,
        wal_end: Lsn,
        clock_us: i64,
        payload: &'a [u8],
    },
    /// `k`: keepalive. Up to `wal_end` everything that is ours has been sent.
    Keepalive {
        wal_end: Lsn,
        clock_us: i64,
        reply: Reply,
    },
}

/// Whether the one who gets the frame should answer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    NotNeeded,
    Now,
}

impl<'a> Frame<'a> {
    /// Reads the content of one CopyData.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut wire = Wire::new(bytes);
        if bytes.is_empty() {
            return Err(wire.malformed(Malformed::Empty));
        }
        match wire.u8()? {
            b'w' => Ok(Frame::Data {
                wal_start: wire.lsn()?,
                wal_end: wire.lsn()?,
                clock_us: wire.i64()?,
                payload: wire.rest(),
            }),
            b'k' => {
                let frame = Frame::Keepalive {
                    wal_end: wire.lsn()?,
                    clock_us: wire.i64()?,
                    reply: match wire.u8()? {
                        0 => Reply::NotNeeded,
                        _ => Reply::Now,
                    },
                };
                wire.end()?;
                Ok(frame)
            }
            _ => Err(wire.malformed_before(Malformed::UnknownTag, 1)),
        }
    }
}

/// The content of the CopyData that tells the server our positions (`r`). Only
/// `flush` moves the slot; 0/0 means "nothing". `clock_us` is ours, in
/// microseconds since 2000-01-01 UTC.
pub fn status_update(write: Lsn, flush: Lsn, apply: Lsn, clock_us: i64, reply: Reply) -> [u8; 34] {
    let mut frame = [0; 34];
    let fields = [
        write.0.to_be_bytes(),
        flush.0.to_be_bytes(),
        apply.0.to_be_bytes(),
        clock_us.to_be_bytes(),
    ];
    let [tag, body @ .., answer] = &mut frame;
    *tag = b'r';
    for (place, field) in body.chunks_exact_mut(8).zip(fields) {
        place.copy_from_slice(&field);
    }
    *answer = match reply {
        Reply::NotNeeded => 0,
        Reply::Now => 1,
    };
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_and_keepalive_are_told_apart() {
        let mut data = b"w".to_vec();
        data.extend(1u64.to_be_bytes());
        data.extend(2u64.to_be_bytes());
        data.extend((-3i64).to_be_bytes());
        data.extend(b"payload");
        assert_eq!(
            Frame::parse(&data),
            Ok(Frame::Data {
                wal_start: Lsn(1),
                wal_end: Lsn(2),
                clock_us: -3,
                payload: b"payload",
            })
        );
        let mut keepalive = b"k".to_vec();
        keepalive.extend(2u64.to_be_bytes());
        keepalive.extend(3u64.to_be_bytes());
        keepalive.push(1);
        assert_eq!(
            Frame::parse(&keepalive),
            Ok(Frame::Keepalive {
                wal_end: Lsn(2),
                clock_us: 3,
                reply: Reply::Now,
            })
        );
        for length in 0..25 {
            assert!(Frame::parse(&data[..length]).is_err(), "{length}");
        }
        for length in 0..keepalive.len() {
            assert!(Frame::parse(&keepalive[..length]).is_err(), "{length}");
        }
        keepalive.push(0);
        assert_eq!(
            Frame::parse(&keepalive).unwrap_err().to_string(),
            "malformed message \"k\" at byte 18: 1 bytes left over"
        );
        assert!(Frame::parse(b"x").is_err());
    }

    #[test]
    fn a_status_update_has_its_fields_in_order() {
        let frame = status_update(Lsn(1), Lsn(2), Lsn(3), 4, Reply::Now);
        let mut expected = b"r".to_vec();
        for field in [1u64, 2, 3, 4] {
            expected.extend(field.to_be_bytes());
        }
        expected.push(1);
        assert_eq!(frame.as_slice(), expected);
    }
}
