//! The plan for one type: worked out once, then followed for every value.

use std::collections::HashMap;
use std::sync::Arc;

use super::builtin::Builtin;
use super::composite::Field;
use super::types::{Attributes, Known, TypeKind, Types};
use super::{array, composite, datetime, hstore, number, string};

const INT8: u32 = 20;
const NUMERIC: u32 = 1700;

/// How the text of one type becomes JSON: worked out once per Relation message.
#[derive(Clone, Debug)]
pub struct Encoder(Plan);

/// Whether the JSON says all that the text said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fidelity {
    #[default]
    Exact,
    /// Bytes that are no UTF-8 became U+FFFD.
    Lossy,
}

/// What becomes of numbers that may have more digits than a double keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LargeNumbers {
    #[default]
    Numbers,
    /// `int8` and `numeric` go as strings, whatever their values, also in arrays, domains and
    /// composite types; a number in a json is what was written there.
    Strings,
}

/// The text is not what the type's output function writes: the type has changed
/// since it was read from the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value does not have the form of its type")]
pub struct Misfit;

/// Types within types share their plans, so a plan is never larger than the
/// catalog's description.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    Text,
    Bool,
    Number,
    /// Between quotes.
    NumberText,
    Json(Trust),
    Timestamp,
    TimestampTz,
    Vector(Arc<Plan>),
    Array {
        element: Arc<Plan>,
        delimiter: u8,
    },
    Composite(Arc<[Field]>, Attributes),
    Hstore,
}

/// Where the type's OID comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Trust {
    /// From the Relation message, which is as old as the value: it fits.
    Stream,
    /// From the fields of a composite type as they are now. The value may be
    /// older, and a text in the place of a json must not break the body.
    Catalog,
}

impl Encoder {
    /// An unknown type goes as its text.
    pub fn new(oid: u32, types: &Types) -> Self {
        Encoder::of(oid, types, LargeNumbers::Numbers)
    }

    /// The same, with large numbers as they are wanted.
    pub fn of(oid: u32, types: &Types, large_numbers: LargeNumbers) -> Self {
        let mut planner = Planner {
            types,
            large_numbers,
            plans: HashMap::new(),
        };
        Encoder(planner.plan(oid, Trust::Stream))
    }

    /// Appends the JSON value for `text` (never SQL NULL) to `json`. On `Err`
    /// nothing was appended.
    pub fn write(&self, text: &[u8], json: &mut Vec<u8>) -> Result<Fidelity, Misfit> {
        let start = json.len();
        let written = self.0.write(text, json);
        if written.is_err() {
            json.truncate(start);
        }
        written
    }
}

impl Plan {
    /// As [`Encoder::write`], but on `Err` something may have been appended.
    pub(super) fn write(&self, text: &[u8], json: &mut Vec<u8>) -> Result<Fidelity, Misfit> {
        match self {
            Plan::Text => Ok(string::write(text, json)),
            Plan::Number => number::write(text, json),
            Plan::NumberText => number::write_quoted(text, json),
            Plan::Bool => {
                json.extend_from_slice(match text {
                    b"t" => b"true",
                    b"f" => b"false",
                    _ => return Err(Misfit),
                });
                Ok(Fidelity::Exact)
            }
            Plan::Json(Trust::Stream) => Ok(string::write_utf8(text, json)),
            Plan::Json(Trust::Catalog) => {
                serde_json::from_slice::<serde::de::IgnoredAny>(text).map_err(|_| Misfit)?;
                Ok(string::write_utf8(text, json))
            }
            Plan::Timestamp => datetime::write_timestamp(text, json),
            Plan::TimestampTz => datetime::write_timestamp_tz(text, json),
            Plan::Vector(element) => array::write_vector(text, element, json),
            Plan::Array { element, delimiter } => array::write(text, element, *delimiter, json),
            Plan::Composite(fields, history) => composite::write(text, fields, *history, json),
            Plan::Hstore => hstore::write(text, json),
        }
    }
}

struct Planner<'a> {
    types: &'a Types,
    large_numbers: LargeNumbers,
    /// `None`: being made. A type that contains itself, which Postgres does not
    /// allow, ends as text there.
    plans: HashMap<(u32, Trust), Option<Plan>>,
}

impl Planner<'_> {
    fn plan(&mut self, oid: u32, trust: Trust) -> Plan {
        if let Some(plan) = self.plans.get(&(oid, trust)) {
            return plan.clone().unwrap_or(Plan::Text);
        }
        self.plans.insert((oid, trust), None);
        let plan = self.make(oid, trust);
        self.plans.insert((oid, trust), Some(plan.clone()));
        plan
    }

    fn make(&mut self, oid: u32, trust: Trust) -> Plan {
        match self.types.known(oid) {
            None => Plan::Text,
            Some(Known::Builtin(builtin)) => match builtin {
                Builtin::Text => Plan::Text,
                Builtin::Bool => Plan::Bool,
                Builtin::Number => match (self.large_numbers, oid) {
                    (LargeNumbers::Strings, INT8 | NUMERIC) => Plan::NumberText,
                    _ => Plan::Number,
                },
                Builtin::Json => Plan::Json(trust),
                Builtin::Timestamp => Plan::Timestamp,
                Builtin::TimestampTz => Plan::TimestampTz,
                Builtin::Vector { element } => Plan::Vector(Arc::new(self.plan(element, trust))),
                Builtin::Array { element, delimiter } => self.array(element, delimiter, trust),
            },
            Some(Known::User(kind)) => match kind {
                TypeKind::Base | TypeKind::Enum => Plan::Text,
                TypeKind::Domain { base } => self.plan(*base, trust),
                TypeKind::Array { element, delimiter } => self.array(*element, *delimiter, trust),
                TypeKind::Composite { fields, history } => {
                    let field = |(name, oid): &(String, u32)| {
                        Field::new(name, self.plan(*oid, Trust::Catalog))
                    };
                    Plan::Composite(fields.iter().map(field).collect(), *history)
                }
                TypeKind::Hstore => Plan::Hstore,
            },
        }
    }

    fn array(&mut self, element: u32, delimiter: u8, trust: Trust) -> Plan {
        Plan::Array {
            element: Arc::new(self.plan(element, trust)),
            delimiter,
        }
    }
}
