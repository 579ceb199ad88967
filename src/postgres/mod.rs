//! The only place that talks to Postgres.

pub mod conninfo;
