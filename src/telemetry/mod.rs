//! Telemetry: what the daemon shows of itself.

pub mod admin;
pub mod systemd;
pub mod logging;
pub mod metrics;
pub mod view;
