//! Lanes: what keeps events in order on their way to an endpoint.

pub mod options;
