//! The outbox: a table whose rows are events that the application has named itself.
//!
//! Only inserts are read. `data` is the payload column's value, the type is the type
//! column's. The row's id goes into `source.outbox`, and not into the event's own id:
//! that one is made of the change, so that no two events share it whatever the
//! application writes (a receiver that drops repeats by it would lose the second).

use super::findings::Findings;
use super::plan::TablePlan;
use super::row::{Known, RowView};

/// Columns by name, as the config gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbox {
    pub event_type: String,
    pub payload: String,
    pub key: Option<String>,
    pub id: Option<String>,
}

impl Outbox {
    pub fn columns(&self) -> impl Iterator<Item = &String> {
        let optional = self.key.iter().chain(&self.id);
        [&self.event_type, &self.payload]
            .into_iter()
            .chain(optional)
    }
}

/// Places of the columns; `None`: the table has no such column.
#[derive(Clone, Debug)]
pub struct OutboxPlan {
    pub payload: Option<usize>,
    id: Option<usize>,
    key: Option<usize>,
}

impl OutboxPlan {
    pub fn new(outbox: &Outbox, plan: &TablePlan) -> Self {
        let place = |name: &Option<String>| name.as_ref().and_then(|name| plan.column(name));
        OutboxPlan {
            payload: plan.column(&outbox.payload),
            id: place(&outbox.id),
            key: place(&outbox.key),
        }
    }

    pub fn write_payload(&self, row: &RowView<'_>, json: &mut Vec<u8>, findings: &mut Findings) {
        write(row, self.payload, json, findings);
    }

    /// `,"outbox":{"id":..,"key":..}`, as far as the config names columns for them.
    pub fn write_source(&self, row: &RowView<'_>, json: &mut Vec<u8>, findings: &mut Findings) {
        let mut before: &[u8] = b",\"outbox\":{";
        for (label, place) in [("\"id\":", self.id), ("\"key\":", self.key)] {
            if place.is_some() {
                json.extend_from_slice(before);
                json.extend_from_slice(label.as_bytes());
                write(row, place, json, findings);
                before = b",";
            }
        }
        if before == b"," {
            json.push(b'}');
        }
    }
}

fn write(row: &RowView<'_>, place: Option<usize>, json: &mut Vec<u8>, findings: &mut Findings) {
    let value = place.and_then(|at| Some((row.table.columns.get(at)?, row.new_value(at).ok()?)));
    match value {
        Some((column, Known::Text(text))) => column.write(text, row.large_numbers, json, findings),
        Some((_, Known::Null)) | None => json.extend_from_slice(b"null"),
    }
}
