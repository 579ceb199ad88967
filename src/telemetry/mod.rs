//! Telemetry: what the daemon shows of itself.

pub mod admin;
pub mod control;
pub mod logging;
pub mod metrics;
pub mod systemd;
pub mod view;

#[cfg(test)]
mod metrics_page;
