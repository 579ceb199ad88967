//! The open state file, and what a transaction that fails means for it.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::error::{Fault, StoreError, disk_failed, of_commit};
use super::lock::StateLock;
use super::open;
use crate::failpoint;

/// The state file: the one writer, synchronous, for a thread of its own.
///
/// It reads no clock: times are arguments, milliseconds since 1970. What it gives
/// back was written by an earlier clock, which may have been wrong: callers clamp
/// such times to the present.
///
/// Every method that changes something is one transaction, on disk (fsync) when
/// it returns. An error with [`StoreError::is_fatal`] ends the store's use: every
/// later call fails with [`StoreError::Unusable`].
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    usable: bool,
    /// Released after the connection is closed.
    lock: StateLock,
}

impl Store {
    /// Opens or creates the state file that `lock` is for, and keeps the lock.
    pub fn open(lock: StateLock) -> Result<Self, StoreError> {
        let connection = open::open(lock.files())?;
        Ok(Store {
            connection,
            usable: true,
            lock,
        })
    }

    pub fn path(&self) -> &Path {
        self.lock.files().state()
    }

    /// Gives up to `pages_max` free pages back to the file system, for when a
    /// large spool has drained. Returns whether there were more.
    pub fn give_back(&mut self, pages_max: u32) -> Result<bool, StoreError> {
        self.write("give back free pages", |connection| {
            let mut vacuum =
                connection.prepare(&format!("PRAGMA incremental_vacuum({pages_max})"))?;
            let mut rows = vacuum.query([])?;
            while rows.next()?.is_some() {}
            let left: i64 = connection.pragma_query_value(None, "freelist_count", |r| r.get(0))?;
            Ok(left > 0)
        })
    }

    /// What it could still take: on its disk, and in pages that are free inside. Where the
    /// disk does not say, it does not count.
    pub fn free_bytes(&mut self) -> Result<u64, StoreError> {
        let inside = self.read("look for free pages", |connection| {
            let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get(0));
            let (pages, size): (i64, i64) = (number("freelist_count")?, number("page_size")?);
            Ok(pages.cast_unsigned().saturating_mul(size.cast_unsigned()))
        })?;
        let on_disk = rustix::fs::statvfs(self.path())
            .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        Ok(on_disk.saturating_add(inside))
    }

    pub(super) fn read<T>(
        &mut self,
        action: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.check_usable()?;
        work(&self.connection).map_err(|fault| self.judge(action, fault))
    }

    /// All of `work` or nothing of it.
    pub(super) fn write<T>(
        &mut self,
        action: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.check_usable()?;
        let worked = match self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
        {
            Err(error) => Err(error.into()),
            Ok(transaction) => match work(&transaction) {
                // Dropped, it rolls back.
                Err(fault) => Err(fault),
                Ok(value) => match failpoint::before(action) {
                    Ok(()) => Ok((value, transaction.commit())),
                    Err(failed) => Err(failed.into()),
                },
            },
        };
        let worked = match worked {
            Ok((value, Ok(()))) => match failpoint::after(action) {
                Ok(()) => Ok((value, Ok(()))),
                Err(_) => Ok((value, Err(disk_failed()))),
            },
            other => other,
        };
        match worked {
            Ok((value, Ok(()))) => Ok(value),
            Ok((_, Err(error))) => {
                let error = of_commit(error, self.path().to_owned());
                self.note(&error);
                Err(error)
            }
            Err(fault) => Err(self.judge(action, fault)),
        }
    }

    fn check_usable(&self) -> Result<(), StoreError> {
        if self.usable {
            Ok(())
        } else {
            Err(StoreError::Unusable {
                path: self.path().to_owned(),
            })
        }
    }

    fn judge(&mut self, action: &'static str, fault: Fault) -> StoreError {
        let error = fault.of_statement(action, self.path().to_owned());
        self.note(&error);
        error
    }

    /// Still in a transaction: the rollback failed, too.
    fn note(&mut self, error: &StoreError) {
        if error.is_fatal() || !self.connection.is_autocommit() {
            self.usable = false;
        }
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// The row number of a slot that is known to the file.
pub(super) fn find_slot(connection: &Connection, slot: &str) -> Result<Option<i64>, Fault> {
    let mut find = connection.prepare_cached("SELECT id FROM slot WHERE name = ?1")?;
    Ok(find.query_row([slot], |row| row.get(0)).optional()?)
}

/// The row number of a slot, which is made known with a new history where it is not.
pub(super) fn slot_id(connection: &Connection, slot: &str) -> Result<i64, Fault> {
    if let Some(id) = find_slot(connection, slot)? {
        return Ok(id);
    }
    connection
        .prepare_cached("INSERT INTO slot (name, history) VALUES (?1, random())")?
        .execute([slot])?;
    Ok(connection.last_insert_rowid())
}
