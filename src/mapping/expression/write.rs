//! A value of CEL as JSON.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional,
    CelString, CelType, CelUInt,
};
use cel::common::value::Val;

use super::super::failure::FailureKind;
use crate::pgoutput::value::write_string;

/// Appends a value as JSON: bytes as base64, a number that JSON does not have as
/// a string, a missing optional as null, the keys of a map in their order.
pub fn write_json(value: &dyn Val, json: &mut Vec<u8>) -> Result<(), FailureKind> {
    if let Some(string) = value.downcast_ref::<CelString>() {
        write_string(string.inner().as_bytes(), json);
    } else if let Some(int) = value.downcast_ref::<CelInt>() {
        json.extend_from_slice(itoa::Buffer::new().format(*int.inner()).as_bytes());
    } else if let Some(uint) = value.downcast_ref::<CelUInt>() {
        json.extend_from_slice(itoa::Buffer::new().format(*uint.inner()).as_bytes());
    } else if let Some(bool) = value.downcast_ref::<CelBool>() {
        json.extend_from_slice(if *bool.inner() { b"true" } else { b"false" });
    } else if let Some(double) = value.downcast_ref::<CelDouble>() {
        write_double(*double.inner(), json)?;
    } else if value.downcast_ref::<CelNull>().is_some() {
        json.extend_from_slice(b"null");
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        write_list(list, json)?;
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        write_map(map, json)?;
    } else if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        write_string(STANDARD.encode(bytes.inner()).as_bytes(), json);
    } else if let Some(optional) = value.downcast_ref::<CelOptional>() {
        match optional.option() {
            Some(value) => write_json(value, json)?,
            None => json.extend_from_slice(b"null"),
        }
    } else if let Some(named) = value.downcast_ref::<CelType>() {
        write_string(named.name().as_bytes(), json);
    } else {
        return Err(FailureKind::TypeMismatch);
    }
    Ok(())
}

fn write_double(double: f64, json: &mut Vec<u8>) -> Result<(), FailureKind> {
    if double.is_finite() {
        serde_json::to_writer(json, &double).map_err(|_| FailureKind::Other)
    } else {
        json.extend_from_slice(if double.is_nan() {
            b"\"NaN\""
        } else if double > 0.0 {
            b"\"Infinity\""
        } else {
            b"\"-Infinity\""
        });
        Ok(())
    }
}

fn write_list(list: &CelList<'_>, json: &mut Vec<u8>) -> Result<(), FailureKind> {
    json.push(b'[');
    for (at, element) in list.inner().iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        write_json(element.as_ref(), json)?;
    }
    json.push(b']');
    Ok(())
}

fn write_map(map: &CelMap<'_>, json: &mut Vec<u8>) -> Result<(), FailureKind> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    json.push(b'{');
    for (at, (key, value)) in entries.into_iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        match key {
            CelMapKey::String(key) => {
                write_string(key.inner().as_bytes(), json);
            }
            CelMapKey::Int(key) => write_key(key.inner(), json)?,
            CelMapKey::UInt(key) => write_key(key.inner(), json)?,
            CelMapKey::Bool(key) => write_key(key.inner(), json)?,
        }
        json.push(b':');
        write_json(value.as_ref(), json)?;
    }
    json.push(b'}');
    Ok(())
}

fn write_key(key: &dyn std::fmt::Display, json: &mut Vec<u8>) -> Result<(), FailureKind> {
    write!(json, "\"{key}\"").map_err(|_| FailureKind::Other)
}
