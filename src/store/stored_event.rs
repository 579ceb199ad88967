//! An event as it is kept: all of it save the endpoint, which has a name in the
//! file and an index in the process.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::change::{Operation, TableName};
use crate::event::{EndpointIndex, Event, EventId, Fate, Keys, Position, Room};

#[derive(Clone, PartialEq, Eq)]
pub struct StoredEvent {
    pub id: EventId,
    pub event_type: Arc<str>,
    pub table: Arc<TableName>,
    pub operation: Operation,
    pub position: Position,
    pub last_of_change: bool,
    pub keys: Keys,
    /// Of a dead letter: to be delivered, if a person sends it again.
    pub fate: Fate,
    /// Microseconds since 2000-01-01 UTC.
    pub commit_time_us: i64,
    pub body: Bytes,
}

/// Without the body, which holds row values.
impl fmt::Debug for StoredEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredEvent")
            .field("id", &self.id)
            .field("event_type", &self.event_type)
            .field("table", &self.table)
            .field("position", &self.position)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl StoredEvent {
    /// Copies no body.
    pub fn of(event: &Event) -> Self {
        StoredEvent {
            id: event.id,
            event_type: Arc::clone(&event.event_type),
            table: Arc::clone(&event.table),
            operation: event.operation,
            position: event.position,
            last_of_change: event.last_of_change,
            keys: event.keys,
            fate: event.fate,
            commit_time_us: event.commit_time_us,
            body: event.body.clone(),
        }
    }

    pub fn into_event(self, endpoint: EndpointIndex) -> Event {
        Event {
            id: self.id,
            endpoint,
            event_type: self.event_type,
            table: self.table,
            operation: self.operation,
            position: self.position,
            last_of_change: self.last_of_change,
            keys: self.keys,
            rekeyed: false,
            fate: self.fate,
            commit_time_us: self.commit_time_us,
            body: self.body,
            room: Room::default(),
        }
    }
}

/// No bytes, 8 or 16.
pub(super) fn keys_to_bytes(keys: Keys) -> Vec<u8> {
    match keys {
        Keys::All => Vec::new(),
        Keys::One(key) => key.to_be_bytes().to_vec(),
        Keys::Two(old, new) => [old.to_be_bytes(), new.to_be_bytes()].concat(),
    }
}

pub(super) fn keys_from_bytes(bytes: &[u8]) -> Option<Keys> {
    match bytes.as_chunks::<8>() {
        ([], []) => Some(Keys::All),
        ([key], []) => Some(Keys::One(u64::from_be_bytes(*key))),
        ([old, new], []) => Some(Keys::Two(
            u64::from_be_bytes(*old),
            u64::from_be_bytes(*new),
        )),
        _ => None,
    }
}

pub(super) fn operation_from_text(text: &str) -> Option<Operation> {
    Operation::ALL
        .into_iter()
        .chain([Operation::Message])
        .find(|operation| operation.as_str() == text)
}
