//! The one walk over the merged tree: it finds all problems, and makes what is
//! ready to use.
//!
//! Each function takes a part of the tree and gives what the part stands for, or
//! nothing after it told why. So nothing is told twice, and the walk goes on.

pub mod keys;

mod cursor;
mod scalar;

mod endpoint;
mod headers;
mod lanes;
mod root;
mod secret;
mod source;
mod target_url;

mod clash;
mod event_type;
mod messages;
mod outbox;
mod overlap;
mod payload;
mod rule;
mod table;
mod table_pattern;

pub use cursor::Walk;
pub use secret::reason;
pub use table_pattern::PatternError;
