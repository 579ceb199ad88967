//! Values: from a type and the text of its output function to JSON.

use std::collections::HashMap;

/// What a type is made of, from `pg_type` and its neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeKind {
    /// A scalar with its own output function, a range, or anything sent as text.
    Base,
    Enum,
    Domain {
        base: u32,
    },
    /// A true array (`typsubscript = array_subscript_handler`).
    Array {
        element: u32,
        delimiter: u8,
    },
    /// Attributes in order, without dropped ones: name and type.
    Composite {
        fields: Vec<(String, u32)>,
    },
    /// hstore, found by its extension: goes as the object that `to_jsonb` makes.
    Hstore,
}

/// The types of one database by OID: the built-in ones, which are the same
/// everywhere, and those that were read from the catalog.
#[derive(Clone, Debug, Default)]
pub struct Types {
    user: HashMap<u32, TypeKind>,
}

impl Types {
    pub fn insert(&mut self, oid: u32, kind: TypeKind) {
        self.user.insert(oid, kind);
    }

    /// The OIDs that must be read from the catalog before values of `oid` can be
    /// encoded: itself, or what it is made of. Empty when all is known.
    pub fn missing(&self, _oid: u32) -> Vec<u32> {
        todo!()
    }
}

/// How the text of one type becomes JSON: worked out once per Relation message.
#[derive(Clone, Debug)]
pub struct Encoder;

/// The text is not what the type's output function writes: the type has changed
/// since it was read from the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value does not have the form of its type")]
pub struct Misfit;

impl Encoder {
    /// An unknown type goes as its text.
    pub fn new(_oid: u32, _types: &Types) -> Self {
        todo!()
    }

    /// Appends the JSON value for `text` (never SQL NULL) to `json`. Bytes that
    /// are no UTF-8 become U+FFFD. On `Err` nothing was appended.
    pub fn write(&self, _text: &[u8], _json: &mut Vec<u8>) -> Result<(), Misfit> {
        todo!()
    }
}

/// Appends `text` as a JSON string; true when bytes that are no UTF-8 became U+FFFD.
pub fn write_string(_text: &[u8], _json: &mut Vec<u8>) -> bool {
    todo!()
}
