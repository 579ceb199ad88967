//! The socket with both its ends, and what is carried out.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::client::call_within;
use super::server::serve_within;
use super::*;
use crate::store::{DeadFilter, DisabledBy, Dropped, EndpointState, StateFiles, StateLock, Store};

struct Daemon {
    directory: TempDir,
    files: StateFiles,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

/// Answers every request with its own text.
async fn echo(request: Request) -> Response {
    tokio::task::yield_now().await;
    Response::failed(format!("{request:?}"))
}

impl Daemon {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = StateFiles::at(&directory.path().join("state.db")).unwrap();
        let stop = CancellationToken::new();
        let listener = bind(&files).unwrap();
        let server = tokio::spawn(serve(listener, echo, stop.clone()));
        Daemon {
            directory,
            files,
            stop,
            server,
        }
    }

    async fn call(&self, request: Request) -> Option<Response> {
        let files = self.files.clone();
        spawn_blocking(move || call(&files, &request).unwrap())
            .await
            .unwrap()
    }

    /// What the server says to these bytes.
    async fn send(&self, bytes: Vec<u8>) -> String {
        let path = self.files.socket().unwrap();
        spawn_blocking(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            // The server may have answered before all is sent.
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).unwrap();
            line
        })
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn a_request_is_answered() {
    let daemon = Daemon::start();
    let request = Request::DeadRetry {
        filter: DeadFilter {
            endpoint: Some("billing\n".into()),
            ..DeadFilter::default()
        },
    };
    let expected = Response::failed(format!("{request:?}"));
    assert_eq!(daemon.call(request).await, Some(expected));
    assert!(daemon.call(Request::Status {}).await.is_some());
}

#[tokio::test]
async fn the_socket_is_for_its_owner_and_goes_with_the_daemon() {
    let daemon = Daemon::start();
    let path = daemon.files.socket().unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    daemon.stop.cancel();
    daemon.server.await.unwrap();
    assert_eq!(
        std::fs::read_dir(daemon.directory.path()).unwrap().count(),
        0
    );
    let absent = call(&daemon.files, &Request::Status {}).unwrap();
    assert_eq!(absent, None);
}

#[tokio::test]
async fn a_socket_that_a_crash_left_is_nobody_and_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let files = StateFiles::at(&directory.path().join("state.db")).unwrap();
    drop(UnixListener::bind(files.socket().unwrap()).unwrap());
    assert_eq!(call(&files, &Request::Status {}).unwrap(), None);
    bind(&files).unwrap();
}

#[tokio::test]
async fn a_request_that_is_none_is_told_so() {
    let daemon = Daemon::start();
    for (bytes, expected) in [
        (&b"{\"statu\":{}}\n"[..], "not understood"),
        (b"{\"status\":{\"x\":1}}\n", "unknown field"),
        (
            b"{\"dead_drop\":{\"filter\":{\"al\":1}}}\n",
            "unknown field",
        ),
        (b"\xFF\n", "not understood"),
        (b"{\"status\":{}}", "not a whole line"),
        (b"", "not a whole line"),
    ] {
        let answer = daemon.send(bytes.to_vec()).await;
        assert!(answer.contains(expected), "{answer}");
    }
    let mut long = vec![b' '; LINE_BYTES_MAX + 1];
    long.push(b'\n');
    let answer = daemon.send(long).await;
    assert!(answer.contains("too long"), "{answer}");
}

#[tokio::test]
async fn a_client_that_says_nothing_is_let_go() {
    let directory = tempfile::tempdir().unwrap();
    let files = StateFiles::at(&directory.path().join("state.db")).unwrap();
    let listener = bind(&files).unwrap();
    let short = Duration::from_millis(20);
    tokio::spawn(serve_within(
        listener,
        echo,
        CancellationToken::new(),
        short,
    ));
    let socket = files.socket().unwrap();
    let answer = spawn_blocking(move || {
        let mut answer = String::new();
        let mut idle = UnixStream::connect(socket).unwrap();
        idle.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.contains("in time"), "{answer}");
}

#[test]
fn a_daemon_that_hangs_is_told_from_one_that_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let files = StateFiles::at(&directory.path().join("state.db")).unwrap();
    let _hanging = UnixListener::bind(files.socket().unwrap()).unwrap();
    let short = Duration::from_millis(20);
    let error = call_within(&files, &Request::Status {}, short).unwrap_err();
    assert!(matches!(error, CallError::Silent { .. }), "{error:?}");
}

#[test]
fn an_endpoint_is_enabled_and_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let lock = StateLock::acquire(&directory.path().join("state.db")).unwrap();
    let mut store = Store::open(lock).unwrap();
    let disabled = EndpointState::Disabled(DisabledBy::SpoolFull);
    store.set_endpoint("walhook", "crm", disabled, 5).unwrap();

    let Response::Status(status) = execute(&mut store, &Request::Status {}, 9).unwrap() else {
        panic!("no status");
    };
    let by = "spool_full".to_owned();
    assert_eq!(
        status.slots[0].endpoints[0].condition,
        EndpointCondition::Disabled { by, since_ms: 5 }
    );

    let enable = Request::EndpointEnable { name: "crm".into() };
    for was_disabled_by in [Some(DisabledBy::SpoolFull), None] {
        assert_eq!(
            execute(&mut store, &enable, 9).unwrap(),
            Response::EndpointEnabled { was_disabled_by }
        );
    }
    let drop = Request::EndpointDrop { name: "crm".into() };
    assert_eq!(
        execute(&mut store, &drop, 9).unwrap(),
        Response::EndpointDropped(Dropped::default())
    );
}
