//! The store against real files. A crash is a store that is dropped and opened again.

mod damage;
mod dead;
mod disk_full;
mod place;
mod waiting;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::{Checkpoint, LanePosition, StateLock, Store, StoreError, StoredEvent};
use crate::change::{Operation, TableName};
use crate::event::{EventId, Fate, Keys, Position};
use crate::lsn::Lsn;

const SLOT: &str = "walhook";

/// A state file in a directory of its own.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Place {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("state.db")
    }

    fn try_open(&self) -> Result<Store, StoreError> {
        try_open(&self.path())
    }

    fn open(&self) -> Store {
        self.try_open().unwrap()
    }
}

fn try_open(path: &Path) -> Result<Store, StoreError> {
    Store::open(StateLock::acquire(path)?)
}

fn position(lsn: u64, ordinal: u64) -> Position {
    Position {
        lsn: Lsn(lsn),
        ordinal,
        n: 0,
    }
}

fn lane(endpoint: &str, lane: &str, position: Position) -> LanePosition {
    LanePosition {
        endpoint: endpoint.into(),
        lane: lane.into(),
        position,
        first_attempt_at_ms: None,
        attempts: 0,
    }
}

fn checkpoint(lsn: u64) -> Checkpoint {
    Checkpoint {
        system_identifier: u64::MAX - 7,
        timeline: 1,
        lsn: Lsn(lsn),
        written_at_ms: 1_700_000_000_000,
    }
}

fn event(number: u8, position: Position) -> StoredEvent {
    StoredEvent {
        id: EventId([number; 16]),
        event_type: "order.paid".into(),
        table: Arc::new(TableName::new("public", "orders")),
        operation: Operation::Update,
        position,
        last_of_change: true,
        keys: Keys::Two(u64::MAX, 2),
        fate: Fate::Deliver,
        commit_time_us: -5,
        body: format!("{{\"id\":{number}}}").into(),
    }
}
