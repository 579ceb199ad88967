//! The tables of the state file and how an older file gets them.

mod migrate;

pub(super) use migrate::{APPLICATION_ID, SMALL_TABLES, VERSION, migrate, version};
