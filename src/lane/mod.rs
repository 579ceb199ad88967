//! Lanes: what keeps events in order on their way to an endpoint.

pub mod options;
pub mod name;
pub mod attempt;
pub mod health;
pub mod state;

pub mod clock;
pub mod budget;
pub mod spool_room;
pub mod inbox;
pub mod report;
pub mod endpoint;
