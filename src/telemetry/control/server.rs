//! The daemon's end of the control socket.

use std::fs::{self, Permissions};
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::line::{LINE_BYTES_MAX, response_line};
use super::request::Request;
use super::response::Response;
use crate::store::StateFiles;

/// Served at a time; others wait to be accepted.
const CONNECTIONS_MAX: usize = 8;
/// For a client to send its request, and then to read its response.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// After a connection could not be accepted, as when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("path of the control socket beside \"{}\" is too long", state.display())]
    TooLong { state: PathBuf },
    #[error("could not make the control socket \"{}\"", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// The socket, removed when dropped: drop it before the state's lock.
#[derive(Debug)]
pub struct ControlListener {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for ControlListener {
    fn drop(&mut self) {
        // A socket that stays is refused by its next client and replaced by the next daemon.
        let _ = fs::remove_file(&self.path);
    }
}

/// Only for who holds the state's lock: a socket of that name is then a crashed
/// daemon's, and is replaced. Needs a tokio runtime.
pub fn bind(files: &StateFiles) -> Result<ControlListener, BindError> {
    let path = files.socket().ok_or_else(|| BindError::TooLong {
        state: files.state().to_owned(),
    })?;
    // Named once it is for its owner alone; the name before is not longer.
    let unfinished = path.with_extension("bind");
    let made = remove_if_there(&unfinished)
        .and_then(|()| StdUnixListener::bind(&unfinished))
        .and_then(|listener| {
            fs::set_permissions(&unfinished, Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            let listener = UnixListener::from_std(listener)?;
            fs::rename(&unfinished, &path)?;
            Ok(listener)
        });
    match made {
        Ok(listener) => Ok(ControlListener { listener, path }),
        Err(source) => Err(BindError::Io { path, source }),
    }
}

fn remove_if_there(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Answers requests until `stop`, then drops those under way and removes the socket.
pub async fn serve<H, F>(control: ControlListener, handle: H, stop: CancellationToken)
where
    H: Fn(Request) -> F,
    F: Future<Output = Response>,
{
    serve_within(control, handle, stop, CLIENT_TIMEOUT).await;
}

pub(super) async fn serve_within<H, F>(
    control: ControlListener,
    handle: H,
    stop: CancellationToken,
    client_timeout: Duration,
) where
    H: Fn(Request) -> F,
    F: Future<Output = Response>,
{
    let mut connections = FuturesUnordered::new();
    loop {
        let accepted = tokio::select! {
            biased;
            // 1. The end.
            () = stop.cancelled() => break,
            // 2. Those under way.
            Some(()) = connections.next(), if !connections.is_empty() => continue,
            // 3. New ones, while there is room.
            accepted = control.listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
        };
        match accepted {
            Ok((stream, _)) => connections.push(answer(stream, &handle, client_timeout)),
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection on the control socket");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A client that breaks off harms nobody.
async fn answer<H, F>(mut stream: UnixStream, handle: &H, client_timeout: Duration)
where
    H: Fn(Request) -> F,
    F: Future<Output = Response>,
{
    let response = match timeout(client_timeout, read_request(&mut stream)).await {
        Ok(Ok(request)) => handle(request).await,
        Ok(Err(response)) => response,
        Err(_) => Response::failed("request did not arrive in time"),
    };
    let line = response_line(&response);
    if let Ok(Err(error)) = timeout(client_timeout, stream.write_all(&line)).await {
        tracing::debug!(%error, "could not answer on the control socket");
    }
}

async fn read_request(stream: &mut UnixStream) -> Result<Request, Response> {
    let mut line = Vec::new();
    let limit = LINE_BYTES_MAX as u64 + 1;
    let read = BufReader::new(stream.take(limit))
        .read_until(b'\n', &mut line)
        .await;
    if read.is_err() || line.last() != Some(&b'\n') {
        return Err(Response::failed(if line.len() > LINE_BYTES_MAX {
            "request is too long"
        } else {
            "request is not a whole line"
        }));
    }
    serde_json::from_slice(&line).map_err(|error| {
        Response::failed(format!(
            "request is not understood by walhook {}: {error}",
            env!("CARGO_PKG_VERSION")
        ))
    })
}
