//! Progress: what is settled, and so which LSN may be confirmed to Postgres.

pub mod ledger;
pub mod lineage;
pub mod tracker;
