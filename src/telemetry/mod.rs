//! Telemetry: what the daemon shows of itself.

pub mod metrics;
