//! A tree that knows where each of its values stands.
//!
//! There is no `Debug` on it: it holds secrets.

use crate::config::problem::Place;

#[derive(Clone)]
pub struct Node {
    /// Of a scalar its own, of a list or mapping that of its key.
    pub place: Place,
    pub value: Value,
}

#[derive(Clone)]
pub enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the file, no key twice.
    Map(Vec<Entry>),
}

#[derive(Clone)]
pub struct Entry {
    pub key: String,
    pub place: Place,
    pub node: Node,
}

/// Text, read as what the walk wants at its place.
#[derive(Clone)]
pub struct Scalar {
    pub text: String,
    pub style: Style,
    pub origin: Origin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Quoted,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Origin {
    Written,
    /// The value is that of these variables.
    Filled(Vec<String>),
    /// A variable in it is not set, which is already told.
    Unfillable,
}

impl Node {
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Scalar(_) | Value::List(_) => &[],
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.node)
    }

    /// Nodes in it, itself included.
    pub fn count(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(_) => 0,
            Value::List(items) => items.iter().map(Node::count).sum(),
            Value::Map(entries) => entries.iter().map(|entry| entry.node.count()).sum(),
        }
    }

    /// For messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_null() => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

impl Scalar {
    /// YAML's null, as opposed to an empty text.
    pub fn is_null(&self) -> bool {
        self.style == Style::Plain
            && self.origin == Origin::Written
            && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}
