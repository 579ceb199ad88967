//! A column's value in CEL.
//!
//! | type | in CEL |
//! |---|---|
//! | int2, int4, int8 | int |
//! | numeric, float4, float8, and their arrays | double, list of double |
//! | bool | bool |
//! | json, jsonb, other arrays, composites, hstore, domains | what their JSON is |
//! | all else | the string of its JSON |
//!
//! Inside JSON a number is an int when it is written as one that fits 64 bits.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::failure::FailureKind;
use super::super::findings::Findings;
use super::super::form::LargeNumbers;
use super::super::plan::{ColumnPlan, Form};
use super::super::row::Known;

pub(super) fn decode<'v>(
    column: &ColumnPlan,
    known: Known<'v>,
) -> Result<Box<dyn Val + 'v>, FailureKind> {
    let text = match known {
        Known::Null => return Ok(Box::new(CelNull)),
        Known::Text(text) => text,
    };
    let plain = match column.form {
        Form::Text => Some(string(text)),
        Form::Int => number(text).map(|n: i64| -> Box<dyn Val> { Box::new(CelInt::from(n)) }),
        // It knows NaN and Infinity too.
        Form::Double => number(text).map(|n: f64| -> Box<dyn Val> { Box::new(CelDouble::from(n)) }),
        Form::Bool => match text {
            b"t" => Some(boolean(true)),
            b"f" => Some(boolean(false)),
            _ => None,
        },
        Form::Json | Form::Doubles => None,
    };
    if let Some(value) = plain {
        return Ok(value);
    }
    let mut json = Vec::new();
    column.write(
        text,
        LargeNumbers::Numbers,
        &mut json,
        &mut Findings::default(),
    );
    let numbers = match column.form {
        Form::Doubles => Numbers::Double,
        _ => Numbers::AsWritten,
    };
    let mut reader = serde_json::Deserializer::from_slice(&json);
    Decoder(numbers)
        .deserialize(&mut reader)
        .map_err(|error| match error.to_string() {
            message if message.starts_with("number out of range") => FailureKind::Overflow,
            _ => FailureKind::Other,
        })
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn boolean<'v>(value: bool) -> Box<dyn Val + 'v> {
    Box::new(CelBool::from(value))
}

fn string(text: &[u8]) -> Box<dyn Val + '_> {
    Box::new(CelString::from(match String::from_utf8_lossy(text) {
        Cow::Borrowed(text) => Cow::Borrowed(text),
        Cow::Owned(text) => Cow::Owned(text),
    }))
}

#[derive(Clone, Copy)]
enum Numbers {
    AsWritten,
    Double,
}

/// Reads JSON into values of CEL, without a tree in between.
#[derive(Clone, Copy)]
struct Decoder(Numbers);

type Decoded = Box<dyn Val + 'static>;

impl<'de> DeserializeSeed<'de> for Decoder {
    type Value = Decoded;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Decoded, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Decoder {
    type Value = Decoded;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Decoded, E> {
        Ok(Box::new(CelNull))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Decoded, E> {
        Ok(boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Decoded, E> {
        Ok(match self.0 {
            Numbers::AsWritten => Box::new(CelInt::from(value)),
            Numbers::Double => Box::new(CelDouble::from(value as f64)),
        })
    }

    fn visit_u64<E>(self, value: u64) -> Result<Decoded, E> {
        Ok(match (self.0, i64::try_from(value)) {
            (Numbers::Double, _) => Box::new(CelDouble::from(value as f64)),
            (Numbers::AsWritten, Ok(value)) => Box::new(CelInt::from(value)),
            (Numbers::AsWritten, Err(_)) => Box::new(CelUInt::from(value)),
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<Decoded, E> {
        Ok(Box::new(CelDouble::from(value)))
    }

    /// `"NaN"` and `"Infinity"` stand in arrays of floats and numerics.
    fn visit_str<E>(self, value: &str) -> Result<Decoded, E> {
        if let (Numbers::Double, Ok(value)) = (self.0, value.parse::<f64>()) {
            return Ok(Box::new(CelDouble::from(value)));
        }
        Ok(Box::new(CelString::from(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Decoded, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = from.next_element_seed(self)? {
            list.push(element);
        }
        Ok(Box::new(CelList::from(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Decoded, A::Error> {
        let mut map = HashMap::new();
        while let Some(key) = from.next_key::<String>()? {
            let value = from.next_value_seed(self)?;
            map.insert(CelMapKey::String(CelString::from(key)), value);
        }
        Ok(Box::new(CelMap::from(map)))
    }
}
