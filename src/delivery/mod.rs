//! Delivery: one request with its signature, and what its answer means.

pub mod backoff;
pub mod client;
pub mod outcome;
pub mod request;
pub mod signature;
pub mod target;
