//! Keys: what orders a change with `order: key`.

use super::bound::BoundKey;
use super::id::key_hash;
use super::message;
use super::row::{Known, RowView, Side};
use crate::change::Operation;
use crate::event::Keys;

/// `key` are the places of the key's columns. What is not known is ordered with
/// every row: a key that the WAL does not carry could be any.
pub(super) fn keys(row: &RowView<'_>, key: &BoundKey) -> Keys {
    let key = match key {
        BoundKey::Columns(places) => places,
        BoundKey::Members(members) => return message::keys(row, members),
    };
    let sides = match row.operation {
        Operation::Insert => (Side::New, Side::New),
        Operation::Update => (Side::Old, Side::New),
        Operation::Delete => (Side::Old, Side::Old),
        Operation::Truncate | Operation::Message => return Keys::All,
    };
    let old = hash(row, sides.0, key);
    let new = if sides.0 == sides.1 {
        old
    } else {
        hash(row, sides.1, key)
    };
    match (old, new) {
        (Some(old), Some(new)) if old == new => Keys::One(new),
        (Some(old), Some(new)) => Keys::Two(old, new),
        _ => Keys::All,
    }
}

fn hash(row: &RowView<'_>, side: Side, key: &[usize]) -> Option<u64> {
    if key.is_empty() {
        return None;
    }
    let values: Vec<Option<&[u8]>> = key
        .iter()
        .map(|column| match row.value(side, *column) {
            Ok(Known::Text(text)) => Some(Some(text)),
            Ok(Known::Null) => Some(None),
            Err(_) => None,
        })
        .collect::<Option<_>>()?;
    Some(key_hash(&row.table.name, values))
}
