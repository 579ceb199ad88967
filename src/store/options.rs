//! What the config says of the store.

/// What happens when the spool is full (`spool.full`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolFull {
    /// Reading stops for all.
    Stop,
    /// The endpoint that fills it is disabled, and what it misses is recorded as a gap.
    Disable,
}
