//! A network between the daemon and Postgres that breaks in all ways.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::database::Database;
use super::frames::{Frames, Place};
use super::runtime;

/// Passes connections on to a server, and does to them what the test says.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

/// Which of the daemon's two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Control,
    Replication,
}

/// What becomes of the bytes of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    #[default]
    Passed,
    /// They vanish, and no end is told.
    Swallowed,
    /// The daemon is told of an end that the server knows nothing of.
    EndedForDaemon,
    /// And the reverse.
    EndedForServer,
}

/// The streams that were to be cut.
#[derive(Debug, Default)]
pub struct Streams {
    pub begun: usize,
    /// What of the latest has passed, from the answer to START_REPLICATION on.
    pub passed: usize,
    /// Where the byte stood that was the first not to pass.
    pub cuts: Vec<Place>,
}

#[derive(Default)]
struct Shared {
    connections: Mutex<Vec<Arc<Connection>>>,
    /// Of the next streams, one by one: after how many bytes it ends.
    cuts: Mutex<VecDeque<usize>>,
    streams: watch::Sender<Streams>,
    /// All that streams bring, while it is wanted.
    recorded: Mutex<Option<Vec<u8>>>,
    /// Of every piece of bytes, in both directions.
    delay: Mutex<Duration>,
}

#[derive(Default)]
struct Connection {
    kind: OnceLock<Kind>,
    fate: watch::Sender<Fate>,
    /// START_REPLICATION was sent.
    streams: OnceLock<()>,
}

