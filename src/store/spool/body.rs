//! The blob of a run.
//!
//! ```text
//! blob   = 1 (version), entry*
//! entry  = flags, id (16 bytes), lsn (8), ordinal (8), n (4)
//!          an event further: commit time (8), hashes of keys (0, 8 or 16),
//!                            type (length 4, text) unless it is that of the event before,
//!                            body (length 4, bytes)
//! flags  = bit 0 marker, bit 1 last of change, bits 2-3 number of key hashes,
//!          bits 4-5 operation, bit 6 type as before, bit 7 to be a dead letter: a byte
//!          behind the flags' head says why
//! ```
//!
//! Numbers are big-endian. The table is in the run's row, not here.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::run::{Entry, Marker};
use crate::change::{Operation, TableName};
use crate::event::{EventId, Fate, Keys, Position, Unsent};
use crate::lsn::Lsn;
use crate::store::stored_event::{StoredEvent, keys_to_bytes};

const VERSION: u8 = 1;
const MARKER: u8 = 1;
const LAST_OF_CHANGE: u8 = 1 << 1;
const KEYS_SHIFT: u8 = 2;
const OPERATION_SHIFT: u8 = 4;
const SAME_TYPE: u8 = 1 << 6;
const DEAD_LETTER: u8 = 1 << 7;

pub fn encode(entries: &[Entry]) -> Vec<u8> {
    let bytes: u64 = entries.iter().map(|entry| entry.bytes() + 96).sum();
    let mut blob = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
    blob.push(VERSION);
    let mut type_before: Option<&str> = None;
    for entry in entries {
        match entry {
            Entry::Marker(marker) => {
                let flags = MARKER | last_flag(marker.last_of_change);
                put_head(&mut blob, flags, marker.id, marker.position);
            }
            Entry::Event(event) => {
                put_event(&mut blob, event, type_before);
                type_before = Some(&event.event_type);
            }
        }
    }
    blob
}

fn put_event(blob: &mut Vec<u8>, event: &StoredEvent, type_before: Option<&str>) {
    let same_type = type_before == Some(&*event.event_type);
    let keys = keys_to_bytes(event.keys);
    let operation = match event.operation {
        // What is of messages has no other operation.
        Operation::Insert | Operation::Message => 0,
        Operation::Update => 1,
        Operation::Delete => 2,
        Operation::Truncate => 3,
    };
    let key_count = match event.keys {
        Keys::All => 0,
        Keys::One(_) => 1,
        Keys::Two(..) => 2,
    };
    let flags = last_flag(event.last_of_change)
        | key_count << KEYS_SHIFT
        | operation << OPERATION_SHIFT
        | if same_type { SAME_TYPE } else { 0 }
        | match event.fate {
            Fate::Deliver => 0,
            Fate::DeadLetter(_) => DEAD_LETTER,
        };
    put_head(blob, flags, event.id, event.position);
    if let Fate::DeadLetter(unsent) = event.fate {
        blob.push(match unsent {
            Unsent::RuleFailed => 0,
            Unsent::TooLarge => 1,
        });
    }
    blob.extend(event.commit_time_us.to_be_bytes());
    blob.extend(keys);
    if !same_type {
        put_sized(blob, event.event_type.as_bytes());
    }
    put_sized(blob, &event.body);
}

fn last_flag(last_of_change: bool) -> u8 {
    if last_of_change { LAST_OF_CHANGE } else { 0 }
}

fn put_head(blob: &mut Vec<u8>, flags: u8, id: EventId, position: Position) {
    blob.push(flags);
    blob.extend(id.0);
    blob.extend(position.lsn.0.to_be_bytes());
    blob.extend(position.ordinal.to_be_bytes());
    blob.extend(position.n.to_be_bytes());
}

/// A value of SQLite is at most 1 GB, so a length that does not fit never gets there.
fn put_sized(blob: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    blob.extend(length.to_be_bytes());
    blob.extend_from_slice(bytes);
}

