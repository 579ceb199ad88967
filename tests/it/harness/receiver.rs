//! A receiver: verifies and keeps every request, and answers as the test told it.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, Connection};
use super::http::{Request, read_request};
use super::verify::{random_secret, verify};
use super::{block_on, runtime};

/// One request, whatever became of it.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub at: Instant,
    pub request: Request,
    /// It was answered with a 2xx.
    pub accepted: bool,
    /// One, or those of a batch.
    pub events: Vec<Event>,
}

impl Attempt {
    pub fn id(&self) -> &str {
        self.request.header("webhook-id")
    }

    /// The number in `webhook-attempt`.
    pub fn number(&self) -> u32 {
        self.request
            .header("webhook-attempt")
            .parse()
            .expect("a number")
    }
}

/// One event of a request. Cheap to clone.
pub type Event = Arc<Seen>;

#[derive(Debug)]
pub struct Seen {
    pub id: String,
    /// Its `type`; empty with a payload of the rule's own.
    pub kind: String,
    /// `schema.table` or `message prefix`, likewise.
    pub table: String,
    pub operation: String,
    /// Commit LSN and ordinal of the change.
    pub position: (u64, u64),
    /// The JSON as it came.
    pub text: String,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("json, as the receiver checked")
    }

    /// A column of `data`.
    pub fn data(&self, column: &str) -> Value {
        self.json()["data"][column].take()
    }
}

#[derive(Deserialize)]
struct Envelope {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    source: Source,
}

/// An event about walhook itself.
#[derive(Deserialize)]
struct Alert {
    id: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    schema: String,
    #[serde(default)]
    table: String,
    /// Of a logical message, which is no table's.
    prefix: Option<String>,
    operation: String,
    lsn: String,
    index: u64,
}

pub struct Receiver {
    shared: Arc<Shared>,
    address: SocketAddr,
    path: String,
    /// Releases what is held when the receiver goes.
    standing: CancellationToken,
    /// Bound and never listening: keeps the port ours while connections are refused.
    _reserved: TcpSocket,
}

struct Shared {
    log: Mutex<Log>,
    changed: watch::Sender<()>,
    /// Ends the listener and all connections.
    stop: Mutex<CancellationToken>,
    bytes_sent: AtomicU64,
}

struct Log {
    secrets: Vec<String>,
    attempts: Vec<Attempt>,
    /// Of accepted attempts, in their order.
    events: Vec<Event>,
    next: VecDeque<Answer>,
    always: Answer,
    choose: Option<Choice>,
    /// Taken since the start.
    connections: usize,
    /// Connections and listeners that are open.
    open: usize,
    /// Requests read and not yet answered, and the most there ever were.
    in_flight: usize,
    in_flight_peak: usize,
    problems: Vec<String>,
    /// By webhook-id: a hash of the body.
    bodies: HashMap<String, u64>,
    keeps_attempts: bool,
}

type Choice = Box<dyn FnMut(&Attempt) -> Option<Answer> + Send>;

impl Receiver {
    pub async fn start() -> Receiver {
        Receiver::at_path("/hooks").await
    }

    pub async fn at_path(path: &str) -> Receiver {
        let reserved = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = reserved.local_addr().expect("its address");
        let receiver = Receiver {
            shared: Arc::new(Shared {
                log: Mutex::new(Log {
                    secrets: vec![random_secret()],
                    attempts: Vec::new(),
                    events: Vec::new(),
                    next: VecDeque::new(),
                    always: Answer::Accept,
                    choose: None,
                    connections: 0,
                    open: 0,
                    in_flight: 0,
                    in_flight_peak: 0,
                    problems: Vec::new(),
                    bodies: HashMap::new(),
                    keeps_attempts: true,
                }),
                changed: watch::channel(()).0,
                stop: Mutex::default(),
                bytes_sent: AtomicU64::new(0),
            }),
            address,
            path: path.to_owned(),
            standing: CancellationToken::new(),
            _reserved: reserved,
        };
        receiver.serve().await;
        receiver
    }

    /// For load: keeps the events, but not the requests that they came in.
    pub fn keep_events_only(self) -> Receiver {
        self.log().keeps_attempts = false;
        self
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }

    /// What it verifies with, and what the daemon's config gets.
    pub fn secret(&self) -> String {
        self.log().secrets[0].clone()
    }

