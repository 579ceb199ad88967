//! A command's end of the control socket, blocking.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::line::{LINE_BYTES_MAX, to_line};
use super::request::Request;
use super::response::Response;
use crate::store::StateFiles;

/// For the daemon to answer: its store may be busy with a large commit.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("could not reach the daemon at \"{}\"", path.display())]
    Unreachable { path: PathBuf, source: io::Error },
    /// It holds the state's lock and does nothing.
    #[error("daemon at \"{}\" did not answer within {} s", path.display(), ANSWER_TIMEOUT.as_secs())]
    Silent { path: PathBuf },
    #[error("daemon at \"{}\" broke off the connection", path.display())]
    BrokenOff { path: PathBuf },
    #[error("answer of the daemon at \"{}\" is not understood", path.display())]
    NotUnderstood {
        path: PathBuf,
        source: serde_json::Error,
    },
}

/// Asks the daemon that runs with this state file; `None` where none does.
pub fn call(files: &StateFiles, request: &Request) -> Result<Option<Response>, CallError> {
    call_within(files, request, ANSWER_TIMEOUT)
}

pub(super) fn call_within(
    files: &StateFiles,
    request: &Request,
    answer_timeout: Duration,
) -> Result<Option<Response>, CallError> {
    let Some(path) = files.socket() else {
        return Ok(None);
    };
    let stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if is_absence(&error) => return Ok(None),
        Err(source) => return Err(CallError::Unreachable { path, source }),
    };
    let line = exchange(stream, request, answer_timeout).map_err(|error| explain(error, &path))?;
    if line.last() != Some(&b'\n') {
        return Err(CallError::BrokenOff { path });
    }
    serde_json::from_slice(&line)
        .map(Some)
        .map_err(|source| CallError::NotUnderstood { path, source })
}

/// No socket, or one that a crash left.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

fn exchange(
    mut stream: UnixStream,
    request: &Request,
    answer_timeout: Duration,
) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(answer_timeout))?;
    stream.set_write_timeout(Some(answer_timeout))?;
    stream.write_all(&to_line(request)?)?;
    let mut line = Vec::new();
    BufReader::new(stream.take(LINE_BYTES_MAX as u64)).read_until(b'\n', &mut line)?;
    Ok(line)
}

fn explain(error: io::Error, path: &Path) -> CallError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => CallError::Silent { path },
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => CallError::BrokenOff { path },
        _ => CallError::Unreachable {
            path,
            source: error,
        },
    }
}