impl Proxy {
    pub async fn before(database: &Database) -> Proxy {
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, database.cluster.port));
        let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = runtime().spawn(listening).await.expect("no panic");
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared::default());
        let stop = CancellationToken::new();
        let accepting = accept(listener, server, Arc::clone(&shared), stop.clone());
        runtime().spawn(stop.clone().run_until_cancelled_owned(accepting));
        Proxy {
            address,
            shared,
            _stop: stop.drop_guard(),
        }
    }

    /// In place of the database's own URL.
    pub fn url(&self, database: &Database) -> String {
        format!("postgres://postgres@{}/{}", self.address, database.name)
    }

    /// What becomes of the connections of this kind that there are now.
    pub fn turn(&self, kind: Kind, fate: Fate) {
        for connection in self.shared.connections.lock().expect("connections").iter() {
            if connection.kind.get() == Some(&kind) {
                connection.fate.send_replace(fate);
            }
        }
    }

    /// Ends the next streams, each once so many bytes of it were passed on; by a reset when
    /// the number is odd.
    pub fn cut_streams_at(&self, offsets: &[usize]) {
        self.shared.cuts.lock().expect("cuts").extend(offsets);
    }

    /// How it goes with them.
    pub fn streams(&self) -> watch::Receiver<Streams> {
        self.shared.streams.subscribe()
    }

    /// Keeps what the streams bring that begin from now on.
    pub fn record(&self) {
        *self.shared.recorded.lock().expect("recorded") = Some(Vec::new());
    }

    /// What they brought, from the answer to START_REPLICATION on.
    pub fn recorded(&self) -> Vec<u8> {
        let recorded = self.shared.recorded.lock().expect("recorded");
        recorded.clone().unwrap_or_default()
    }

    pub fn delay(&self, by: Duration) {
        *self.shared.delay.lock().expect("delay") = by;
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    while let Ok((daemon, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(server).await else {
            continue;
        };
        for stream in [&daemon, &server] {
            stream.set_nodelay(true).ok();
        }
        let connection = Arc::new(Connection::default());
        let mut all = shared.connections.lock().expect("connections");
        all.push(Arc::clone(&connection));
        drop(all);
        let passing = pass(daemon, server, connection, Arc::clone(&shared));
        tokio::spawn(stop.clone().run_until_cancelled_owned(passing));
    }
}

async fn pass(
    daemon: TcpStream,
    server: TcpStream,
    connection: Arc<Connection>,
    shared: Arc<Shared>,
) {
    let (from_daemon, to_daemon) = daemon.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(
        up(from_daemon, to_server, &connection, &shared),
        down(from_server, to_daemon, &connection, &shared)
    );
}

/// From the daemon. Its first words say which connection it is.
async fn up(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    connection: &Connection,
    shared: &Shared,
) {
    let mut fate = connection.fate.subscribe();
    let mut buffer = vec![0; 64 * 1024];
    while let Some(bytes) = read(&mut from, &mut buffer, &mut fate, shared).await {
        let said = |words: &str| memchr::memmem::find(bytes, words.as_bytes()).is_some();
        if said("replication\0") {
            connection.kind.set(Kind::Replication).ok();
        } else if said("user\0") {
            connection.kind.set(Kind::Control).ok();
        }
        if said("START_REPLICATION") {
            connection.streams.set(()).ok();
        }
        if fate_of(&fate) == Fate::EndedForServer || to.write_all(bytes).await.is_err() {
            break;
        }
    }
    to.shutdown().await.ok();
}

/// From the server.
async fn down(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    connection: &Connection,
    shared: &Shared,
) {
    let mut fate = connection.fate.subscribe();
    let mut buffer = vec![0; 64 * 1024];
    let (mut streams, mut to_cut) = (false, None);
    while let Some(bytes) = read(&mut from, &mut buffer, &mut fate, shared).await {
        if fate_of(&fate) == Fate::EndedForDaemon {
            break;
        }
        if connection.streams.get().is_some() && !streams {
            streams = true;
            to_cut = ToCut::next(shared);
        }
        if streams && let Some(recorded) = &mut *shared.recorded.lock().expect("recorded") {
            recorded.extend(bytes);
        }
        let wanted = match &to_cut {
            Some(stream) => bytes.len().min(stream.at - stream.passed),
            None => bytes.len(),
        };
        if to.write_all(&bytes[..wanted]).await.is_err() {
            break;
        }
        if let Some(stream) = &mut to_cut
            && stream.pass(&bytes[..wanted], shared)
        {
            if stream.at % 2 == 1 {
                // A close with a linger time of 0 is a reset.
                let socket = SockRef::from(to.as_ref());
                socket.set_linger(Some(Duration::ZERO)).ok();
                to.forget();
            }
            connection.fate.send_replace(Fate::EndedForServer);
            return;
        }
    }
    if let Some(stream) = to_cut {
        stream.leave_to_next(shared);
    }
    to.shutdown().await.ok();
}

/// A stream that ends after so many bytes.
struct ToCut {
    at: usize,
    passed: usize,
    frames: Frames,
}

impl ToCut {
    fn next(shared: &Shared) -> Option<ToCut> {
        let at = shared.cuts.lock().expect("cuts").pop_front()?;
        shared.streams.send_modify(|streams| {
            streams.begun += 1;
            streams.passed = 0;
        });
        Some(ToCut {
            at,
            passed: 0,
            frames: Frames::default(),
        })
    }

    /// It ended before, for another reason.
    fn leave_to_next(self, shared: &Shared) {
        shared.cuts.lock().expect("cuts").push_front(self.at);
        shared
            .streams
            .send_modify(|streams| streams.begun = streams.begun.saturating_sub(1));
    }

    /// These bytes were passed on; whether it ends behind them.
    fn pass(&mut self, bytes: &[u8], shared: &Shared) -> bool {
        self.passed += bytes.len();
        self.frames.pass(bytes);
        let ends = self.passed == self.at;
        shared.streams.send_modify(|streams| {
            streams.passed = self.passed;
            streams.cuts.extend(ends.then(|| self.frames.place()));
        });
        ends
    }
}

/// The next bytes that are passed on; `None` at the end.
async fn read<'a>(
    from: &mut OwnedReadHalf,
    buffer: &'a mut [u8],
    fate: &mut watch::Receiver<Fate>,
    shared: &Shared,
) -> Option<&'a [u8]> {
    let read = loop {
        tokio::select! {
            biased;
            // The sender lives as long as the connection.
            _ = fate.changed() => match fate_of(fate) {
                Fate::Passed => {}
                Fate::Swallowed => std::future::pending().await,
                Fate::EndedForDaemon | Fate::EndedForServer => return Some(&[]),
            },
            read = from.read(buffer) => break read.ok().filter(|read| *read > 0)?,
        }
    };
    let delay = *shared.delay.lock().expect("delay");
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    Some(&buffer[..read])
}

fn fate_of(fate: &watch::Receiver<Fate>) -> Fate {
    *fate.borrow()
}
