//! The standard body.
//!
//! ```text
//! {"id":..,"type":..,                                              its head: one an event type
//!  "timestamp":..,"data":..,"previous":..,["unchanged":[..],]["lossy":[..],]"source":{..}}
//!                                                                  its tail: one a change
//! ```
//!
//! Compact, the keys in this order, always the same bytes for the same change and
//! type. The content of a message that is no JSON stands in `data_base64` behind a `data`
//! of null. `unchanged` and `lossy` are lists of column names in the order of the
//! table: what `data` leaves out because the WAL does not carry it, and where
//! bytes that are no UTF-8 became U+FFFD.

use std::io::Write;

use super::bound::BoundKey;
use super::findings::Findings;
use super::message;
use super::plan::{ColumnPlan, TablePlan};
use super::row::{Known, RowView, Side};
use crate::change::{Change, Operation};
use crate::event::EventId;
use crate::pgoutput::value::write_string;

/// Microseconds between 1970 and 2000.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

pub fn write_head(id: EventId, event_type: &str, json: &mut Vec<u8>) {
    json.extend_from_slice(b"{\"id\":\"");
    write_plain(json, id);
    // A type has no character that JSON escapes.
    json.extend_from_slice(b"\",\"type\":\"");
    json.extend_from_slice(event_type.as_bytes());
    json.extend_from_slice(b"\",");
}

/// `source` is its constant part, as [`source_head`] makes it; `timestamp` as
/// [`timestamp`] does.
pub fn write_tail(
    change: &Change<'_>,
    row: &RowView<'_>,
    timestamp: &[u8],
    source: &[u8],
    json: &mut Vec<u8>,
    findings: &mut Findings,
) {
    begin_tail(timestamp, json, findings);
    match &row.table.outbox {
        Some(outbox) => outbox.write_payload(row, json, findings),
        None => write_data(row, json, findings),
    }
    json.extend_from_slice(b",\"previous\":");
    write_previous(row, json, findings);
    write_rest(change, row, source, json, findings);
}

/// In the place of a tail that makes the body larger than an endpoint takes: of the rows
/// the columns of the key alone, then `"oversize":true` and how many bytes the body has.
pub fn write_reference_tail(
    (change, row): (&Change<'_>, &RowView<'_>),
    (key, size): (&BoundKey, usize),
    (timestamp, source): (&[u8], &[u8]),
    json: &mut Vec<u8>,
    findings: &mut Findings,
) {
    begin_tail(timestamp, json, findings);
    let (key, members) = (key.columns(), key.members());
    let in_key = |column: &ColumnPlan| key.contains(&column.place);
    match row.operation {
        // Its key is in `source`.
        Operation::Insert if row.table.outbox.is_some() => json.extend_from_slice(b"null"),
        Operation::Insert | Operation::Update => write_row(row, Side::New, in_key, json, findings),
        Operation::Delete => write_row(row, Side::Old, in_key, json, findings),
        Operation::Truncate => json.extend_from_slice(b"null"),
        Operation::Message => message::write_members(row, members, json),
    }
    json.extend_from_slice(b",\"previous\":");
    let changed = key.iter().any(|column| row.changed(*column) == Ok(true));
    if row.has_previous() && changed {
        write_row(row, Side::Old, in_key, json, findings);
    } else {
        json.extend_from_slice(b"null");
    }
    json.extend_from_slice(b",\"oversize\":true,\"size\":");
    json.extend_from_slice(itoa::Buffer::new().format(size).as_bytes());
    write_rest(change, row, source, json, findings);
}

fn begin_tail(timestamp: &[u8], json: &mut Vec<u8>, findings: &mut Findings) {
    findings.unchanged.clear();
    findings.lossy.clear();
    json.extend_from_slice(b"\"timestamp\":");
    json.extend_from_slice(timestamp);
    json.extend_from_slice(b",\"data\":");
}

/// What was noticed while the rows were written, and where they come from.
fn write_rest(
    change: &Change<'_>,
    row: &RowView<'_>,
    source: &[u8],
    json: &mut Vec<u8>,
    findings: &mut Findings,
) {
    if !findings.unchanged.is_empty() {
        json.extend_from_slice(b",\"unchanged\":");
        write_names(row.table, &mut findings.unchanged, json);
    }
    if !findings.lossy.is_empty() {
        json.extend_from_slice(b",\"lossy\":");
        write_names(row.table, &mut findings.lossy, json);
    }
    json.push(b',');
    json.extend_from_slice(source);
    match change.operation {
        Operation::Message => write_message_source(change, row, json),
        _ => write_source_rest(change, json),
    }
    if let Some(outbox) = &row.table.outbox {
        outbox.write_source(row, json, findings);
    }
    json.extend_from_slice(b"}}");
}

/// The new row; of a delete the old one as far as it is known; of a truncate null.
pub fn write_data(row: &RowView<'_>, json: &mut Vec<u8>, findings: &mut Findings) {
    match row.operation {
        Operation::Insert | Operation::Update => {
            for column in row.table.columns.iter().filter(|column| column.selected) {
                if row.new_value(column.place).is_err() {
                    findings.unchanged.push(column.place);
                }
            }
            write_row(row, Side::New, |_| true, json, findings);
        }
        Operation::Delete => write_row(row, Side::Old, |_| true, json, findings),
        Operation::Truncate => json.extend_from_slice(b"null"),
        Operation::Message => write_content(row, json, findings),
    }
}

