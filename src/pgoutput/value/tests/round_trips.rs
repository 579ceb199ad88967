//! Random values of random types, printed as `array_out` and `record_out` print
//! them, must read back.

use proptest::prelude::*;
use serde_json::Value;

use super::super::{Attributes, Encoder, TypeKind, Types};

#[derive(Clone, Debug)]
enum Shape {
    Text,
    Int,
    /// An array of a domain over the element, so that arrays of arrays are quoted.
    Array(Box<Shape>),
    Composite(Vec<Shape>),
}

#[derive(Clone, Debug)]
enum Datum {
    Null,
    Text(String),
    Int(i64),
    Array(Vec<Datum>),
    Composite(Vec<Datum>),
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![Just(Shape::Text), Just(Shape::Int)].prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            inner
                .clone()
                .prop_map(|element| Shape::Array(Box::new(element))),
            prop::collection::vec(inner, 0..4).prop_map(Shape::Composite),
        ]
    })
}

fn datum(shape: &Shape) -> BoxedStrategy<Datum> {
    let full = match shape {
        Shape::Text => prop_oneof![
            any::<String>().prop_map(Datum::Text),
            r#"[\\"{}(),; NUL]{0,6}"#.prop_map(Datum::Text)
        ]
        .boxed(),
        Shape::Int => any::<i64>().prop_map(Datum::Int).boxed(),
        Shape::Array(element) => prop::collection::vec(datum(element), 0..4)
            .prop_map(Datum::Array)
            .boxed(),
        Shape::Composite(fields) => fields
            .iter()
            .map(datum)
            .collect::<Vec<_>>()
            .prop_map(Datum::Composite)
            .boxed(),
    };
    prop_oneof![1 => Just(Datum::Null), 4 => full].boxed()
}

/// Registers the type; its OID.
fn register(shape: &Shape, next: &mut u32, types: &mut Types) -> u32 {
    let kind = match shape {
        Shape::Text => return 25,
        Shape::Int => return 20,
        Shape::Array(element) => TypeKind::Array {
            element: register(element, next, types),
            delimiter: b',',
        },
        Shape::Composite(fields) => TypeKind::Composite {
            history: Attributes::SomeDropped,
            fields: fields
                .iter()
                .enumerate()
                .map(|(index, field)| (format!("f{index}"), register(field, next, types)))
                .collect(),
        },
    };
    *next += 1;
    types.insert(*next, kind);
    *next
}

fn print(datum: &Datum) -> Option<String> {
    let join = |parts: Vec<String>| parts.join(",");
    Some(match datum {
        Datum::Null => return None,
        Datum::Text(text) => text.clone(),
        Datum::Int(int) => int.to_string(),
        Datum::Array(items) => {
            let item = |item| print(item).map_or("NULL".to_owned(), |text| in_array(&text));
            format!("{{{}}}", join(items.iter().map(item).collect()))
        }
        Datum::Composite(fields) => {
            let field = |field| print(field).map_or(String::new(), |text| in_record(&text));
            format!("({})", join(fields.iter().map(field).collect()))
        }
    })
}

fn in_array(text: &str) -> String {
    let special = |c: char| "\\\"{},".contains(c) || c.is_ascii_whitespace() || c == '\x0b';
    if text.is_empty() || text.eq_ignore_ascii_case("NULL") || text.contains(special) {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{escaped}\"")
    } else {
        text.to_owned()
    }
}

fn in_record(text: &str) -> String {
    let special = |c: char| "\\\"(),".contains(c) || c.is_ascii_whitespace() || c == '\x0b';
    if text.is_empty() || text.contains(special) {
        let escaped = text.replace('\\', "\\\\").replace('"', "\"\"");
        format!("\"{escaped}\"")
    } else {
        text.to_owned()
    }
}

fn expected(datum: &Datum) -> Value {
    match datum {
        Datum::Null => Value::Null,
        Datum::Text(text) => Value::from(text.as_str()),
        Datum::Int(int) => Value::from(*int),
        Datum::Array(items) => items.iter().map(expected).collect(),
        Datum::Composite(fields) => fields
            .iter()
            .enumerate()
            .map(|(index, field)| (format!("f{index}"), expected(field)))
            .collect(),
    }
}

proptest! {
    #[test]
    fn a_value_reads_back(
        (shape, datum) in shape().prop_flat_map(|shape| {
            let datum = datum(&shape);
            (Just(shape), datum)
        })
    ) {
        let mut types = Types::default();
        let oid = register(&shape, &mut 20000, &mut types);
        prop_assert_eq!(types.missing(oid), Vec::<u32>::new());
        if let Some(text) = print(&datum) {
            let mut json = Vec::new();
            let written = Encoder::new(oid, &types).write(text.as_bytes(), &mut json);
            prop_assert!(written.is_ok(), "{:?}: {}", shape, text);
            prop_assert_eq!(serde_json::from_slice::<Value>(&json).unwrap(), expected(&datum));
        }
    }
}
