//! Any bytes as the blob of a run in the state file: entries, or none at all. What was read
//! is what is written back.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use walhook::change::{Operation, TableName};
use walhook::event::{EventId, Fate, Keys, Position, Unsent};
use walhook::lsn::Lsn;
use walhook::store::{Entry, Marker, StoredEvent, decode_run, encode_run};
use walhook_fuzz::Input;

fuzz_target!(|data: &[u8]| {
    let table = Arc::new(TableName::new("public", "orders"));
    let mut input = Input(data);
    let blob = match input.byte() {
        0..64 => input.rest().to_vec(),
        count => {
            let entries: Vec<Entry> = (0..count % 8).map(|_| entry(&mut input, &table)).collect();
            let blob = encode_run(&entries);
            assert_eq!(decode_run(blob.clone().into(), &table), Some(entries));
            input.edited(&blob)
        }
    };
    if let Some(entries) = decode_run(blob.into(), &table) {
        let again = encode_run(&entries);
        assert_eq!(decode_run(again.into(), &table), Some(entries));
    }
});

fn entry(input: &mut Input<'_>, table: &Arc<TableName>) -> Entry {
    let number = |input: &mut Input<'_>| {
        let bytes = input.take(8);
        bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    let mut id = [0; 16];
    for (at, byte) in id.iter_mut().zip(input.take(16)) {
        *at = *byte;
    }
    let position = Position {
        lsn: Lsn(number(input)),
        ordinal: number(input),
        n: number(input) as u32,
    };
    let kind = input.byte();
    let last_of_change = kind & 1 != 0;
    if kind & 2 != 0 {
        return Entry::Marker(Marker {
            id: EventId(id),
            position,
            last_of_change,
        });
    }
    Entry::Event(StoredEvent {
        id: EventId(id),
        event_type: String::from_utf8_lossy(input.short()).into(),
        table: Arc::clone(table),
        operation: Operation::ALL[usize::from(kind >> 2 & 3)],
        position,
        last_of_change,
        keys: match kind >> 4 & 3 {
            0 => Keys::All,
            1 => Keys::One(number(input)),
            _ => Keys::Two(number(input), number(input)),
        },
        fate: if kind & 64 == 0 {
            Fate::Deliver
        } else {
            Fate::DeadLetter(Unsent::RuleFailed)
        },
        commit_time_us: number(input) as i64,
        body: input.short().to_vec().into(),
    })
}
