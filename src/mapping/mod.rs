//! Mapping: from a change to the events that the rules make of it.

pub mod condition;
pub mod mapper;
pub mod payload;
pub mod rule;
pub use mapper::*;
