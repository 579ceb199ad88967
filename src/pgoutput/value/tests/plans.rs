//! Which types must be known, and what becomes of those that are not.

use super::super::{Attributes, Encoder, TypeKind, Types};
use super::{composite, oid, types};

const NONE: [u32; 0] = [];

fn written(oid: u32, types: &Types, text: &str) -> String {
    let mut json = Vec::new();
    Encoder::new(oid, types)
        .write(text.as_bytes(), &mut json)
        .unwrap();
    String::from_utf8(json).unwrap()
}

#[test]
fn builtin_types_need_no_catalog() {
    let types = Types::default();
    for name in [
        "bool",
        "int4[]",
        "box[]",
        "int2vector",
        "oidvector[]",
        "jsonb",
    ] {
        assert_eq!(types.missing(oid(name)), NONE, "{name}");
    }
    // Rows of catalogs, and what a later major adds, are asked for.
    assert_eq!(types.missing(83), [83]);
    assert_eq!(types.missing(9999), [9999]);
    assert_eq!(types.missing(13221), [13221]);
}

#[test]
fn what_is_missing_is_named_layer_by_layer() {
    let mut types = Types::default();
    assert_eq!(types.missing(30000), [30000]);
    let array = TypeKind::Array {
        element: 30001,
        delimiter: b',',
    };
    types.insert(30000, array);
    assert_eq!(types.missing(30000), [30001]);
    let fields = [("a", 30002), ("b", 23), ("c", 30003), ("d", 30002)];
    types.insert(30001, composite(&fields));
    let mut missing = types.missing(30000);
    missing.sort_unstable();
    assert_eq!(missing, [30002, 30003]);
    types.insert(30002, TypeKind::Domain { base: 23 });
    types.insert(30003, TypeKind::Enum);
    assert_eq!(types.missing(30000), NONE);
}

#[test]
fn an_unknown_type_goes_as_its_text() {
    let types = Types::default();
    assert_eq!(written(30000, &types, "(1,\"a\")"), r#""(1,\"a\")""#);
    let mut types = Types::default();
    types.insert(30000, composite(&[("a", 30001)]));
    assert_eq!(written(30000, &types, "({1})"), r#"{"a":"{1}"}"#);
}

#[test]
fn types_that_name_one_another_end_as_text() {
    let mut types = Types::default();
    types.insert(30000, TypeKind::Domain { base: 30001 });
    types.insert(30001, TypeKind::Domain { base: 30000 });
    types.insert(30002, composite(&[("again", 30002)]));
    assert_eq!(types.missing(30000), NONE);
    assert_eq!(written(30000, &types, "x"), "\"x\"");
    assert_eq!(
        written(30002, &types, r#"("(x)")"#),
        r#"{"again":{"again":"x"}}"#
    );
}

#[test]
fn a_plan_is_shared_where_a_type_is() {
    // Written out it would have 2^40 fields.
    let mut types = Types::default();
    for level in 0..40 {
        let below = 30001 + level;
        types.insert(30000 + level, composite(&[("l", below), ("r", below)]));
    }
    types.insert(30040, TypeKind::Enum);
    assert_eq!(types.missing(30000), NONE);
    assert_eq!(written(30000, &types, "(,)"), r#"{"l":null,"r":null}"#);
}

#[test]
fn a_json_inside_a_composite_must_be_json() {
    // ALTER TYPE may have put it where a text was when the value was written.
    let mut types = types();
    types.insert(30000, composite(&[("j", oid("json"))]));
    types.insert(30001, composite(&[("js", oid("json[]"))]));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(
        written(30000, &types, &format!("({deep})")),
        format!(r#"{{"j":{deep}}}"#)
    );
    assert_eq!(written(30000, &types, "(1e400)"), r#"{"j":1e400}"#);
    for (oid, text) in [(30000, "(hello)"), (30000, "(\"\"\"\")"), (30001, "({a})")] {
        let mut json = Vec::new();
        assert!(
            Encoder::new(oid, &types)
                .write(text.as_bytes(), &mut json)
                .is_err(),
            "{text}"
        );
    }
}

#[test]
fn a_value_older_than_its_type_has_the_first_attributes_unless_some_were_dropped() {
    let place = |history| {
        let fields = ["a", "b", "c"].map(|name| (name.to_owned(), oid("text")));
        let kind = TypeKind::Composite {
            fields: fields.to_vec(),
            history,
        };
        let mut types = Types::default();
        types.insert(20_000, kind);
        types
    };
    let grown = place(Attributes::OnlyAdded);
    assert_eq!(
        written(20_000, &grown, "(1,2,)"),
        r#"{"a":"1","b":"2","c":null}"#
    );
    assert_eq!(written(20_000, &grown, "(1,)"), r#"{"a":"1","b":null}"#);
    assert_eq!(written(20_000, &grown, "(1)"), r#"{"a":"1"}"#);
    let encoder = |types| Encoder::new(20_000, types);
    let mut json = Vec::new();
    assert!(encoder(&grown).write(b"(1,2,3,4)", &mut json).is_err());
    let shrunk = place(Attributes::SomeDropped);
    assert!(encoder(&shrunk).write(b"(1,2)", &mut json).is_err());
}

#[test]
fn only_what_has_a_composite_type_in_it_can_be_altered() {
    let types = types();
    for (name, is_alterable) in [
        ("int4", false),
        ("text[]", false),
        ("mood", false),
        ("posints", false),
        ("pair", true),
        ("pair[]", true),
        ("dpair", true),
        ("nest", true),
    ] {
        assert_eq!(types.has_composite(oid(name)), is_alterable, "{name}");
    }
    assert!(!types.has_composite(4_000_000));
}
