//! pgoutput: from the bytes of the replication stream to changes and JSON.

pub mod value;
