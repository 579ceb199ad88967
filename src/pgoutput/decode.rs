//! From bytes to a [`Message`]: every read is checked, row messages allocate nothing.

use std::borrow::Cow;

use super::error::{DecodeError, Malformed};
use super::message::{Columns, Message, Oids, RelationHeader};
use super::wire::Wire;
use crate::change::{OldTuple, ReplicaIdentity, Tuple};

/// Reads one pgoutput message of protocol version 1, the payload of one XLogData.
///
/// Tuples and columns are checked to their end, so that their iterators never
/// end early. Anything else than exactly one well-formed message is an error.
///
/// <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    let mut wire = Wire::new(bytes);
    if bytes.is_empty() {
        return Err(wire.malformed(Malformed::Empty));
    }
    let message = match wire.u8()? {
        b'I' => Message::Insert {
            relation: wire.u32()?,
            new: new_tuple(&mut wire)?,
        },
        b'U' => update(&mut wire)?,
        b'D' => Message::Delete {
            relation: wire.u32()?,
            old: old_tuple(&mut wire)?,
        },
        b'B' => Message::Begin {
            final_lsn: wire.lsn()?,
            commit_time_us: wire.i64()?,
            xid: wire.u32()?,
        },
        b'C' => commit(&mut wire)?,
        b'O' => Message::Origin {
            commit_lsn: wire.lsn()?,
            name: wire.name()?,
        },
        b'R' => Message::Relation(relation(&mut wire)?),
        b'Y' => Message::Type {
            oid: wire.u32()?,
            schema: schema(&mut wire)?,
            name: wire.name()?,
        },
        b'T' => truncate(&mut wire)?,
        b'M' => Message::Logical {
            transactional: wire.u8()? & 1 != 0,
            lsn: wire.lsn()?,
            prefix: wire.name()?,
            content: wire.sized()?,
        },
        _ => return Err(wire.malformed_before(Malformed::UnknownTag, 1)),
    };
    wire.end()?;
    Ok(message)
}

fn update<'a>(wire: &mut Wire<'a>) -> Result<Message<'a>, DecodeError> {
    let relation = wire.u32()?;
    let old = match wire.rest().first() {
        Some(b'N') => None,
        _ => Some(old_tuple(wire)?),
    };
    let new = new_tuple(wire)?;
    Ok(Message::Update { relation, old, new })
}

fn new_tuple<'a>(wire: &mut Wire<'a>) -> Result<Tuple<'a>, DecodeError> {
    match wire.u8()? {
        b'N' => tuple(wire),
        _ => Err(wire.malformed_before(Malformed::UnknownTupleKind, 1)),
    }
}

fn old_tuple<'a>(wire: &mut Wire<'a>) -> Result<OldTuple<'a>, DecodeError> {
    match wire.u8()? {
        b'K' => tuple(wire).map(OldTuple::Key),
        b'O' => tuple(wire).map(OldTuple::Full),
        _ => Err(wire.malformed_before(Malformed::UnknownTupleKind, 1)),
    }
}

/// TupleData: a count, then the values.
fn tuple<'a>(wire: &mut Wire<'a>) -> Result<Tuple<'a>, DecodeError> {
    let columns = wire.count()?;
    let values = wire.rest();
    for _ in 0..columns {
        match wire.u8()? {
            b't' => {
                wire.sized()?;
            }
            b'n' | b'u' => {}
            b'b' => return Err(wire.malformed_before(Malformed::BinaryValue, 1)),
            _ => return Err(wire.malformed_before(Malformed::UnknownValueKind, 1)),
        }
    }
    Ok(Tuple::new(columns, read_since(values, wire)))
}

/// The part of `before`, what was once left to read, that has been read since.
fn read_since<'a>(before: &'a [u8], wire: &Wire<'a>) -> &'a [u8] {
    let length = before.len().saturating_sub(wire.rest().len());
    before.get(..length).unwrap_or_default()
}

fn commit<'a>(wire: &mut Wire<'a>) -> Result<Message<'a>, DecodeError> {
    match wire.u8()? {
        0 => Ok(Message::Commit {
            commit_lsn: wire.lsn()?,
            end_lsn: wire.lsn()?,
            commit_time_us: wire.i64()?,
        }),
        flags => Err(wire.malformed_before(Malformed::UnknownFlags(flags), 1)),
    }
}

fn relation<'a>(wire: &mut Wire<'a>) -> Result<RelationHeader<'a>, DecodeError> {
    let oid = wire.u32()?;
    let schema = schema(wire)?;
    let name = wire.name()?;
    let identity = match wire.u8()? {
        b'd' => ReplicaIdentity::Default,
        b'n' => ReplicaIdentity::Nothing,
        b'f' => ReplicaIdentity::Full,
        b'i' => ReplicaIdentity::Index,
        _ => return Err(wire.malformed_before(Malformed::UnknownIdentity, 1)),
    };
    let left = wire.count()?;
    let columns = wire.rest();
    for _ in 0..left {
        wire.u8()?;
        wire.name()?;
        wire.u32()?;
        wire.i32()?;
    }
    let bytes = read_since(columns, wire);
    Ok(RelationHeader {
        oid,
        schema,
        name,
        identity,
        columns: Columns { left, bytes },
    })
}

fn schema<'a>(wire: &mut Wire<'a>) -> Result<Cow<'a, str>, DecodeError> {
    let name = wire.name()?;
    Ok(if name.is_empty() {
        Cow::Borrowed("pg_catalog")
    } else {
        name
    })
}

fn truncate<'a>(wire: &mut Wire<'a>) -> Result<Message<'a>, DecodeError> {
    let count = wire.i32()?;
    let Some(length) = usize::try_from(count).ok().and_then(|n| n.checked_mul(4)) else {
        return Err(wire.malformed_before(Malformed::NegativeCount(count), 4));
    };
    let flags = wire.u8()?;
    if flags & !3 != 0 {
        return Err(wire.malformed_before(Malformed::UnknownFlags(flags), 1));
    }
    Ok(Message::Truncate {
        cascade: flags & 1 != 0,
        restart_identity: flags & 2 != 0,
        relations: Oids {
            bytes: wire.bytes(length)?,
        },
    })
}
