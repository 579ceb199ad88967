//! Preflight: everything that is wrong with the database for this config, at
//! once, before anything is written to it.
//!
//! ```text
//! catalog, slot, publications  ->  pure checks  ->  problems, warnings, plan
//! ```
//!
//! A problem stops the daemon; a warning does not. While there is a problem the
//! plan is not given out, so that no publication is touched.

mod inspect;
mod problem;
mod server;
mod tables;
mod warning;

pub use inspect::{Report, inspect};
pub use problem::{Found, Problem};
pub use warning::Warning;
