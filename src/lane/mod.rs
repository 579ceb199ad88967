//! Lanes: what keeps events in order on their way to an endpoint.

pub mod budget;
pub mod clock;
pub mod endpoint;
pub mod health;
pub mod inbox;
pub mod name;
pub mod options;
pub mod report;
pub mod state;