/// The JSON of a message's content; or null, and `data_base64` behind it.
fn write_content(row: &RowView<'_>, json: &mut Vec<u8>, findings: &mut Findings) {
    let mut write = |place: usize, json: &mut Vec<u8>| {
        if let (Some(column), Ok(Known::Text(text))) =
            (row.table.columns.get(place), row.new_value(place))
        {
            column.write(text, row.large_numbers, json, findings);
        }
    };
    if row.new_value(message::DATA) != Ok(Known::Null) {
        return write(message::DATA, json);
    }
    json.extend_from_slice(b"null,\"data_base64\":");
    write(message::DATA_BASE64, json);
}

/// The old row of an update: all columns, or those of a key that changed; else null.
pub fn write_previous(row: &RowView<'_>, json: &mut Vec<u8>, findings: &mut Findings) {
    if row.has_previous() {
        write_row(row, Side::Old, |_| true, json, findings);
    } else {
        json.extend_from_slice(b"null");
    }
}

/// The columns that are wanted, selected and known.
pub fn write_row(
    row: &RowView<'_>,
    side: Side,
    wanted: impl Fn(&ColumnPlan) -> bool,
    json: &mut Vec<u8>,
    findings: &mut Findings,
) {
    json.push(b'{');
    let empty = json.len();
    let columns = row.table.columns.iter();
    for column in columns.filter(|column| column.selected && wanted(column)) {
        let Ok(value) = row.value(side, column.place) else {
            continue;
        };
        if json.len() > empty {
            json.push(b',');
        }
        json.extend_from_slice(&column.label);
        match value {
            Known::Null => json.extend_from_slice(b"null"),
            Known::Text(text) => column.write(text, row.large_numbers, json, findings),
        }
    }
    json.push(b'}');
}

fn write_names(table: &TablePlan, places: &mut Vec<usize>, json: &mut Vec<u8>) {
    places.sort_unstable();
    places.dedup();
    json.push(b'[');
    let names = places.iter().filter_map(|at| table.columns.get(*at));
    for (at, column) in names.enumerate() {
        if at > 0 {
            json.push(b',');
        }
        json.extend_from_slice(column.label.strip_suffix(b":").unwrap_or_default());
    }
    json.push(b']');
}

/// `"source":{"database":..,"schema":..,"table":..,"operation":`
pub fn source_head(database: &str, table: &TablePlan) -> Vec<u8> {
    let mut json = Vec::new();
    json.extend_from_slice(b"\"source\":{\"database\":");
    write_string(database.as_bytes(), &mut json);
    json.extend_from_slice(b",\"schema\":");
    write_string(table.name.schema.as_bytes(), &mut json);
    json.extend_from_slice(b",\"table\":");
    write_string(table.name.table.as_bytes(), &mut json);
    json.extend_from_slice(b",\"operation\":");
    json
}

/// `"source":{"database":..,"prefix":`
pub fn message_source_head(database: &str) -> Vec<u8> {
    let mut json = Vec::new();
    json.extend_from_slice(b"\"source\":{\"database\":");
    write_string(database.as_bytes(), &mut json);
    json.extend_from_slice(b",\"prefix\":");
    json
}

fn write_message_source(change: &Change<'_>, row: &RowView<'_>, json: &mut Vec<u8>) {
    match row.new_value(message::PREFIX) {
        Ok(Known::Text(prefix)) => {
            write_string(prefix, json);
        }
        Ok(Known::Null) | Err(_) => json.extend_from_slice(b"null"),
    }
    json.extend_from_slice(b",\"operation\":\"message\",\"transactional\":");
    if row.new_value(message::TRANSACTIONAL) == Ok(Known::Text(b"t")) {
        json.extend_from_slice(b"true");
        write_place(change, json);
        return;
    }
    json.extend_from_slice(b"false,\"lsn\":\"");
    write_plain(json, change.transaction.commit_lsn);
    json.extend_from_slice(b"\",\"xid\":null,\"index\":0");
}

fn write_source_rest(change: &Change<'_>, json: &mut Vec<u8>) {
    write_string(change.operation.as_str().as_bytes(), json);
    write_place(change, json);
}

/// Where a change stands, and where it comes from.
fn write_place(change: &Change<'_>, json: &mut Vec<u8>) {
    let transaction = change.transaction;
    json.extend_from_slice(b",\"lsn\":\"");
    write_plain(json, transaction.commit_lsn);
    json.extend_from_slice(b"\",\"xid\":");
    json.extend_from_slice(itoa::Buffer::new().format(transaction.xid).as_bytes());
    json.extend_from_slice(b",\"index\":");
    json.extend_from_slice(itoa::Buffer::new().format(change.ordinal).as_bytes());
    if let Some(origin) = &transaction.origin {
        json.extend_from_slice(b",\"origin\":");
        write_string(origin.as_bytes(), json);
    }
}

/// A commit time as JSON: RFC 3339 in UTC with microseconds; null for one that no
/// calendar has.
pub fn timestamp(commit_time_us: i64) -> String {
    commit_time_us
        .checked_add(POSTGRES_EPOCH_US)
        .and_then(|us| jiff::Timestamp::from_microsecond(us).ok())
        .map_or_else(
            || "null".to_owned(),
            |time| format!("\"{}\"", time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")),
        )
}

fn write_plain(json: &mut Vec<u8>, shown: impl std::fmt::Display) {
    // Writing to a Vec cannot fail.
    let _ = write!(json, "{shown}");
}
