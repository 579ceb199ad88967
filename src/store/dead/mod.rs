//! Dead letters: events that an endpoint did not take, kept until a person decides.

mod filter;
mod inspect;
mod letter;
mod park;
mod retry;

pub use filter::DeadFilter;
pub use inspect::{BODY_PART_BYTES_MAX, DeadLetter, DeadPage, DeadSummary, PAGE_LETTERS_MAX};
pub use letter::{DeadReason, NewDeadLetter, Verdict};
pub(super) use park::insert_dead;
pub use retry::{RetryCursor, RetryingEvent};
