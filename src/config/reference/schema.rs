//! The JSON Schema of the config, for editors. Draft 7, as the YAML language servers know it best.

use serde_json::{Map, Value, json};

use super::keys::ROOT;
use super::{Key, Shape};

/// Where a value stands, a variable may: `${NAME}`.
const VARIABLE: &str = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}";

pub fn schema() -> Value {
    let mut schema = mapping(ROOT);
    if let Some(object) = schema.as_object_mut() {
        let head = [
            ("$schema", json!("http://json-schema.org/draft-07/schema#")),
            ("title", json!("walhook's config.yaml")),
        ];
        let rest = std::mem::take(object);
        object.extend(head.map(|(name, value)| (name.to_owned(), value)));
        object.extend(rest);
    }
    schema
}

fn mapping(keys: &'static [Key]) -> Value {
    let mut properties = Map::new();
    for key in keys {
        let mut property = value(key.value);
        if let Some(property) = property.as_object_mut() {
            property.insert("description".to_owned(), json!(key.about));
            if let Some(default) = key.default {
                property.insert("default".to_owned(), scalar(key.value, default));
            }
        }
        properties.insert(key.name.to_owned(), property);
    }
    let required: Vec<&str> = keys
        .iter()
        .filter(|key| key.required)
        .map(|key| key.name)
        .collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// A default as the type that the schema gives it.
fn scalar(shape: Shape, text: &str) -> Value {
    match shape {
        Shape::Yes => json!(text == "true"),
        Shape::Whole { .. } => text
            .parse::<u64>()
            .map_or_else(|_| json!(text), |whole| json!(whole)),
        _ => json!(text),
    }
}

fn value(shape: Shape) -> Value {
    let with_variable =
        |other: Value| json!({ "anyOf": [other, { "type": "string", "pattern": VARIABLE }] });
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Matching(pattern) => with_variable(json!({ "type": "string", "pattern": pattern })),
        Shape::Yes => with_variable(json!({ "type": "boolean" })),
        Shape::Whole { min, max } => {
            with_variable(json!({ "type": "integer", "minimum": min, "maximum": max }))
        }
        Shape::Duration => with_variable(json!({
            "type": "string",
            "pattern": r"^\s*([0-9]+\s*[a-zA-Z]+\s*)+$",
        })),
        Shape::Size => with_variable(json!({
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": r"^\s*[0-9.]+\s*([kKmMgGtTpP]?[iI]?[bB]?)\s*$" },
            ],
        })),
        Shape::OneOf(words) => with_variable(json!({ "enum": words })),
        Shape::Statuses => json!({
            "type": "array",
            "items": with_variable(json!({ "type": "integer", "minimum": 100, "maximum": 599 })),
        }),
        Shape::Secret => {
            let one = json!({ "anyOf": [
                { "type": "string" },
                { "type": "object", "properties": { "file": { "type": "string" } },
                  "required": ["file"], "additionalProperties": false },
            ] });
            json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
        }
        Shape::Headers => json!({
            "type": "object",
            "additionalProperties": { "type": ["string", "number", "boolean"] },
        }),
        Shape::Names => json!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] }),
        Shape::List => json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }),
        Shape::Mapping(keys) => mapping(keys),
        Shape::Each(_, keys) => json!({
            "type": "object",
            "additionalProperties": mapping(keys),
            "minProperties": 1,
        }),
        Shape::Rules(keys) => {
            let one = json!({ "anyOf": [{ "type": "string" }, mapping(keys)] });
            json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
        }
        Shape::Tree => json!({}),
    }
}
