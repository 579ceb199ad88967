//! The path of keys to a value: `tables."public.orders".events.update[0]`.

use std::fmt;

use crate::delivery::target::HeaderName;

/// It knows which values may be shown, and leaves keys out of itself that a slip
/// made of a secret (`secret: {whsec_...}`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPath {
    text: String,
    zone: Zone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zone {
    Root,
    Source,
    Endpoints,
    Endpoint,
    Headers,
    /// A secret or what may hold one.
    Secret,
    Elsewhere,
}

impl KeyPath {
    pub fn root() -> Self {
        KeyPath {
            text: String::new(),
            zone: Zone::Root,
        }
    }

    pub fn key(&self, key: &str) -> Self {
        let zone = match (self.zone, key) {
            (Zone::Root, "source") => Zone::Source,
            (Zone::Root, "endpoints") => Zone::Endpoints,
            (Zone::Endpoints, _) => Zone::Endpoint,
            (Zone::Endpoint, "headers") => Zone::Headers,
            (Zone::Source | Zone::Endpoint, "url")
            | (Zone::Endpoint, "secret")
            | (Zone::Headers | Zone::Secret, _) => Zone::Secret,
            (Zone::Root | Zone::Source | Zone::Endpoint | Zone::Elsewhere, _) => Zone::Elsewhere,
        };
        let shown = match self.zone {
            Zone::Secret => key == "file",
            Zone::Headers => HeaderName::from_bytes(key.as_bytes()).is_ok(),
            Zone::Root | Zone::Source | Zone::Endpoints | Zone::Endpoint | Zone::Elsewhere => true,
        } && !key.contains("whsec_")
            && !key.contains("://")
            && !key.contains("password=");
        let mut text = self.text.clone();
        if shown {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(&written(key));
        }
        KeyPath { text, zone }
    }

    pub fn index(&self, index: usize) -> Self {
        KeyPath {
            text: format!("{}[{index}]", self.text),
            zone: match self.zone {
                Zone::Secret => Zone::Secret,
                _ => Zone::Elsewhere,
            },
        }
    }

    /// A value here may stand in a message.
    pub fn shows_values(&self) -> bool {
        self.zone != Zone::Secret
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A key in quotes where it needs some, in single ones when it has double ones itself.
fn written(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(plain) {
        return key.to_owned();
    }
    let key: String = key
        .chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect();
    if key.contains('"') {
        format!("'{key}'")
    } else {
        format!("\"{key}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_quoted_where_they_need_it() {
        let tables = KeyPath::root().key("tables");
        let update = tables.key("public.orders").key("events").key("update");
        assert_eq!(
            update.index(0).to_string(),
            r#"tables."public.orders".events.update[0]"#
        );
        assert_eq!(tables.key(r#""a.b".c"#).to_string(), r#"tables.'"a.b".c'"#);
        assert_eq!(tables.key("a\nb").to_string(), r#"tables."a\nb""#);
        assert_eq!(tables.key("").to_string(), r#"tables."""#);
    }

    #[test]
    fn what_a_slip_makes_a_key_is_left_out() {
        let endpoint = KeyPath::root().key("endpoints").key("billing");
        let secret = endpoint.key("secret");
        assert_eq!(secret.key("CANARY").to_string(), "endpoints.billing.secret");
        assert_eq!(
            secret.index(1).key("file").to_string(),
            "endpoints.billing.secret[1].file"
        );
        assert_eq!(
            endpoint.key("headers").key("Bearer CANARY").to_string(),
            "endpoints.billing.headers"
        );
        assert_eq!(KeyPath::root().key("postgres://u:CANARY@h").to_string(), "");
        let source = KeyPath::root().key("source");
        assert_eq!(source.key("password=CANARY").to_string(), "source");
    }

    #[test]
    fn values_are_shown_but_for_secrets() {
        let endpoint = KeyPath::root().key("endpoints").key("billing");
        assert!(endpoint.key("timeout").shows_values());
        assert!(!endpoint.key("url").shows_values());
        assert!(!endpoint.key("secret").index(0).shows_values());
        assert!(!endpoint.key("secret").key("file").shows_values());
        assert!(!endpoint.key("headers").key("x-team").shows_values());
        assert!(!KeyPath::root().key("source").key("url").shows_values());
    }
}