/// `None`: not what `encode` makes. Bodies share the blob's memory.
pub fn decode(mut blob: Bytes, table: &Arc<TableName>) -> Option<Vec<Entry>> {
    if blob.try_get_u8().ok()? != VERSION {
        return None;
    }
    let mut entries = Vec::new();
    let mut type_before: Option<Arc<str>> = None;
    while !blob.is_empty() {
        let flags = blob.try_get_u8().ok()?;
        let mut id = [0; 16];
        blob.try_copy_to_slice(&mut id).ok()?;
        let id = EventId(id);
        let position = Position {
            lsn: Lsn(blob.try_get_u64().ok()?),
            ordinal: blob.try_get_u64().ok()?,
            n: blob.try_get_u32().ok()?,
        };
        let last_of_change = flags & LAST_OF_CHANGE != 0;
        if flags & MARKER != 0 {
            entries.push(Entry::Marker(Marker {
                id,
                position,
                last_of_change,
            }));
            continue;
        }
        let fate = if flags & DEAD_LETTER == 0 {
            Fate::Deliver
        } else {
            Fate::DeadLetter(match blob.try_get_u8().ok()? {
                0 => Unsent::RuleFailed,
                1 => Unsent::TooLarge,
                _ => return None,
            })
        };
        let commit_time_us = blob.try_get_i64().ok()?;
        let keys = match flags >> KEYS_SHIFT & 3 {
            0 => Keys::All,
            1 => Keys::One(blob.try_get_u64().ok()?),
            2 => Keys::Two(blob.try_get_u64().ok()?, blob.try_get_u64().ok()?),
            _ => return None,
        };
        let event_type = if flags & SAME_TYPE != 0 {
            type_before?
        } else {
            Arc::from(std::str::from_utf8(&get_sized(&mut blob)?).ok()?)
        };
        type_before = Some(Arc::clone(&event_type));
        entries.push(Entry::Event(StoredEvent {
            id,
            event_type,
            table: Arc::clone(table),
            operation: if table.is_of_messages() {
                Operation::Message
            } else {
                operation_from_number(flags >> OPERATION_SHIFT & 3)?
            },
            position,
            last_of_change,
            keys,
            fate,
            commit_time_us,
            body: get_sized(&mut blob)?,
        }));
    }
    Some(entries)
}

fn operation_from_number(number: u8) -> Option<Operation> {
    match number {
        0 => Some(Operation::Insert),
        1 => Some(Operation::Update),
        2 => Some(Operation::Delete),
        3 => Some(Operation::Truncate),
        _ => None,
    }
}

fn get_sized(blob: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(blob.try_get_u32().ok()?).ok()?;
    (length <= blob.len()).then(|| blob.split_to(length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let keys = prop_oneof![
            Just(Keys::All),
            any::<u64>().prop_map(Keys::One),
            any::<(u64, u64)>().prop_map(|(old, new)| Keys::Two(old, new)),
        ];
        let head = any::<([u8; 16], u64, u64, u32, bool, bool, u8)>();
        let rest = (0..4_usize, "a|order.paid|ü", any::<i64>(), any::<Vec<u8>>());
        (head, keys, rest).prop_map(|(head, keys, (operation, event_type, time, body))| {
            let (id, lsn, ordinal, n, last_of_change, marker, dead) = head;
            let lsn = Lsn(lsn);
            let position = Position { lsn, ordinal, n };
            let id = EventId(id);
            if marker {
                return Entry::Marker(Marker {
                    id,
                    position,
                    last_of_change,
                });
            }
            Entry::Event(StoredEvent {
                id,
                event_type: event_type.into(),
                table: Arc::new(TableName::new("public", "orders")),
                operation: Operation::ALL[operation],
                position,
                last_of_change,
                keys,
                fate: match dead {
                    0 => Fate::DeadLetter(Unsent::RuleFailed),
                    1 => Fate::DeadLetter(Unsent::TooLarge),
                    _ => Fate::Deliver,
                },
                commit_time_us: time,
                body: body.into(),
            })
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entries in prop::collection::vec(entry(), 0..8)) {
            let table = Arc::new(TableName::new("public", "orders"));
            let blob = encode(&entries);
            prop_assert_eq!(decode(blob.into(), &table), Some(entries));
        }

        #[test]
        fn no_bytes_make_it_panic(mut blob in any::<Vec<u8>>()) {
            let table = Arc::new(TableName::new("public", "orders"));
            blob.insert(0, VERSION);
            let _ = decode(blob.into(), &table);
        }

        #[test]
        fn a_blob_that_is_cut_is_not_read_as_whole(
            entries in prop::collection::vec(entry(), 1..4), cut in 1_usize..20,
        ) {
            let table = Arc::new(TableName::new("public", "orders"));
            let mut blob = encode(&entries);
            blob.truncate(blob.len().saturating_sub(cut));
            prop_assert_ne!(decode(blob.into(), &table), Some(entries));
        }
    }
}
