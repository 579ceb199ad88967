//! A receiver that only counts: compiled, no JSON, no checks. It is not the bottleneck.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How it answers.
#[derive(Clone, Copy)]
pub enum Manner {
    AtOnce,
    After(Duration),
    /// Never.
    Hang,
    /// A byte of the head now and then.
    Drip,
}

pub struct Counting {
    pub address: SocketAddr,
    events: Arc<AtomicU64>,
}

impl Counting {
    pub async fn start(manner: Manner) -> Counting {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let receiver = Counting {
            address: listener.local_addr().unwrap(),
            events: Arc::default(),
        };
        let events = Arc::clone(&receiver.events);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream, Arc::clone(&events), manner));
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    pub async fn wait_for(&self, events: u64) {
        while self.events() < events {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Events that were answered with 2xx.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }
}

async fn serve(mut stream: TcpStream, events: Arc<AtomicU64>, manner: Manner) {
    let id = memchr::memmem::Finder::new(b"{\"id\":\"evt_");
    let mut buffer: Vec<u8> = Vec::with_capacity(1 << 16);
    loop {
        let end = loop {
            if let Some(end) = whole(&buffer) {
                break end;
            }
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        };
        match manner {
            Manner::AtOnce => {}
            Manner::After(pause) => tokio::time::sleep(pause).await,
            Manner::Hang => std::future::pending().await,
            Manner::Drip => loop {
                if stream.write_all(b"H").await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            },
        }
        let count = id.find_iter(&buffer[..end]).count() as u64;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        if stream.write_all(answer).await.is_err() {
            return;
        }
        events.fetch_add(count, Ordering::Relaxed);
        buffer.drain(..end);
    }
}

/// Where the first request ends, if all of it is there.
fn whole(buffer: &[u8]) -> Option<usize> {
    let head = memchr::memmem::find(buffer, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let end = head + length.unwrap_or(0);
    (buffer.len() >= end).then_some(end)
}
