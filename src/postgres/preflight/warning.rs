//! Warnings: what walhook can run with, but a person should know.

use crate::change::TableName;
use crate::postgres::catalog::{NotATable, Server};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error(
        "max_slot_wal_keep_size is not set: while walhook is down or stuck, WAL is kept until the \
         disk is full"
    )]
    UnlimitedWal,
    #[error(
        "idle_replication_slot_timeout is {seconds} s: a longer stop of walhook loses the slot"
    )]
    IdleTimeout { seconds: u64 },
    #[error("PostgreSQL {major}.{minor} {bug}; fixed in {major}.{fixed_in}")]
    KnownBug {
        major: u32,
        minor: u32,
        bug: &'static str,
        fixed_in: u32,
    },
    #[error("replication slot \"{slot}\" is active for pid {pid} ({application:?})")]
    SlotActive {
        slot: String,
        pid: i32,
        application: String,
    },
    #[error("publication \"{publication}\" is not walhook's: it is used as it stands")]
    ForeignPublication { publication: String },
    #[error(
        "publication \"{publication}\" has a row filter on table {table}: it can turn an update into an insert or a delete"
    )]
    RowFilter {
        publication: String,
        table: TableName,
    },
    #[error(
        "publication \"{publication}\" has a column list on table {table}: other columns are never sent"
    )]
    ColumnList {
        publication: String,
        table: TableName,
    },
    #[error(
        "publication \"{publication}\" makes updates and deletes of table {table} fail: its replica identity is not usable"
    )]
    BreaksUpdates {
        publication: String,
        table: TableName,
    },
    #[error(
        "table {table} is still published, though no rule wants it: the role may not alter the publication"
    )]
    Leftover { table: TableName },
    #[error("pattern {entry} matches no table")]
    EmptyPattern { entry: String },
    #[error("partition {partition} of table {table} is {found}: its changes are not sent")]
    UnsentPartition {
        table: TableName,
        partition: TableName,
        found: NotATable,
    },
}

/// Bugs of logical decoding that lose changes, by the minor version that mended
/// them on each major. <https://www.postgresql.org/docs/release/>
const BUGS: [(&str, [(u32, u32); 4]); 2] = [
    (
        "can lose changes when DDL or ALTER PUBLICATION runs beside writes",
        [(14, 18), (15, 13), (16, 9), (17, 5)],
    ),
    (
        "can remove WAL that a slot still needs at a checkpoint",
        [(14, 19), (15, 14), (16, 10), (17, 6)],
    ),
];

/// What is to be said of the server's version and settings.
pub(super) fn of_server(server: &Server) -> Vec<Warning> {
    let (major, minor) = (server.major(), server.minor());
    let bugs = BUGS.iter().filter_map(|(bug, fixes)| {
        let (_, fixed_in) = *fixes.iter().find(|(of, _)| *of == major)?;
        (minor < fixed_in).then_some(Warning::KnownBug {
            major,
            minor,
            bug,
            fixed_in,
        })
    });
    let unlimited = server.max_slot_wal_keep_bytes.is_none();
    let idle = server.idle_slot_timeout_s;
    bugs.chain(unlimited.then_some(Warning::UnlimitedWal))
        .chain(idle.map(|seconds| Warning::IdleTimeout { seconds }))
        .collect()
}
