//! A logical message as a row that rules can read.
//!
//! | column | value |
//! |---|---|
//! | `data` | the content, when it is JSON in UTF-8 |
//! | `data_base64` | the content in base64, when it is not |
//! | `prefix` | the message's prefix |
//! | `transactional` | whether it was written as a part of its transaction |
//!
//! So conditions and payloads say `new.data.total`, and all that holds for rows holds
//! for messages. What is JSON goes as it was written, as a `json` column does.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

use super::expression::{Step, descend};
use super::id::key_hash;
use super::row::{Known, RowView};
use crate::change::{Column, OldRows, Relation, ReplicaIdentity, TableName, Tuple};
use crate::event::Keys;
use crate::pgoutput::LogicalMessage;
use crate::pgoutput::value::write_string;

const JSON: u32 = 114;
const TEXT: u32 = 25;
const BOOL: u32 = 16;

/// The columns, with the OIDs of their types.
const ROW: [(&str, u32); 4] = [
    ("data", JSON),
    ("data_base64", TEXT),
    ("prefix", TEXT),
    ("transactional", BOOL),
];
/// Places of columns.
pub(super) const DATA: usize = 0;
pub(super) const DATA_BASE64: usize = 1;
pub(super) const PREFIX: usize = 2;
pub(super) const TRANSACTIONAL: usize = 3;

/// What a condition or a payload can read of a message.
pub fn columns() -> impl Iterator<Item = &'static str> {
    ROW.iter().map(|(name, _)| *name)
}

/// The relation of an entry's messages.
pub(super) fn relation(name: TableName) -> Relation {
    let column = |(name, type_oid): &(&str, u32)| Column {
        name: (*name).to_owned(),
        type_oid: *type_oid,
        type_modifier: -1,
        in_identity: false,
    };
    Relation {
        oid: 0,
        name: Arc::new(name),
        identity: ReplicaIdentity::Nothing,
        columns: ROW.iter().map(column).collect(),
        old_rows: OldRows::AsAnnounced,
        key: Vec::new(),
    }
}

/// The bytes of the row's tuple.
pub(super) fn row(message: &LogicalMessage<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.content.len() + message.prefix.len() + 32);
    if is_json(message.content) {
        text(message.content, &mut bytes);
        bytes.push(b'n');
    } else {
        bytes.push(b'n');
        text(STANDARD.encode(message.content).as_bytes(), &mut bytes);
    }
    text(message.prefix.as_bytes(), &mut bytes);
    text(
        if message.is_transactional() {
            b"t"
        } else {
            b"f"
        },
        &mut bytes,
    );
    bytes
}

pub(super) fn tuple(row: &[u8]) -> Tuple<'_> {
    Tuple::new(ROW.len() as u16, row)
}

/// A value of TupleData. A message has less than 1 GB, so its base64 has less than 4.
fn text(value: &[u8], bytes: &mut Vec<u8>) {
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    bytes.push(b't');
    bytes.extend(length.to_be_bytes());
    bytes.extend_from_slice(value);
}

/// As strict as a `json` column, and as lenient: keys may stand twice, numbers and depth
/// have no limit, surrogates may be alone.
fn is_json(content: &[u8]) -> bool {
    // Ignoring a value needs no recursion, and does not look at UTF-8.
    std::str::from_utf8(content).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// By the members of the content that the config names; one that is not there is as one
/// that is null. Without any, by the prefix.
pub(super) fn keys(row: &RowView<'_>, members: &[String]) -> Keys {
    let name = &row.table.name;
    if members.is_empty() {
        return Keys::One(key_hash(name, [known(row, PREFIX)]));
    }
    let values = members.iter().map(|name| member(row, name));
    Keys::One(key_hash(name, values))
}

/// An object of these members of the content, as far as it has them; null without any.
pub(super) fn write_members(row: &RowView<'_>, members: &[String], json: &mut Vec<u8>) {
    let mut before: &[u8] = b"{";
    for name in members {
        if let Some(value) = member(row, name) {
            json.extend_from_slice(before);
            write_string(name.as_bytes(), json);
            json.push(b':');
            json.extend_from_slice(value);
            before = b",";
        }
    }
    let end: &[u8] = if before == b"," { b"}" } else { b"null" };
    json.extend_from_slice(end);
}

fn known<'r>(row: &RowView<'r>, column: usize) -> Option<&'r [u8]> {
    match row.new_value(column) {
        Ok(Known::Text(text)) => Some(text),
        Ok(Known::Null) | Err(_) => None,
    }
}

/// As it is written in the content; `None` when it is null or not there.
fn member<'r>(row: &RowView<'r>, name: &str) -> Option<&'r [u8]> {
    let value = descend(known(row, DATA)?, &[Step::Key(name.to_owned())]).ok()?;
    Some(value.trim_ascii()).filter(|value| value != b"null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_from_bytes() {
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        for json in [
            "{\"a\":1,\"a\":1e400}",
            " [1, \"\\ud800\\u0000\"] ",
            "null",
            "7",
            "\"größe\"",
            &deep,
        ] {
            assert!(is_json(json.as_bytes()), "{json}");
        }
        for bytes in [
            &b""[..],
            b" ",
            b"{",
            b"{} {}",
            b"hello",
            b"NaN",
            b"01",
            b"\"\xff\"",
            b"\"a\nb\"",
            b"[1,]",
            b"\xef\xbb\xbf{}",
        ] {
            assert!(!is_json(bytes), "{bytes:?}");
        }
    }
}
