//! What can go wrong with the state file, and who has to do something about it.

use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

use crate::failpoint::Failed;
use crate::lsn::Lsn;

/// Of the state file, its lock and its directory.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("state file \"{}\" is in use by {}", path.display(), holder(*pid))]
    Locked { path: PathBuf, pid: Option<u32> },
    #[error("directory of state file \"{}\" cannot be used", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("file \"{}\" cannot be used", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("state file \"{}\" is empty", path.display())]
    Empty { path: PathBuf },
    #[error("file \"{}\" is there without its state file", path.display())]
    Orphaned { path: PathBuf },
    #[error("file \"{}\" is not a state file of walhook", path.display())]
    NotAState { path: PathBuf },
    #[error("state file \"{}\" is of version {found}, this walhook knows up to {known}", path.display())]
    NewerVersion {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error("state file \"{}\" is corrupt: {detail}", path.display())]
    Corrupt { path: PathBuf, detail: String },
    #[error("file system of state file \"{}\" does not support a write-ahead log", path.display())]
    NoWriteAheadLog { path: PathBuf },
    #[error("disk of state file \"{}\" is full", path.display())]
    DiskFull { path: PathBuf },
    #[error("disk of state file \"{}\" failed", path.display())]
    Disk {
        path: PathBuf,
        source: rusqlite::Error,
    },
    #[error("state file \"{}\" is locked by another program", path.display())]
    Busy { path: PathBuf },
    #[error("commit to state file \"{}\" failed", path.display())]
    Commit {
        path: PathBuf,
        source: rusqlite::Error,
    },
    #[error("state file \"{}\" is unusable after an earlier failure", path.display())]
    Unusable { path: PathBuf },
    #[error("checkpoint of slot \"{slot}\" cannot go back from {stored} to {given}")]
    CheckpointBehind {
        slot: String,
        stored: Lsn,
        given: Lsn,
    },
    #[error("could not {action} in state file \"{}\"", path.display())]
    Sqlite {
        action: &'static str,
        path: PathBuf,
        source: rusqlite::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

impl StoreError {
    /// The [`Store`](super::Store) must not be used again: whether its last commit
    /// is on disk is not known, and a later fsync that succeeds proves nothing
    /// about the pages of the one that failed.
    ///
    /// A full disk is not among these: SQLite reports it when `write` fails,
    /// before any fsync, and rolls back, so the same commit may be tried again.
    pub fn is_fatal(&self) -> bool {
        match self {
            StoreError::Commit { .. }
            | StoreError::Disk { .. }
            | StoreError::Corrupt { .. }
            | StoreError::NotAState { .. }
            | StoreError::Unusable { .. } => true,
            StoreError::Locked { .. }
            | StoreError::Directory { .. }
            | StoreError::File { .. }
            | StoreError::Empty { .. }
            | StoreError::Orphaned { .. }
            | StoreError::NewerVersion { .. }
            | StoreError::NoWriteAheadLog { .. }
            | StoreError::DiskFull { .. }
            | StoreError::Busy { .. }
            | StoreError::CheckpointBehind { .. }
            | StoreError::Sqlite { .. } => false,
        }
    }

    /// It was rolled back, and the same may be tried again in a while.
    pub fn may_pass(&self) -> bool {
        matches!(self, StoreError::DiskFull { .. } | StoreError::Busy { .. })
    }

    /// A restart changes nothing: a person must mend it (exit code 69).
    pub fn needs_person(&self) -> bool {
        match self {
            StoreError::Locked { .. }
            | StoreError::Directory { .. }
            | StoreError::File { .. }
            | StoreError::Empty { .. }
            | StoreError::Orphaned { .. }
            | StoreError::NotAState { .. }
            | StoreError::NewerVersion { .. }
            | StoreError::Corrupt { .. }
            | StoreError::NoWriteAheadLog { .. } => true,
            StoreError::DiskFull { .. }
            | StoreError::Disk { .. }
            | StoreError::Busy { .. }
            | StoreError::Commit { .. }
            | StoreError::Unusable { .. }
            | StoreError::CheckpointBehind { .. }
            | StoreError::Sqlite { .. } => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            StoreError::Locked { .. } => Some(
                "One state file serves one daemon. End the other process, or give this one a state file and a slot of its own.",
            ),
            StoreError::Directory { .. } => {
                Some("The directory must exist and be writable for the user that walhook runs as.")
            }
            StoreError::File { .. } => {
                Some("The file must be readable and writable for the user that walhook runs as.")
            }
            StoreError::Empty { .. } | StoreError::Corrupt { .. } => Some(
                "Restore the state file from a backup, together with its -wal file. Without one, move it away and run \"walhook adopt\": events that it kept as waiting or dead letters are lost.",
            ),
            StoreError::Orphaned { .. } => Some(
                "Put the state file back beside it. If it is gone for good, move this file away and run \"walhook adopt\".",
            ),
            StoreError::NotAState { .. } => {
                Some("Check the path under \"state\"; nothing was written to the file.")
            }
            StoreError::NewerVersion { .. } => Some(
                "Run the newer walhook, or restore the state file as it was before the upgrade.",
            ),
            StoreError::NoWriteAheadLog { .. } => {
                Some("Put the state file on a local file system.")
            }
            StoreError::DiskFull { .. } => {
                Some("Make room on the disk; until then nothing new is confirmed to Postgres.")
            }
            StoreError::Disk { .. } | StoreError::Commit { .. } | StoreError::Unusable { .. } => {
                Some(
                    "Look for errors of the disk in the system's log. After a restart walhook goes on from the last checkpoint that reached the disk.",
                )
            }
            StoreError::Busy { .. } => {
                Some("Another program, such as the sqlite3 shell, holds a lock on the file.")
            }
            StoreError::CheckpointBehind { .. } | StoreError::Sqlite { .. } => None,
        }
    }
}

/// An error inside a piece of work, before it is known what it means for the file.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    /// A stored value that this code would not have written.
    Unreadable(&'static str),
    CheckpointBehind {
        slot: String,
        stored: Lsn,
        given: Lsn,
    },
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Sqlite(error)
    }
}