    /// Takes requests signed with any of these.
    pub fn set_secrets(&self, secrets: &[&str]) {
        self.log().secrets = secrets.iter().map(|secret| (*secret).to_owned()).collect();
    }

    // ---- what it answers -------------------------------------------------------------------

    /// The answer to a request to come, after those that are already set.
    pub fn next(&self, answer: Answer) {
        self.log().next.push_back(answer);
    }

    /// The answer to every request for which none is set.
    pub fn always(&self, answer: Answer) {
        self.log().always = answer;
    }

    /// Chooses the answer by the request; `None` leaves it to the others.
    pub fn choose(&self, choice: impl FnMut(&Attempt) -> Option<Answer> + Send + 'static) {
        self.log().choose = Some(Box::new(choice));
    }

    /// Holds the next request until the token that it returns is cancelled.
    pub fn hold_next(&self) -> CancellationToken {
        let release = self.standing.child_token();
        self.next(Answer::Held(release.clone(), Box::new(Answer::Accept)));
        release
    }

    /// Refuses connections and cuts those that are open. The port stays ours.
    pub async fn refuse(&self) {
        let closed = self.close().await;
        assert!(closed, "the listener and all connections end");
    }

    /// Takes connections again.
    pub async fn accept_again(&self) {
        self.serve().await;
    }

    // ---- what arrived ----------------------------------------------------------------------

    /// Every event that was accepted, in the order of arrival.
    pub fn events(&self) -> Vec<Event> {
        self.log().events.clone()
    }

    /// Every request, accepted or not.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.log().attempts.clone()
    }

    pub fn count(&self) -> usize {
        self.log().events.len()
    }

    /// TCP connections taken since the start.
    pub fn connections(&self) -> usize {
        self.log().connections
    }

    /// The most requests that ever waited for their answers at once.
    pub fn in_flight_peak(&self) -> usize {
        self.log().in_flight_peak
    }

    /// Bytes of endless bodies that were taken off its hands.
    pub fn bytes_sent(&self) -> u64 {
        self.shared.bytes_sent.load(Ordering::Relaxed)
    }

    /// What was wrong with requests so far. Taking it keeps the test from failing by it.
    pub fn take_problems(&self) -> Vec<String> {
        std::mem::take(&mut self.log().problems)
    }

    // ---- waiting ---------------------------------------------------------------------------

    /// Waits for `n` accepted events, counted from the start, and returns all there are.
    #[track_caller]
    pub fn wait_for(&self, n: usize, within: Duration) -> impl Future<Output = Vec<Event>> {
        let caller = Location::caller();
        async move {
            let found = |log: &Log| (log.events.len() >= n).then(|| log.events.clone());
            self.wait(caller, &format!("{n} events"), within, found)
                .await
        }
    }

    /// The same for a receiver of many, without all there are.
    #[track_caller]
    pub fn wait_for_so_many(&self, n: usize, within: Duration) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            let found = |log: &Log| (log.events.len() >= n).then_some(());
            self.wait(caller, &format!("{n} events"), within, found)
                .await;
        }
    }

    /// Waits until the accepted events are as wanted.
    #[track_caller]
    pub fn wait_until(
        &self,
        wanted: impl Fn(&[Event]) -> bool,
        within: Duration,
    ) -> impl Future<Output = Vec<Event>> {
        let caller = Location::caller();
        async move {
            let found = |log: &Log| wanted(&log.events).then(|| log.events.clone());
            self.wait(caller, "the wanted events", within, found).await
        }
    }

    /// Waits for `n` requests, accepted or not, and returns all there are.
    #[track_caller]
    pub fn wait_for_attempts(
        &self,
        n: usize,
        within: Duration,
    ) -> impl Future<Output = Vec<Attempt>> {
        let caller = Location::caller();
        async move {
            let found = |log: &Log| (log.attempts.len() >= n).then(|| log.attempts.clone());
            self.wait(caller, &format!("{n} requests"), within, found)
                .await
        }
    }

    async fn wait<T>(
        &self,
        caller: &Location<'_>,
        what: &str,
        within: Duration,
        found: impl Fn(&Log) -> Option<T>,
    ) -> T {
        let mut changed = self.shared.changed.subscribe();
        let search = async {
            loop {
                changed.borrow_and_update();
                if let Some(result) = found(&self.log()) {
                    return result;
                }
                changed
                    .changed()
                    .await
                    .expect("the receiver outlives its waiters");
            }
        };
        let result = tokio::time::timeout(within, search).await;
        let Ok(result) = result else {
            let summary = self.log().summary();
            panic!("{caller}: not {what} within {within:?}, but {summary}");
        };
        result
    }

    // ---- inside ----------------------------------------------------------------------------

    fn log(&self) -> MutexGuard<'_, Log> {
        self.shared.log()
    }

    /// Whether the listener and all connections came to their end.
    async fn close(&self) -> bool {
        let stop = self.shared.stop.lock();
        stop.unwrap_or_else(PoisonError::into_inner).cancel();
        let shared = Arc::clone(&self.shared);
        let mut changed = shared.changed.subscribe();
        // Not `wait_for`: its closure would take the log's lock while nothing can be sent.
        let closed = async {
            while shared.log().open > 0 {
                changed.changed().await.expect("our own sender");
            }
        };
        let closed = tokio::time::timeout(Duration::from_secs(5), closed).await;
        closed.is_ok()
    }

    async fn serve(&self) {
        let socket = bound(self.address);
        let stop = CancellationToken::new();
        *self.shared.stop.lock().expect("stop") = stop.clone();
        let shared = Arc::clone(&self.shared);
        let listening = async move { socket.listen(1024) };
        let listener = runtime()
            .spawn(listening)
            .await
            .expect("no panic")
            .expect("listen");
        shared.listener_opened();
        runtime().spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = accept(&listener, &shared, &stop) => {}
            }
            drop(listener);
            shared.closed();
        });
    }
}

