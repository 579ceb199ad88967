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

/// Bugs of the server that lose changes or a slot, by the minor version that mended them on
/// each major where that is known. <https://www.postgresql.org/docs/release/>
const BUGS: [(&str, &[(u32, u32)]); 5] = [
    (
        "can read rows with the wrong version of the catalog, and columns that were added with a \
         default as null",
        &[(15, 6)],
    ),
    (
        "can begin a new slot inside a transaction, and send a part of it",
        &[(14, 13), (15, 8), (16, 4)],
    ),
    (
        "can set back the WAL that a slot needs to some that is gone, and so lose the slot",
        &[(14, 15), (15, 10), (16, 6), (17, 2)],
    ),
    (
        "can lose changes when DDL or ALTER PUBLICATION runs beside writes",
        &[(14, 18), (15, 13), (16, 9), (17, 5)],
    ),
    (
        "can remove WAL that a slot still needs at a checkpoint",
        &[(14, 19), (15, 14), (16, 10), (17, 6)],
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;

    fn server() -> Server {
        Server {
            version_num: 150_018,
            system_identifier: None,
            timeline: None,
            postmaster_start_us: 0,
            database: "app".into(),
            encoding: "UTF8".into(),
            wal_level: "logical".into(),
            max_slot_wal_keep_bytes: Some(1 << 30),
            max_replication_slots: 10,
            max_wal_senders: 10,
            idle_slot_timeout_s: None,
            in_recovery: false,
            flush_lsn: Lsn(0),
        }
    }

    fn warnings(version_num: u32) -> Vec<String> {
        let server = Server {
            version_num,
            ..server()
        };
        of_server(&server).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_minor_version_that_can_lose_changes_is_told_with_the_one_that_cannot() {
        assert_eq!(warnings(150_005).len(), 5);
        let one_left = "PostgreSQL 15.13 can remove WAL that a slot still needs at a checkpoint; \
                        fixed in 15.14";
        assert_eq!(warnings(150_013), [one_left]);
        for sound in [140_019, 150_014, 150_018, 160_010, 170_006, 180_000] {
            assert_eq!(warnings(sound), [""; 0], "{sound}");
        }
        assert_eq!(warnings(170_000).len(), 3);
    }

    #[test]
    fn settings_that_lose_the_slot_or_fill_the_disk_are_told() {
        let told = |keep, idle| {
            let server = Server {
                version_num: 180_004,
                max_slot_wal_keep_bytes: keep,
                idle_slot_timeout_s: idle,
                ..server()
            };
            of_server(&server)
        };
        assert_eq!(told(Some(1), None), []);
        assert_eq!(told(None, None), [Warning::UnlimitedWal]);
        let idle = Warning::IdleTimeout { seconds: 60 };
        assert_eq!(told(Some(1), Some(60)), [idle]);
    }
}
