//! The control socket: how the commands talk to the daemon.
//!
//! ```text
//! walhook dead retry ..              walhook run
//!   client::call  --- request -->   server::serve -> the daemon -> execute(store)
//!                 <-- response --
//! ```
//!
//! A unix socket beside the state file, for its owner alone. One request and one
//! response a connection, each a line of JSON. Where no daemon runs, the command
//! takes the state's lock and calls `execute` itself.

mod client;
mod execute;
mod line;
mod request;
mod response;
mod server;
mod status;

pub use client::{CallError, call};
pub use execute::execute;
pub use line::LINE_BYTES_MAX;
pub use request::Request;
pub use response::Response;
pub use server::{BindError, ControlListener, bind, serve};
pub use status::{
    DaemonStatus, EndpointCondition, EndpointStatus, GapStatus, SlotStatus, Status, StreamStatus,
};

#[cfg(test)]
mod tests;
