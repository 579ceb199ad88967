//! The HTTP side: takes POSTs on any path, verifies, answers as it is told to.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::verify::{Refusal, Signed, verify};
use crate::delivery::signature::SigningKey;

/// walhook sends no more than a batch or a row of this size.
const BODY_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// A request, and what was answered.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub at: SystemTime,
    pub path: String,
    /// As far as they are text.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub verdict: Verdict,
    /// The status that was answered.
    pub status: u16,
}

impl Receipt {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn accepted(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Verified,
    /// There is no key to verify with.
    Unverified,
    Refused(Refusal),
}

/// What to do with a request that is believed.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    pub status: u16,
    /// How long to wait before the answer.
    pub delay: Duration,
}

/// How requests are judged and answered.
#[derive(Clone)]
pub struct Answering {
    /// Any of them may have signed. Empty: nothing is verified.
    pub keys: Vec<SigningKey>,
    /// Asked for every request with its path.
    pub reply: Arc<dyn Fn(&str) -> Reply + Send + Sync>,
    /// Gets each request before it is answered.
    pub receipts: mpsc::Sender<Receipt>,
}

/// Serves until `stop`; does not wait for open connections.
pub fn serve(
    listener: TcpListener,
    answering: Answering,
    stop: CancellationToken,
) -> impl Future<Output = io::Result<()>> + Send {
    let router = Router::new()
        .fallback(receive)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(answering);
    async move {
        tokio::select! {
            served = axum::serve(listener, router) => served,
            () = stop.cancelled() => Ok(()),
        }
    }
}

async fn receive(
    State(answering): State<Answering>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    if method != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED;
    }
    let at = SystemTime::now();
    let verdict = judge(&answering.keys, &headers, &body, at);
    let reply = (answering.reply)(uri.path());
    let status = match verdict {
        Verdict::Refused(_) => StatusCode::UNAUTHORIZED,
        Verdict::Verified | Verdict::Unverified => {
            StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        }
    };
    tokio::time::sleep(reply.delay).await;
    let text = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let receipt = Receipt {
        at,
        path: uri.path().to_owned(),
        headers: headers.iter().filter_map(text).collect(),
        body,
        verdict,
        status: status.as_u16(),
    };
    // Who prints is gone only when the process ends; then nothing is accepted any more.
    match answering.receipts.send(receipt).await {
        Ok(()) => status,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn judge(keys: &[SigningKey], headers: &HeaderMap, body: &[u8], at: SystemTime) -> Verdict {
    if keys.is_empty() {
        return Verdict::Unverified;
    }
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let signed = Signed {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
    };
    let now = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    match verify(keys, signed, body, now) {
        Ok(()) => Verdict::Verified,
        Err(refusal) => Verdict::Refused(refusal),
    }
}
