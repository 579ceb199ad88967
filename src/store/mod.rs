//! The one SQLite file: checkpoint, positions, spool, dead letters.
//!
//! ```text
//! StateLock -> Store::open -> load -> commit, commit, commit ..
//!                                 `-> dead_list, dead_retry, append_runs ..
//! ```
//!
//! Synchronous, one writer, one transaction a call. It decides nothing: what is
//! settled is the ledger's to say, what a response means is `delivery`'s. It reads
//! no clock. `schema/0001.sql` is the file's tables.

mod connection;
mod dead;
mod endpoint;
mod error;
mod files;
mod gap;
mod handle;
mod journal;
mod lock;
mod open;
mod options;
mod progress;
mod schema;
mod slot;
mod spool;
mod stored_event;
mod tally;

#[cfg(test)]
mod tests;

pub use connection::Store;
pub use dead::{
    BODY_PART_BYTES_MAX, DeadFilter, DeadLetter, DeadPage, DeadReason, DeadSummary, NewDeadLetter,
    PAGE_LETTERS_MAX, RetryCursor, RetryingEvent, Verdict,
};
pub use endpoint::{DisabledBy, Dropped, EndpointRow, EndpointState};
pub use error::StoreError;
pub use files::StateFiles;
pub use gap::{Gap, GapReason};
pub use handle::{StoreCallError, StoreHandle, StoreStopped, StoreThread};
pub use lock::StateLock;
pub use options::SpoolFull;
pub use progress::{Progress, of_key};
pub use slot::{Checkpoint, History, Intention, JournalEntry, LanePosition, SlotState};
pub use spool::{Entry, Marker, NewRun, RunProgress, Settled, Spool, WaitingLane, WaitingRun};
#[cfg(fuzzing)]
pub use spool::{decode_run, encode_run};
pub use stored_event::StoredEvent;
pub use tally::{Amount, Tally};
