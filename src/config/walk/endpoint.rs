//! `endpoints`: where events go.

use std::sync::Arc;
use std::time::Duration;

use super::cursor::{At, Fields, Walk};
use super::keys;
use crate::config::problem::Place;
use crate::config::ready::Endpoint;
use crate::delivery::target::Target;
use crate::mapping::form::{BodyForm, LargeNumbers, Oversize};

const TIMEOUT: Duration = Duration::from_secs(15);
const NAME_BYTES_MAX: usize = 63;

/// The names of the endpoints, also of those with problems, so that a `to` that
/// names one of them is not told too.
pub(super) struct Names {
    pub all: Vec<Name>,
    /// `endpoints` could not be read at all, so no `to` can be judged.
    pub known: bool,
}

pub(super) struct Name {
    pub name: String,
    pub place: Place,
    pub used: bool,
}

impl Walk<'_> {
    pub(super) fn endpoints(&mut self, root: &Fields<'_>) -> (Option<Vec<Endpoint>>, Names) {
        let mut names = Names {
            all: Vec::new(),
            known: false,
        };
        let Some(at) = root.get("endpoints") else {
            self.missing(&root.at, "endpoints")
                .hint("name at least one endpoint, with its url and secret");
            return (None, names);
        };
        let Some(fields) = self.mapping(&at, "endpoints by their names") else {
            return (None, names);
        };
        if fields.is_empty() {
            self.problem(&at, "there is no endpoint")
                .hint("name at least one endpoint, with its url and secret");
            return (None, names);
        }
        names.known = true;
        let mut endpoints = Some(Vec::new());
        for (name, at) in fields.iter() {
            names.all.push(Name {
                name: name.to_owned(),
                place: at.node.place.clone(),
                used: false,
            });
            self.check_name(name, &at);
            match (self.endpoint(name, &at), &mut endpoints) {
                (Some(endpoint), Some(endpoints)) => endpoints.push(endpoint),
                _ => endpoints = None,
            }
        }
        (endpoints, names)
    }

    /// An endpoint's name stands in commands, in metrics and in the state file.
    fn check_name(&mut self, name: &str, at: &At<'_>) {
        let letters = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        let begins = name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric());
        if !letters || !begins || name.len() > NAME_BYTES_MAX {
            self.problem(at, "not a name for an endpoint").hint(format!(
                "write letters, digits, \"_\", \"-\" and \".\", at most {NAME_BYTES_MAX}, a letter or digit first"
            ));
        }
    }

    fn endpoint(&mut self, name: &str, at: &At<'_>) -> Option<Endpoint> {
        let fields = self.fields(at, &keys::ENDPOINT)?;
        let url = self.target_url(&fields);
        let keys = match fields.get("secret") {
            Some(secret) => self.signing_keys(&secret, name),
            None => {
                self.missing(at, "secret").hint(super::secret::HINT);
                None
            }
        };
        let headers = match fields.get("headers") {
            Some(headers) => self.headers(&headers),
            None => Some(Default::default()),
        };
        let timeout = match fields.get("timeout") {
            Some(timeout) => {
                let range = Duration::from_millis(1)..=Duration::from_secs(3600);
                self.duration(&timeout, range)
            }
            None => Some(TIMEOUT),
        };
        let lanes = self.lanes(&fields);
        let form = self.form(&fields);
        Some(Endpoint {
            name: Arc::from(name),
            target: Target {
                url: url?,
                keys: keys?,
                headers: headers?,
                timeout: timeout?,
            },
            lanes: lanes?,
            form: form?,
        })
    }

    fn form(&mut self, endpoint: &Fields<'_>) -> Option<BodyForm> {
        let default = BodyForm::default();
        let bytes_max = match endpoint.get("max_body") {
            Some(at) => {
                let size = self.size(&at, 1 << 10..=1 << 30);
                size.and_then(|size| usize::try_from(size).ok())
            }
            None => Some(default.bytes_max),
        };
        let oversize = match endpoint.get("oversize") {
            Some(at) => self.choice(
                &at,
                &[
                    ("reference", Oversize::Reference),
                    ("dead_letter", Oversize::DeadLetter),
                ],
            ),
            None => Some(default.oversize),
        };
        let large_numbers = match endpoint.get("large_numbers") {
            Some(at) => self.choice(
                &at,
                &[
                    ("number", LargeNumbers::Numbers),
                    ("string", LargeNumbers::Strings),
                ],
            ),
            None => Some(default.large_numbers),
        };
        Some(BodyForm {
            large_numbers: large_numbers?,
            bytes_max: bytes_max?,
            oversize: oversize?,
        })
    }

    /// Endpoints that no rule names.
    pub(super) fn tell_unused(&mut self, names: &Names) {
        if !self.findings.problems.is_empty() {
            // A rule that would use it may be what is wrong.
            return;
        }
        for name in names.all.iter().filter(|name| !name.used) {
            let path = crate::config::key_path::KeyPath::root()
                .key("endpoints")
                .key(&name.name);
            self.findings.warning(crate::config::problem::Problem::new(
                name.place.clone(),
                path.to_string(),
                "no rule and no alert goes to it",
            ));
        }
    }
}