/// A socket with this address that does not listen yet: connecting to it is refused.
fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("reuseaddr");
    socket.bind(address).expect("a free port");
    socket
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>, stop: &CancellationToken) {
    loop {
        // An error is the peer's: it went away before it was accepted.
        let Ok((mut stream, _)) = listener.accept().await else {
            continue;
        };
        stream.set_nodelay(true).ok();
        shared.connection_opened();
        let shared = Arc::clone(shared);
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                // An error ends the connection, which is what the sender may do at any time.
                _ = converse(&mut stream, &shared) => {}
            }
            drop(stream);
            shared.closed();
        });
    }
}

async fn converse(stream: &mut TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(stream, &mut buffer).await? {
        let last = request.header("connection") == "close";
        let answer = shared.take(request);
        let answering = Answering(shared);
        let after = answer.give(stream, &shared.bytes_sent).await?;
        drop(answering);
        if last || after == Connection::Closed {
            break;
        }
    }
    Ok(())
}

/// Counts a request as in flight until it is answered or its connection ends.
struct Answering<'a>(&'a Shared);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.log().in_flight -= 1;
        self.0.changed.send_replace(());
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listener_opened(&self) {
        self.log().open += 1;
    }

    fn connection_opened(&self) {
        let mut log = self.log();
        log.open += 1;
        log.connections += 1;
    }

    fn closed(&self) {
        self.log().open -= 1;
        self.changed.send_replace(());
    }

    /// Checks and keeps a request, and says how to answer it.
    fn take(&self, request: Request) -> Answer {
        let mut log = self.log();
        let events = log.check(&request);
        let mut attempt = Attempt {
            at: Instant::now(),
            request,
            accepted: false,
            events,
        };
        let log = &mut *log;
        log.in_flight += 1;
        log.in_flight_peak = log.in_flight_peak.max(log.in_flight);
        let chosen = log.choose.as_mut().and_then(|choose| choose(&attempt));
        let answer = chosen.or_else(|| log.next.pop_front());
        let answer = answer.unwrap_or_else(|| log.always.clone());
        attempt.accepted = answer.accepts();
        if attempt.accepted {
            log.events.extend(attempt.events.iter().cloned());
        }
        if log.keeps_attempts {
            log.attempts.push(attempt);
        }
        self.changed.send_replace(());
        answer
    }
}

