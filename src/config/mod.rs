//! The config file: layers -> one walk that finds all problems -> ready to use.
//!
//! ```text
//! config.yaml -> source::marks -.
//!                                +-> layers -> source::substitute -> walk -> ready::Config
//! WALHOOK_SOURCE__URL=... ------'                                     |
//!                                                                     '---> Problems, all at once
//! ```
//!
//! Serde would stop at its first error, and figment keeps no lines: so figment
//! merges, and the walk over the merged tree finds what is wrong, by the marks of
//! the YAML parser. Nothing here connects to anything; the database has its say in
//! the preflight.

pub mod problem;
pub mod ready;
pub mod reference;

mod environment;
mod key_path;
mod layers;
mod load;
mod locate;
mod nearest;
mod source;
mod walk;

pub use environment::Environment;
pub use load::{Loaded, Outline, load, load_outline};
pub use locate::locate;
pub use problem::Problems;
pub use ready::{Config, Endpoint, Source, Spool};
pub use walk::PatternError;

#[cfg(test)]
mod tests;
