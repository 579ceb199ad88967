//! The config as written: YAML text -> a tree with marks -> variables filled in.

pub mod marks;
pub mod substitute;
pub mod tree;
