//! The types of one database by OID.

use std::collections::{HashMap, HashSet};

use super::builtin::Builtin;
use super::builtin::builtin;

/// What was done to the attributes of a composite type since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attributes {
    /// An older value has the first ones alone.
    OnlyAdded,
    /// Which ones an older value has cannot be told.
    SomeDropped,
}

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
        /// The `typdelim` of the element's type.
        delimiter: u8,
    },
    /// Attributes in order, without dropped ones: name and type.
    Composite {
        fields: Vec<(String, u32)>,
        history: Attributes,
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

/// A type that is known.
pub(super) enum Known<'a> {
    Builtin(Builtin),
    User(&'a TypeKind),
}

impl Types {
    /// Adds or replaces a type read from the catalog; says whether it is another than
    /// before. A built-in one stays as it is.
    pub fn insert(&mut self, oid: u32, kind: TypeKind) -> bool {
        let before = self.user.get(&oid).is_some_and(|before| *before == kind);
        self.user.insert(oid, kind);
        !before
    }

    /// Whether values of `oid` are or hold composites, whose inside can change.
    pub fn has_composite(&self, oid: u32) -> bool {
        match self.known(oid) {
            Some(Known::User(TypeKind::Composite { .. })) => true,
            Some(Known::User(
                TypeKind::Domain { base: part } | TypeKind::Array { element: part, .. },
            )) => self.has_composite(*part),
            _ => false,
        }
    }

    /// The OIDs that must be read from the catalog before values of `oid` can be
    /// encoded: itself, or what it is made of. Empty when all is known; else ask
    /// again after inserting, until it is.
    pub fn missing(&self, oid: u32) -> Vec<u32> {
        let mut missing = Vec::new();
        let mut seen = HashSet::new();
        let mut open = vec![oid];
        while let Some(oid) = open.pop() {
            if !seen.insert(oid) {
                continue;
            }
            match self.known(oid) {
                None => missing.push(oid),
                Some(Known::User(TypeKind::Domain { base })) => open.push(*base),
                Some(Known::User(TypeKind::Array { element, .. })) => open.push(*element),
                Some(Known::User(TypeKind::Composite { fields, .. })) => {
                    open.extend(fields.iter().map(|(_, field)| *field));
                }
                Some(Known::User(TypeKind::Base | TypeKind::Enum | TypeKind::Hstore))
                | Some(Known::Builtin(_)) => {}
            }
        }
        missing
    }

    pub(super) fn known(&self, oid: u32) -> Option<Known<'_>> {
        builtin(oid)
            .map(Known::Builtin)
            .or_else(|| self.user.get(&oid).map(Known::User))
    }
}
