//! One process a state file: an advisory lock on a file beside it, which the
//! system releases when the process ends, however it ends.
//!
//! The lock file stays when the lock is released: removing it would let two
//! processes each hold the lock on a file of the same name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error::StoreError;
use super::files::StateFiles;

/// The right to use the state file. Held until dropped.
#[derive(Debug)]
pub struct StateLock {
    files: StateFiles,
    /// Holds the lock while it is open.
    _lock_file: File,
}

impl StateLock {
    /// Does not wait: a lock that is held is an error, which names the process.
    pub fn acquire(state: &Path) -> Result<Self, StoreError> {
        let files = StateFiles::at(state)?;
        let path = files.lock();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| match source.kind() {
                io::ErrorKind::PermissionDenied if path.exists() => StoreError::File {
                    path: path.clone(),
                    source,
                },
                _ => StoreError::Directory {
                    path: files.state().to_owned(),
                    source,
                },
            })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked {
                    path: files.state().to_owned(),
                    pid: read_pid(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => return Err(StoreError::File { path, source }),
        }
        write_pid(&mut file).map_err(|source| StoreError::File { path, source })?;
        Ok(StateLock {
            files,
            _lock_file: file,
        })
    }

    pub fn files(&self) -> &StateFiles {
        &self.files
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes())
}

/// `None` when the holder has not written it yet.
fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_names_the_holder_until_the_first_is_released() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state.db");
        let first = StateLock::acquire(&state).unwrap();
        let error = StateLock::acquire(&state).unwrap_err();
        let pid = std::process::id();
        assert!(matches!(error, StoreError::Locked { pid: Some(found), .. } if found == pid));
        assert!(error.needs_person());
        assert!(error.to_string().contains(&format!("process {pid}")));
        drop(first);
        StateLock::acquire(&state).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_said_so() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing").join("state.db");
        let error = StateLock::acquire(&missing).unwrap_err();
        assert!(matches!(error, StoreError::Directory { .. }), "{error:?}");

        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = StateLock::acquire(&file.join("state.db")).unwrap_err();
        assert!(matches!(error, StoreError::Directory { .. }), "{error:?}");
        assert!(error.needs_person());
    }
}
