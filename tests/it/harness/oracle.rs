//! What must hold of everything that a receiver got. Each check names the first break of its rule.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::database::Database;
use super::receiver::{Attempt, Event};

/// P3 within `order: table`: the events of a table came in the order of its changes.
/// A change can make several events, so equal positions may follow one another.
#[track_caller]
pub fn assert_in_order_per_table(events: &[Event]) {
    assert_in_order_by(events, |event| event.table.clone());
}

/// The row that an event is of.
pub fn row(event: &Event) -> String {
    let json = event.json();
    let is_gone = json["data"].is_null();
    let row = if is_gone {
        &json["previous"]
    } else {
        &json["data"]
    };
    format!("{} {}", event.table, id(row))
}

/// The same for a lane of any other kind.
#[track_caller]
pub fn assert_in_order_by(events: &[Event], lane: impl Fn(&Event) -> String) {
    let mut last: HashMap<String, &Event> = HashMap::new();
    for event in events {
        if let Some(before) = last.insert(lane(event), event) {
            assert!(
                before.position <= event.position,
                "out of order: {} came before {}",
                before.text,
                event.text
            );
        }
    }
}

/// P4 and a graceful life: no event was accepted twice.
#[track_caller]
pub fn assert_no_repeats(events: &[Event]) {
    let mut seen = HashSet::new();
    for event in events {
        assert!(seen.insert(event.id.as_str()), "repeated: {}", event.text);
    }
}

/// P4 over a crash: what came again came as the same bytes. Returns each event once, by its
/// first arrival.
#[track_caller]
pub fn without_repeats(events: &[Event]) -> Vec<Event> {
    let mut seen: HashMap<&str, &Event> = HashMap::new();
    let mut once = Vec::new();
    for event in events {
        match seen.insert(&event.id, event) {
            None => once.push(Event::clone(event)),
            Some(first) => assert_eq!(first.text, event.text, "one id, two bodies"),
        }
    }
    once
}

/// P3 over attempts: nothing of a lane was tried while something before it had been tried
/// and was not yet accepted. `parked` are events that became dead letters.
#[track_caller]
pub fn assert_never_overtaken(
    attempts: &[Attempt],
    parked: &HashSet<String>,
    lane: impl Fn(&Event) -> String,
) {
    let mut open: HashMap<String, BTreeMap<(u64, u64), &Event>> = HashMap::new();
    for attempt in attempts {
        for event in &attempt.events {
            let waiting = open.entry(lane(event)).or_default();
            let ahead = waiting
                .range(..event.position)
                .map(|(_, ahead)| *ahead)
                .find(|ahead| !parked.contains(&ahead.id) && !holds(attempt, ahead));
            if let Some(ahead) = ahead {
                panic!("{} was tried while {} was not done", event.text, ahead.text);
            }
            waiting.insert(event.position, event);
        }
        if attempt.accepted {
            for event in &attempt.events {
                open.entry(lane(event)).or_default().remove(&event.position);
            }
        }
    }
}

fn holds(attempt: &Attempt, event: &Event) -> bool {
    attempt.events.iter().any(|other| other.id == event.id)
}

/// P1: after inserts, updates and deletes of a table (column `id`) that all make an event,
/// the events replayed are the table.
#[track_caller]
pub fn assert_replay(
    events: &[Event],
    database: &Database,
    table: &str,
) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    let mut replica: BTreeMap<String, Value> = BTreeMap::new();
    for event in events.iter().filter(|event| event.table == table) {
        let mut json = event.json();
        let (mut data, previous) = (json["data"].take(), json["previous"].take());
        match event.operation.as_str() {
            "truncate" => replica.clear(),
            "delete" => {
                replica.remove(&id(&data));
            }
            _ => {
                let old = id(if previous.is_null() { &data } else { &previous });
                let before = replica.remove(&old);
                for column in json["unchanged"].as_array().into_iter().flatten() {
                    let column = column.as_str().expect("a column's name");
                    let value = before
                        .as_ref()
                        .map_or(Value::Null, |row| row[column].clone());
                    data[column] = value;
                }
                replica.insert(id(&data), data);
            }
        }
    }
    async move {
        let rows = database.rows(table).await;
        let missing: Vec<_> = rows
            .keys()
            .filter(|id| !replica.contains_key(*id))
            .collect();
        let extra: Vec<_> = replica
            .keys()
            .filter(|id| !rows.contains_key(*id))
            .collect();
        assert!(
            missing.is_empty() && extra.is_empty(),
            "{caller}: {table}: {} rows missing {:?}, {} rows too many {:?}",
            missing.len(),
            &missing[..missing.len().min(5)],
            extra.len(),
            &extra[..extra.len().min(5)]
        );
        assert!(rows == replica, "{caller}: {table}: rows differ");
    }
}

/// The column `id` as text.
fn id(row: &Value) -> String {
    match &row["id"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
