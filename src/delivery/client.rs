//! The client: the one file that knows the HTTP library.
//!
//! It follows no redirect, decompresses nothing, asks no proxy of the
//! environment, and reads at most 16 KiB of an answer's body. One
//! deadline covers connect, TLS, headers and body.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};

use super::outcome::{Answer, CertificateFault, Unreachable};
use super::request::Webhook;
use super::signature;
use super::target::Target;
use crate::failpoint;

/// An answer's body is read so far, then its connection is closed.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// So much of it is kept for the dead letter.
const BEGINNING_BYTES_MAX: usize = 1024;
/// A body that drips is not waited for longer: the status line has decided.
const BODY_WAIT_MAX: Duration = Duration::from_secs(1);
const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(30);
const USER_AGENT: &str = concat!("walhook/", env!("CARGO_PKG_VERSION"));

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const WEBHOOK_ATTEMPT: HeaderName = HeaderName::from_static("webhook-attempt");

/// The endpoint's connections and what every request to it has in common.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    target: Target,
    /// An answer has come, so a pooled connection may have been used since.
    answered: Arc<AtomicBool>,
}

/// The client could not be set up: the system's certificates are unusable.
#[derive(Debug, thiserror::Error)]
#[error("failed to set up the HTTP client")]
pub struct ClientError(#[source] reqwest::Error);

/// TLS as all endpoints use it: 1.2 and 1.3, the system's certificate authorities.
pub fn tls_config() -> Result<rustls::ClientConfig, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

impl Client {
    pub fn new(target: Target, tls: rustls::ClientConfig) -> Result<Self, ClientError> {
        let mut headers = target.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(USER_AGENT)
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE_CONNECTION_MAX)
            .build()
            .map_err(ClientError)?;
        Ok(Client {
            http,
            target,
            answered: Arc::default(),
        })
    }

    /// Posts the webhook once; `timestamp` is this attempt's, in Unix seconds, and
    /// `attempt` counts from 1.
    ///
    /// A pooled connection that the peer closed before it could answer is no failed
    /// attempt: the request is posted once more, over another connection.
    pub async fn post(&self, webhook: &Webhook, timestamp: i64, attempt: u32) -> Answer {
        let deadline = tokio::time::Instant::now() + self.target.timeout;
        let pooled = self.answered.load(Ordering::Relaxed);
        let answer = self.post_once(webhook, timestamp, attempt, deadline).await;
        match answer {
            Answer::None(Unreachable::Closed) if pooled => {
                self.post_once(webhook, timestamp, attempt, deadline).await
            }
            answer => answer,
        }
    }

    async fn post_once(
        &self,
        webhook: &Webhook,
        timestamp: i64,
        attempt: u32,
        deadline: tokio::time::Instant,
    ) -> Answer {
        if failpoint::before("send").is_err() {
            return Answer::None(Unreachable::Connect);
        }
        match tokio::time::timeout_at(deadline, self.exchange(webhook, timestamp, attempt)).await {
            Err(_) => Answer::None(Unreachable::Timeout),
            Ok(Err(error)) => Answer::None(unreachable(&error)),
            Ok(Ok(mut response)) => {
                self.answered.store(true, Ordering::Relaxed);
                let beginning = read_beginning(&mut response, deadline).await;
                Answer::Response {
                    status: response.status().as_u16(),
                    retry_after: response
                        .headers()
                        .get(RETRY_AFTER)
                        .and_then(|value| value.to_str().ok())
                        .map(str::to_owned),
                    beginning,
                }
            }
        }
    }

    async fn exchange(
        &self,
        webhook: &Webhook,
        timestamp: i64,
        attempt: u32,
    ) -> Result<reqwest::Response, reqwest::Error> {
        let signature = signature::header(&self.target.keys, &webhook.id, timestamp, &webhook.body);
        self.http
            .post(self.target.url.clone())
            .header(WEBHOOK_ID, &webhook.id)
            .header(WEBHOOK_TIMESTAMP, timestamp)
            .header(WEBHOOK_SIGNATURE, signature)
            .header(WEBHOOK_ATTEMPT, attempt)
            .body(webhook.body.clone())
            .send()
            .await
    }
}

/// The status line has decided already: what is wrong with the body, or how slowly
/// it comes, changes nothing. A body read to its end leaves the connection to the
/// next request.
async fn read_beginning(
    response: &mut reqwest::Response,
    deadline: tokio::time::Instant,
) -> Vec<u8> {
    let deadline = deadline.min(tokio::time::Instant::now() + BODY_WAIT_MAX);
    let mut beginning = Vec::new();
    let mut read = 0;
    while read < ANSWER_BYTES_MAX {
        let chunk: Bytes = match tokio::time::timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None) | Err(_)) | Err(_) => break,
        };
        read += chunk.len();
        let wanted = BEGINNING_BYTES_MAX.saturating_sub(beginning.len());
        beginning.extend_from_slice(chunk.get(..wanted).unwrap_or(&chunk));
    }
    beginning
}

/// The TLS error that `error` is or wraps: an `io::Error`'s `source` leaves out the
/// error inside it, which may be an `io::Error` again.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut error = error;
    while let Some(io) = error.downcast_ref::<io::Error>() {
        error = io.get_ref()?;
    }
    error.downcast_ref()
}

fn untrusted(error: &rustls::Error) -> Unreachable {
    use rustls::CertificateError as Fault;
    let rustls::Error::InvalidCertificate(fault) = error else {
        return Unreachable::Tls;
    };
    Unreachable::Certificate(match fault {
        Fault::Expired
        | Fault::ExpiredContext { .. }
        | Fault::NotValidYet
        | Fault::NotValidYetContext { .. } => CertificateFault::Time,
        Fault::NotValidForName | Fault::NotValidForNameContext { .. } => {
            CertificateFault::OtherName
        }
        Fault::UnknownIssuer => CertificateFault::UnknownIssuer,
        _ => CertificateFault::Other,
    })
}

/// Reads the kind of failure off the chain of causes. Nothing else of the error is
/// kept: its text may hold the URL.
fn unreachable(error: &reqwest::Error) -> Unreachable {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(tls) = tls_error(current) {
            return untrusted(tls);
        }
        if let Some(hyper) = current.downcast_ref::<hyper::Error>()
            && (hyper.is_parse() || hyper.is_parse_too_large())
        {
            return Unreachable::Garbage;
        }
        cause = current.source();
    }
    if error.is_timeout() {
        Unreachable::Timeout
    } else if error.is_connect() {
        Unreachable::Connect
    } else {
        Unreachable::Closed
    }
}
