//! Any bytes as what an endpoint answers, over a real connection: the client makes an answer
//! of them, of which little is kept, and the next request is not harmed.

#![no_main]

use std::cell::OnceCell;
use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use walhook::delivery::client::{Client, tls_config};
use walhook::delivery::outcome::{Answer, Outcome, outcome};
use walhook::delivery::request::Webhook;
use walhook::delivery::signature::SigningKey;
use walhook::delivery::target::{HeaderMap, Target};
use walhook_fuzz::Input;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const BEGINNING_BYTES_MAX: usize = 1024;
/// So many addresses, each with ports of its own: closed connections keep theirs a while.
const ADDRESSES: usize = 8;

/// What an answer may begin with, to be changed.
const BASES: [&[u8]; 6] = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 500 Oh\r\ntransfer-encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\ntrailer: 1\r\n\r\n",
    b"HTTP/1.0 410 Gone\r\nconnection: close\r\n\r\ngone",
    b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-encoding: gzip\r\n\r\n\x1f\x8b",
];

struct Bench {
    runtime: Runtime,
    /// A client keeps its connections, so each address has its own.
    places: Vec<(TcpListener, Client)>,
}

thread_local! {
    static BENCH: OnceCell<Bench> = const { OnceCell::new() };
}

fn bench() -> Bench {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let places = (1..=ADDRESSES).map(|last| {
        let listener = runtime.block_on(TcpListener::bind(format!("127.0.0.{last}:0")));
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("an address");
        let target = Target {
            url: format!("http://{address}/secret-path")
                .parse()
                .expect("a URL"),
            keys: vec![SigningKey::parse(SECRET).expect("a secret")],
            headers: HeaderMap::new(),
            timeout: Duration::from_secs(5),
        };
        let client = Client::new(target, tls_config().expect("TLS")).expect("a client");
        (listener, client)
    });
    let places = places.collect();
    Bench { runtime, places }
}

fuzz_target!(|data: &[u8]| {
    BENCH.with(|cell| try_one(cell.get_or_init(bench), &mut Input(data)));
});

fn try_one(bench: &Bench, input: &mut Input<'_>) {
    let (listener, client) = &bench.places[usize::from(input.byte()) % ADDRESSES];
    let cut = usize::from(input.byte());
    let bytes = match input.byte() {
        0..96 => input.rest().to_vec(),
        kind => {
            let base = BASES[usize::from(kind) % BASES.len()];
            let mut bytes = input.edited(base);
            bytes.extend(input.rest());
            bytes
        }
    };
    let webhook = Webhook {
        id: "evt_1".to_owned(),
        body: "{}".into(),
    };
    let answer = bench.runtime.block_on(async {
        let mut post = std::pin::pin!(client.post(&webhook, 1_700_000_000, 1));
        loop {
            tokio::select! {
                biased;
                answer = &mut post => break answer,
                // It may come twice: a pooled connection that was closed is no failed attempt.
                accepted = listener.accept() => {
                    let (mut socket, _) = accepted.expect("a connection");
                    let answering = async {
                        let mut request = [0; 4096];
                        let _ = socket.read(&mut request).await;
                        let (first, rest) = bytes.split_at(cut.min(bytes.len()));
                        let _ = socket.write_all(first).await;
                        tokio::task::yield_now().await;
                        let _ = socket.write_all(rest).await;
                    };
                    tokio::select! {
                        answer = &mut post => break answer,
                        () = answering => {}
                        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("no answer"),
                    }
                }
            }
        }
    });
    judge(&answer, &bytes);
}

fn judge(answer: &Answer, bytes: &[u8]) {
    if let Answer::Response {
        status, beginning, ..
    } = answer
    {
        assert!((200..1000).contains(status), "status {status}");
        assert!(
            beginning.len() <= BEGINNING_BYTES_MAX,
            "{} bytes kept",
            beginning.len()
        );
        assert!(
            bytes.starts_with(b"HTTP/1."),
            "a status out of what is no HTTP"
        );
    }
    let judged = outcome(answer, &[], SystemTime::now());
    assert!(
        !judged.to_string().contains("secret-path"),
        "an outcome shows the URL"
    );
    let is_timeout = matches!(
        judged,
        Outcome::Unreachable(walhook::delivery::outcome::Unreachable::Timeout)
    );
    assert!(!is_timeout, "a connection that ended was waited for");
}
