//! Which types must be known, and what becomes of those that are not.

use super::super::{Encoder, TypeKind, Types};
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
