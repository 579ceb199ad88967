//! The files of one state: where each of them is.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::StoreError;

/// The longest path of a unix socket, in bytes: `sun_path` without its final
/// NUL, on Linux 107, on macOS and the BSDs 103.
const SOCKET_PATH_BYTES_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The state file with links resolved, so that two spellings of its path share
/// one lock and one socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFiles {
    state: PathBuf,
}

impl StateFiles {
    /// Fails when the directory is not there or cannot be read.
    pub fn at(path: &Path) -> Result<Self, StoreError> {
        if let Ok(state) = fs::canonicalize(path) {
            return Ok(StateFiles { state });
        }
        let directory = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => Path::new("/"),
        };
        let resolved = fs::canonicalize(directory).and_then(|directory| {
            let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
            fs::metadata(&directory)?
                .is_dir()
                .then(|| directory.join(name))
                .ok_or_else(|| io::ErrorKind::NotADirectory.into())
        });
        match resolved {
            Ok(state) => Ok(StateFiles { state }),
            Err(source) => Err(StoreError::Directory {
                path: path.to_owned(),
                source,
            }),
        }
    }

    pub fn state(&self) -> &Path {
        &self.state
    }

    pub fn lock(&self) -> PathBuf {
        self.with_suffix(".lock")
    }

    /// The control socket. Where `<state>.sock` is longer than a socket's path
    /// may be, a short name in the same directory; `None` when that is too long.
    pub fn socket(&self) -> Option<PathBuf> {
        let usual = self.with_suffix(".sock");
        let short = || {
            let hash = usual.as_os_str().as_encoded_bytes().iter();
            // FNV-1a, because the name must be the same in every version.
            let hash = hash.fold(0x811C_9DC5_u32, |hash, byte| {
                (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
            });
            self.directory().join(format!("{hash:08x}.sock"))
        };
        let fits = |path: &PathBuf| path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX;
        Some(usual.clone())
            .filter(fits)
            .or_else(|| Some(short()).filter(fits))
    }

    pub(super) fn write_ahead_log(&self) -> PathBuf {
        self.with_suffix("-wal")
    }

    pub(super) fn shared_memory(&self) -> PathBuf {
        self.with_suffix("-shm")
    }

    /// What a new state file is called until it is whole.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.with_suffix(".new")
    }

    pub(super) fn directory(&self) -> &Path {
        self.state.parent().unwrap_or(Path::new("/"))
    }

    fn with_suffix(&self, suffix: &str) -> PathBuf {
        let mut path = OsString::from(&self.state);
        path.push(suffix);
        path.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_a_path_share_their_files() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state.db");
        fs::write(&state, "x").unwrap();
        let link = directory.path().join("link.db");
        std::os::unix::fs::symlink(&state, &link).unwrap();
        assert_eq!(
            StateFiles::at(&state).unwrap(),
            StateFiles::at(&link).unwrap()
        );
        let roundabout = directory.path().join(".").join("state.db");
        assert_eq!(
            StateFiles::at(&state).unwrap(),
            StateFiles::at(&roundabout).unwrap()
        );
    }

    #[test]
    fn a_long_path_gets_a_short_socket_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let long = StateFiles::at(&directory.path().join("s".repeat(120))).unwrap();
        let socket = long.socket().unwrap();
        assert_eq!(socket.parent(), Some(long.directory()));
        assert!(socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX);

        let deep = directory.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        assert_eq!(
            StateFiles::at(&deep.join("state.db")).unwrap().socket(),
            None
        );
    }
}
