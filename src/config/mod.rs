//! The config file: layers -> one walk that finds all problems -> ready to use.

pub mod ready;
