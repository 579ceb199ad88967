//! Where an endpoint is and how it is spoken to.

use std::fmt;
use std::time::Duration;

pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::signature::SigningKey;

/// An endpoint's address, keys and headers. `Debug` shows scheme and host alone.
#[derive(Clone)]
pub struct Target {
    pub url: Url,
    /// Every request carries a signature for each. Never empty.
    pub keys: Vec<SigningKey>,
    /// Sent with every request; values are marked sensitive.
    pub headers: HeaderMap,
    /// For connect, TLS, headers and body together.
    pub timeout: Duration,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("origin", &self.origin())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// Scheme, host and port: the part of the URL that may be shown.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}
