//! The replication slot: Postgres' memory of how far we are.
//!
//! What we confirm is in our checkpoint before Postgres is told. So the slot is
//! at or behind the checkpoint, always; a slot ahead of it was recreated or moved
//! by somebody, and what lies between would be skipped in silence.
//!
//! The slot is created on the replication connection, not here.

mod facts;
mod fault;
mod open;
mod timeline;
mod verdict;

pub use facts::{SlotFacts, WalStatus, drop_slot, slot};
pub use fault::SlotFault;
pub use open::{Holder, OpenTransaction, blockers};
pub use timeline::{Reached, TimelineVerdict, timeline};
pub use verdict::{Expected, Gap, Marked, SlotVerdict, compare};
