//! A value of CEL as JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cel::objects::{Key, Map, OptionalValue, Value};

use super::super::failure::FailureKind;
use crate::pgoutput::value::write_string;

/// Appends a value as JSON: bytes as base64, a number that JSON does not have as
/// a string, a missing optional as null, the keys of a map in their order.
pub fn write_json(value: &Value, json: &mut Vec<u8>) -> Result<(), FailureKind> {
    match value {
        Value::Null => json.extend_from_slice(b"null"),
        Value::Bool(true) => json.extend_from_slice(b"true"),
        Value::Bool(false) => json.extend_from_slice(b"false"),
        Value::Int(int) => json.extend_from_slice(itoa::Buffer::new().format(*int).as_bytes()),
        Value::UInt(uint) => json.extend_from_slice(itoa::Buffer::new().format(*uint).as_bytes()),
        Value::Float(double) => write_double(*double, json)?,
        Value::String(string) => {
            write_string(string.as_bytes(), json);
        }
        Value::Bytes(bytes) => {
            write_string(STANDARD.encode(bytes.as_slice()).as_bytes(), json);
        }
        Value::List(list) => write_list(list, json)?,
        Value::Map(map) => write_map(map, json)?,
        Value::Opaque(opaque) => match opaque.downcast_ref::<OptionalValue>() {
            Some(optional) => write_json(optional.value().unwrap_or(&Value::Null), json)?,
            None => return Err(FailureKind::TypeMismatch),
        },
        _ => return Err(FailureKind::TypeMismatch),
    }
    Ok(())
}

fn write_double(double: f64, json: &mut Vec<u8>) -> Result<(), FailureKind> {
    if double.is_finite() {
        return serde_json::to_writer(json, &double).map_err(|_| FailureKind::Other);
    }
    json.extend_from_slice(if double.is_nan() {
        b"\"NaN\""
    } else if double > 0.0 {
        b"\"Infinity\""
    } else {
        b"\"-Infinity\""
    });
    Ok(())
}

fn write_list(list: &[Value], json: &mut Vec<u8>) -> Result<(), FailureKind> {
    json.push(b'[');
    for (at, element) in list.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        write_json(element, json)?;
    }
    json.push(b']');
    Ok(())
}

fn write_map(map: &Map, json: &mut Vec<u8>) -> Result<(), FailureKind> {
    let mut entries: Vec<(&Key, &Value)> = map.map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    json.push(b'{');
    for (at, (key, value)) in entries.into_iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        write_string(key.to_string().as_bytes(), json);
        json.push(b':');
        write_json(value, json)?;
    }
    json.push(b'}');
    Ok(())
}