impl Log {
    /// Notes what is wrong with a request, and takes it apart.
    fn check(&mut self, request: &Request) -> Vec<Event> {
        let id = request.header("webhook-id").to_owned();
        let mut problem = |text: String| self.problems.push(format!("{id}: {text}"));

        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let verdict = verify(
            &self.secrets,
            &id,
            request.header("webhook-timestamp"),
            request.header("webhook-signature"),
            &request.body,
            now.expect("a clock after 1970").as_secs().cast_signed(),
        );
        if let Err(text) = verdict {
            problem(text);
        }
        if request.method != "POST" {
            problem(format!("method {}", request.method));
        }
        if request.header("content-type") != "application/json" {
            problem(format!("content-type {}", request.header("content-type")));
        }
        if !request.header("user-agent").starts_with("walhook/") {
            problem(format!("user-agent {}", request.header("user-agent")));
        }

        // One id is one body, and its attempts are counted.
        let attempt: u32 = request.header("webhook-attempt").parse().unwrap_or(0);
        if attempt == 0 {
            problem(format!(
                "webhook-attempt {:?}",
                request.header("webhook-attempt")
            ));
        }
        let mut hasher = DefaultHasher::new();
        request.body.hash(&mut hasher);
        let body = hasher.finish();
        let earlier = self.bodies.insert(id.clone(), body);
        if earlier.is_some_and(|earlier| earlier != body) {
            problem("another body under the same id".to_owned());
        }

        match events(&id, &request.body) {
            Ok(events) => events,
            Err(error) => {
                problem(error);
                Vec::new()
            }
        }
    }

    fn summary(&self) -> String {
        let mut kinds: Vec<(&str, usize)> = Vec::new();
        for event in &self.events {
            match kinds.iter_mut().find(|(kind, _)| *kind == event.kind) {
                Some((_, count)) => *count += 1,
                None => kinds.push((&event.kind, 1)),
            }
        }
        let mut text = format!("{} events", self.events.len());
        for (kind, count) in kinds {
            write!(text, ", {count} x {kind:?}").expect("a String");
        }
        let refused = self.attempts.iter().filter(|attempt| !attempt.accepted);
        write!(text, "; {} requests not accepted", refused.count()).expect("a String");
        if !self.problems.is_empty() {
            write!(text, "; wrong requests: {:#?}", self.problems).expect("a String");
        }
        text
    }
}

/// The events of a body: an object is one, an array is a batch.
fn events(id: &str, body: &[u8]) -> Result<Vec<Event>, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the body is no UTF-8".to_owned())?;
    if !text.starts_with('[') {
        let event = event(text, Some(id))?;
        return match event.kind.as_str() {
            "" => Ok(vec![event]),
            _ if event.id == id => Ok(vec![event]),
            _ => Err(format!("the body's id is {}", event.id)),
        };
    }
    let parts: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|error| format!("the body is no JSON: {error}"))?;
    if parts.is_empty() {
        return Err("an empty batch".to_owned());
    }
    parts.iter().map(|part| event(part.get(), None)).collect()
}

fn event(text: &str, webhook_id: Option<&str>) -> Result<Event, String> {
    let seen = match serde_json::from_str::<Envelope>(text) {
        Ok(Envelope { id, kind, source }) => Seen {
            id,
            kind,
            table: match source.prefix {
                Some(prefix) => format!("message {prefix}"),
                None => format!("{}.{}", source.schema, source.table),
            },
            operation: source.operation,
            position: (lsn(&source.lsn)?, source.index),
            text: text.to_owned(),
        },
        // A payload of the rule's own: any JSON.
        Err(error) => {
            let json: Result<&RawValue, _> = serde_json::from_str(text);
            json.map_err(|error| format!("the body is no JSON: {error}"))?;
            let alert = serde_json::from_str::<Alert>(text).ok();
            let alert = alert.filter(|alert| alert.kind.starts_with("walhook."));
            let (id, kind) = match (alert, webhook_id) {
                (Some(alert), _) => (alert.id, alert.kind),
                (None, Some(id)) => (id.to_owned(), String::new()),
                (None, None) => return Err(format!("not an event: {error}")),
            };
            Seen {
                id,
                kind,
                table: String::new(),
                operation: String::new(),
                position: (0, 0),
                text: text.to_owned(),
            }
        }
    };
    Ok(Arc::new(seen))
}

fn lsn(text: &str) -> Result<u64, String> {
    let parsed = text.split_once('/').and_then(|(high, low)| {
        let high = u64::from_str_radix(high, 16).ok()?;
        Some(high << 32 | u64::from_str_radix(low, 16).ok()?)
    });
    parsed.ok_or_else(|| format!("the LSN {text:?}"))
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.standing.cancel();
        let closed = block_on(self.close());
        let problems = self.take_problems();
        // A second panic would end the whole test process.
        if !std::thread::panicking() {
            assert!(closed, "the listener and all connections end");
            assert!(problems.is_empty(), "wrong requests: {problems:#?}");
        }
    }
}
