//! The form in which an endpoint takes its bodies.

pub use crate::pgoutput::value::LargeNumbers;

/// What nginx takes where nobody told it otherwise (`client_max_body_size 1m`): a body over
/// that is answered by 413 until its event is given up, and its lane waits all the while.
pub const BYTES_MAX: usize = 1 << 20;

/// A dead letter is one row of the state file, and SQLite has none over a billion bytes.
pub const DEAD_BYTES_MAX: usize = 512 << 20;

/// How an endpoint wants what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyForm {
    pub large_numbers: LargeNumbers,
    /// Of one event's body.
    pub bytes_max: usize,
    pub oversize: Oversize,
}

/// What goes in the place of a body that is over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversize {
    /// The standard body with the key's columns alone, and how large the whole one is.
    /// Where that is over the limit itself, as with [`Oversize::DeadLetter`].
    Reference,
    /// Nothing is sent: the whole body is kept as a dead letter, up to
    /// [`DEAD_BYTES_MAX`], from there on the reference.
    DeadLetter,
}

impl Default for BodyForm {
    fn default() -> Self {
        BodyForm {
            large_numbers: LargeNumbers::Numbers,
            bytes_max: BYTES_MAX,
            oversize: Oversize::Reference,
        }
    }
}
