//! An endpoint's `secret`: one, a list while rotating, `{file: ...}` for a
//! systemd credential.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::cursor::{At, Walk};
use super::keys;
use crate::config::problem::Place;
use crate::config::source::tree::Value;
use crate::delivery::signature::SigningKey;
use crate::secret::Secret;

pub(super) const HINT: &str = "write whsec_ and the base64 of 24 to 64 random bytes, best as ${VARIABLE} or {file: path};\nto make one: echo \"whsec_$(openssl rand -base64 32)\"";
const SECRETS_MAX: usize = 10;
const FILE_BYTES_MAX: u64 = 4096;
/// 24 random bytes have fewer distinct ones once in 10^20 times.
const DISTINCT_BYTES_MIN: usize = 10;

impl Walk<'_> {
    pub(super) fn signing_keys(&mut self, at: &At<'_>, endpoint: &str) -> Option<Vec<SigningKey>> {
        let items = self.one_or_list(at);
        if items.is_empty() || items.len() > SECRETS_MAX {
            self.problem(at, format!("a list of {} secrets", items.len()))
                .hint(format!("write 1 to {SECRETS_MAX}"));
            return None;
        }
        let keys: Vec<Option<SigningKey>> = items
            .iter()
            .map(|item| self.signing_key(item, endpoint))
            .collect();
        keys.into_iter().collect()
    }

    fn signing_key(&mut self, at: &At<'_>, endpoint: &str) -> Option<SigningKey> {
        let (secret, from) = match &at.node.value {
            Value::Map(_) => self.secret_file(at)?,
            Value::Scalar(_) => {
                let text = self.text(at, "a secret (whsec_...)")?;
                (Secret::new(text), self.secret_shown(at))
            }
            Value::List(_) => {
                self.problem(at, "a list in a list").hint(HINT);
                return None;
            }
        };
        let text = std::str::from_utf8(secret.expose()).unwrap_or_default();
        let key = match SigningKey::parse(text) {
            Ok(key) => key,
            Err(error) => {
                self.problem(at, format!("{from} cannot sign"))
                    .detail(error.to_string())
                    .hint(HINT);
                return None;
            }
        };
        let bytes = key_bytes(text);
        if distinct(bytes.expose()) < DISTINCT_BYTES_MIN {
            self.problem(at, format!("{from} is weak: its bytes are not random"))
                .hint(HINT);
            return None;
        }
        self.tell_shared(at, bytes, endpoint);
        Some(key)
    }

    fn secret_shown(&self, at: &At<'_>) -> String {
        match self.shown(at).as_str() {
            "the value" => "the secret".to_owned(),
            other => other.to_owned(),
        }
    }

    /// Who holds the secret of one endpoint could forge what another gets.
    fn tell_shared(&mut self, at: &At<'_>, bytes: Secret, endpoint: &str) {
        let other = self
            .secrets
            .iter()
            .find(|(seen, _)| *seen == bytes)
            .map(|(_, other)| other.clone());
        match other {
            Some(other) if other == endpoint => {
                self.warning(
                    at,
                    "the same secret twice: every request would carry two equal signatures",
                )
                .hint("leave one of the two");
            }
            Some(other) => {
                self.warning(
                    at,
                    format!("the same secret as that of endpoint \"{other}\""),
                )
                .detail("a receiver that holds it could forge what the other one gets")
                .hint("give each endpoint a secret of its own");
            }
            None => self.secrets.push((bytes, endpoint.to_owned())),
        }
    }

    /// The file's text without the newline at its end, and what it is called in messages.
    fn secret_file(&mut self, at: &At<'_>) -> Option<(Secret, String)> {
        let fields = self.fields(at, &keys::SECRET)?;
        let Some(file) = fields.get("file") else {
            self.missing(at, "file").hint(HINT);
            return None;
        };
        let written = self.text(&file, "the path of a file")?;
        let path = self.secret_path(written);
        // A path is no secret, unless a variable brought it.
        let by_variable = matches!(file.node.place, Place::Variable(_)) || {
            let Value::Scalar(scalar) = &file.node.value else {
                return None;
            };
            scalar.origin != crate::config::source::tree::Origin::Written
        };
        let shown = if by_variable {
            format!("the file at {}", self.shown(&file))
        } else {
            format!("file \"{}\"", path.display())
        };
        let mut bytes = Vec::new();
        let read =
            File::open(&path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
        let secret = Secret::new(without_newline(&bytes));
        if let Err(error) = read {
            self.problem(&file, format!("{shown} cannot be read"))
                .detail(reason(&error));
            return None;
        }
        Some((secret, shown))
    }

    /// systemd puts credentials into a directory of its own.
    /// <https://systemd.io/CREDENTIALS/>
    fn secret_path(&self, written: &str) -> PathBuf {
        match self.env.get("CREDENTIALS_DIRECTORY") {
            Some(directory) if !directory.is_empty() => PathBuf::from(directory).join(written),
            Some(_) | None => self.directory.join(written),
        }
    }
}

fn without_newline(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// An I/O error without its number.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

fn key_bytes(secret: &str) -> Secret {
    let encoded = secret.strip_prefix("whsec_").unwrap_or_default();
    Secret::new(STANDARD.decode(encoded).unwrap_or_default())
}

fn distinct(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    for &byte in bytes {
        seen[usize::from(byte)] = true;
    }
    seen.iter().filter(|seen| **seen).count()
}