impl From<Failed> for Fault {
    fn from(_: Failed) -> Self {
        Fault::Sqlite(disk_failed())
    }
}

/// As SQLite says it when a write or an fsync fails.
pub(super) fn disk_failed() -> rusqlite::Error {
    let code = rusqlite::ffi::SQLITE_IOERR_FSYNC;
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
}

impl Fault {
    /// Of a statement, not of a COMMIT.
    pub(super) fn of_statement(self, action: &'static str, path: PathBuf) -> StoreError {
        match self {
            Fault::Sqlite(source) => match disk_error(source, path) {
                Ok(error) => error,
                Err((source, path)) => StoreError::Sqlite {
                    action,
                    path,
                    source,
                },
            },
            Fault::Unreadable(what) => StoreError::Corrupt {
                path,
                detail: format!("unreadable {what}"),
            },
            Fault::CheckpointBehind {
                slot,
                stored,
                given,
            } => StoreError::CheckpointBehind {
                slot,
                stored,
                given,
            },
        }
    }
}

/// Of a COMMIT, after which nothing is certain unless it was refused outright.
pub(super) fn of_commit(source: rusqlite::Error, path: PathBuf) -> StoreError {
    disk_error(source, path).unwrap_or_else(|(source, path)| StoreError::Commit { path, source })
}

fn disk_error(
    source: rusqlite::Error,
    path: PathBuf,
) -> Result<StoreError, (rusqlite::Error, PathBuf)> {
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Ok(StoreError::DiskFull { path }),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Ok(StoreError::Busy { path }),
        Some(ErrorCode::DatabaseCorrupt) => Ok(StoreError::Corrupt {
            path,
            detail: source.to_string(),
        }),
        Some(ErrorCode::NotADatabase) => Ok(StoreError::NotAState { path }),
        Some(ErrorCode::SystemIoFailure) => Ok(StoreError::Disk { path, source }),
        _ => Err((source, path)),
    }
}
