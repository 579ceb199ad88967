//! Delivery: one request with its signature, and what its answer means.

pub mod signature;
pub mod target;
