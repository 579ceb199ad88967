//! The publications: which tables the slot sends.
//!
//! Two are ours, told by their COMMENT, which names the slot:
//!
//! ```text
//! walhook          all operations       tables with a usable replica identity
//! walhook_insert   insert, truncate     tables without one whose rules want nothing else
//! ```
//!
//! A publication has one `publish` for all its tables, so a single one would
//! break the UPDATEs of a table without identity that is only inserted into.
//!
//! Both are created before the slot, the second also when it is empty: the
//! walsender looks a publication up as of the moment that it decodes. One that
//! was created later does not exist for older WAL, and up to version 17 that is
//! an error (42704) on every attempt, which recreating does not mend; 18 skips
//! the changes.
//!
//! Refused: column lists (under REPLICA IDENTITY FULL they make the application's
//! UPDATE fail), row filters, FOR ALL TABLES, and touching what is not ours.

mod apply;
mod facts;
mod foreign;
mod leaves;
mod plan;

pub use apply::{PublicationError, apply, drop, look_again};
pub use facts::{Membership, PublicationFacts, existing};
pub use foreign::Shortfall;
pub use leaves::{Leaves, leaves};
pub use plan::{Generated, Part, PublicationNames, PublicationPlan, Published, joining, plan};
