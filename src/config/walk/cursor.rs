//! Where the walk stands, and how it takes a mapping or a list apart.

use std::path::PathBuf;

use super::keys::{self, Keys};
use crate::config::environment::Environment;
use crate::config::key_path::KeyPath;
use crate::config::nearest::nearest;
use crate::config::problem::{Findings, Place, Problem};
use crate::config::source::tree::{Entry, Node, Value};
use crate::secret::Secret;

pub struct Walk<'e> {
    pub(super) env: &'e Environment,
    /// Of the config file: relative paths start there.
    pub(super) directory: PathBuf,
    pub(super) findings: Findings,
    /// The keys seen so far, and where: each endpoint should have its own.
    pub(super) secrets: Vec<(Secret, String)>,
}

/// A part of the tree and its key path.
#[derive(Clone)]
pub(super) struct At<'t> {
    pub node: &'t Node,
    pub path: KeyPath,
}

/// A mapping's entries.
pub(super) struct Fields<'t> {
    pub at: At<'t>,
    entries: &'t [Entry],
}

impl<'t> Fields<'t> {
    pub fn get(&self, key: &str) -> Option<At<'t>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(self.below(entry))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'t str, At<'t>)> {
        self.entries
            .iter()
            .map(|entry| (entry.key.as_str(), self.below(entry)))
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn below(&self, entry: &'t Entry) -> At<'t> {
        At {
            node: &entry.node,
            path: self.at.path.key(&entry.key),
        }
    }
}

impl<'e> Walk<'e> {
    pub fn new(env: &'e Environment, directory: PathBuf, findings: Findings) -> Self {
        Walk {
            env,
            directory,
            findings,
            secrets: Vec::new(),
        }
    }

    pub fn into_findings(self) -> Findings {
        self.findings
    }

    pub(super) fn problem(&mut self, at: &At<'_>, found: impl Into<String>) -> &mut Problem {
        let place = at.node.place.clone();
        self.findings
            .problem(Problem::new(place, at.path.to_string(), found))
    }

    pub(super) fn warning(&mut self, at: &At<'_>, found: impl Into<String>) -> &mut Problem {
        let place = at.node.place.clone();
        self.findings
            .warning(Problem::new(place, at.path.to_string(), found))
    }

    /// Tells that a key which must be there is not.
    pub(super) fn missing(&mut self, at: &At<'_>, key: &str) -> &mut Problem {
        let path = at.path.key(key);
        self.findings.problem(Problem::new(
            at.node.place.clone(),
            path.to_string(),
            "is missing",
        ))
    }

    /// A mapping with these keys; others are told.
    pub(super) fn fields<'t>(&mut self, at: &At<'t>, keys: &Keys) -> Option<Fields<'t>> {
        let fields = self.mapping(at, &keys.wanted())?;
        for entry in fields.entries {
            let key = entry.key.as_str();
            if !keys.known.contains(&key) {
                self.unknown(&fields.at, entry, keys);
            }
        }
        Some(fields)
    }

    fn unknown(&mut self, at: &At<'_>, entry: &Entry, keys: &Keys) {
        let key = entry.key.as_str();
        // A variable is named by itself, not by the line that it overrides.
        let place = match &entry.node.place {
            place @ Place::Variable(_) => place.clone(),
            Place::File | Place::Mark(_) => entry.place.clone(),
        };
        let path = at.path.key(key).to_string();
        let mut told = |found: &str, hint: String| {
            self.findings
                .problem(Problem::new(place.clone(), path.as_str(), found))
                .hint(hint);
        };
        if keys.later.contains(&key) {
            told(
                "is not supported by this version yet",
                "take it out".to_owned(),
            );
        } else if let Some(near) = nearest(key, keys.known.iter().copied()) {
            told("unknown key", format!("did you mean \"{near}\"?"));
        } else if let Some(home) = keys::home(key) {
            told("unknown key", format!("it belongs to {home}"));
        } else {
            told(
                "unknown key",
                format!("known here: {}", keys.known.join(", ")),
            );
        }
    }

    /// A mapping with names of the operator's own.
    pub(super) fn mapping<'t>(&mut self, at: &At<'t>, wanted: &str) -> Option<Fields<'t>> {
        match &at.node.value {
            Value::Map(entries) => Some(Fields {
                at: at.clone(),
                entries,
            }),
            Value::Scalar(_) | Value::List(_) => {
                self.wrong_kind(at, "a mapping", wanted);
                None
            }
        }
    }

    /// The items of a list, or the one that stands in place of a list.
    pub(super) fn one_or_list<'t>(&mut self, at: &At<'t>) -> Vec<At<'t>> {
        match &at.node.value {
            Value::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, node)| At {
                    node,
                    path: at.path.index(index),
                })
                .collect(),
            Value::Scalar(_) | Value::Map(_) => vec![at.clone()],
        }
    }

    /// `kind` is what would be right, `wanted` what to write.
    pub(super) fn wrong_kind(&mut self, at: &At<'_>, kind: &str, wanted: &str) {
        match at.node.kind() {
            "nothing" => self
                .problem(at, "has no value")
                .hint(format!("write {wanted}, or take the key out")),
            found => self
                .problem(at, format!("{found} where {kind} belongs"))
                .hint(format!("write {wanted}")),
        };
    }

    /// A value as a message may show it.
    pub(super) fn shown(&self, at: &At<'_>) -> String {
        use crate::config::source::tree::Origin;
        let Value::Scalar(scalar) = &at.node.value else {
            return at.node.kind().to_owned();
        };
        match (&at.node.place, &scalar.origin) {
            (Place::Variable(_), _) => "its value".to_owned(),
            (_, Origin::Filled(names)) => {
                let names: Vec<String> = names.iter().map(|name| format!("${{{name}}}")).collect();
                format!("the value of {}", names.join(" and "))
            }
            _ if !at.path.shows_values() => "the value".to_owned(),
            _ => quoted(&scalar.text),
        }
    }

    /// Nothing of the value comes from a variable, so that a message may speak of its inside.
    pub(super) fn is_open(&self, at: &At<'_>) -> bool {
        use crate::config::source::tree::Origin;
        let written = match &at.node.value {
            Value::Scalar(scalar) => scalar.origin == Origin::Written,
            Value::List(_) | Value::Map(_) => true,
        };
        written && !matches!(at.node.place, Place::Variable(_)) && at.path.shows_values()
    }
}

/// In double quotes, control characters escaped, cut when it is long.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push_str("...");
    }
    let escaped: String = shown
        .chars()
        .map(|c| {
            if c.is_control() {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        })
        .collect();
    format!("\"{escaped}\"")
}
