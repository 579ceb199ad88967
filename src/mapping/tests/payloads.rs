//! Payload templates.

use super::super::failure::FailureKind;
use super::super::payload::{PayloadTemplate, Template};
use super::super::rule::ColumnSelection;
use super::bench::{Bench, NULL, Old, TRUNCATE, UNCHANGED, delete, insert, oid, t, update};
use crate::change::Value;

fn bench() -> Bench {
    Bench::table(&[
        ("id", oid::INT8),
        ("title", oid::TEXT),
        ("total", oid::NUMERIC),
        ("doc", oid::JSON),
    ])
}

const ROW: [Value<'static>; 4] = [
    Value::Text(b"9007199254740993"),
    Value::Text("say \"hi\" größe\n".as_bytes()),
    Value::Text(b"12345678901234567890.10"),
    Value::Text(br#"{"a": {"x y": [1.10, "q\"s", 9007199254740993]}, "s": "t\u00e9",  "n": null, "k": 1, "k": 2}"#),
];

fn rendered(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(
            bench().render(text, insert(&ROW)).as_deref(),
            Ok(*expected),
            "{text}"
        );
    }
}

#[test]
fn a_string_that_is_one_expression_keeps_type_and_digits() {
    rendered(&[
        ("plain", r#""plain""#),
        ("", r#""""#),
        ("{{new.id}}", "9007199254740993"),
        ("{{ new.total }}", "12345678901234567890.10"),
        (r#"{{new["total"]}}"#, "12345678901234567890.10"),
        ("{{(new.total)}}", "12345678901234567890.10"),
        ("{{new.title}}", r#""say \"hi\" größe\n""#),
        (
            "{{new.doc.a}}",
            r#"{"x y": [1.10, "q\"s", 9007199254740993]}"#,
        ),
        (r#"{{new.doc.a["x y"][0]}}"#, "1.10"),
        (r#"{{new.doc.a["x y"][2]}}"#, "9007199254740993"),
        ("{{new.doc.s}}", r#""t\u00e9""#),
        ("{{new.doc.n}}", "null"),
        ("{{new.doc.k}}", "2"),
        ("{{new.id + 1}}", "9007199254740994"),
        ("{{new.total > 1.0}}", "true"),
        ("{{operation}}", r#""insert""#),
        ("{{null}}", "null"),
        ("{{1.0}}", "1.0"),
        ("{{1e300 * 1e300}}", r#""Infinity""#),
        ("{{-1e300 * 1e300}}", r#""-Infinity""#),
        ("{{double('NaN')}}", r#""NaN""#),
        ("{{18446744073709551615u}}", "18446744073709551615"),
        ("{{b'\\xff\\x00'}}", r#""/wA=""#),
        ("{{[1, 'a', null, [true]]}}", r#"[1,"a",null,[true]]"#),
        (
            r#"{{ {"b": 1, "a": {"c": [2]}, 3: 4, true: 5} }}"#,
            r#"{"3":4,"true":5,"a":{"c":[2]},"b":1}"#,
        ),
        ("{{new.?missing}}", "null"),
        ("{{new.?id}}", "9007199254740993"),
        ("{{type(1)}}", r#""int""#),
        ("{{has(new.doc.zip) ? new.doc.zip : 'none'}}", r#""none""#),
    ]);
}

#[test]
fn inside_a_longer_string_values_become_text() {
    rendered(&[
        ("#{{new.id}}", r##""#9007199254740993""##),
        (
            "{{new.title}} ({{new.total}})",
            r#""say \"hi\" größe\n (12345678901234567890.10)""#,
        ),
        (
            "{{new.id}}{{new.id}}",
            r#""90071992547409939007199254740993""#,
        ),
        ("<{{new.doc.n}}>", r#""<>""#),
        ("<{{new.doc.s}}>", r#""<t\u00e9>""#),
        (
            "<{{new.doc.a}}>",
            r#""<{\"x y\": [1.10, \"q\\\"s\", 9007199254740993]}>""#,
        ),
        ("a \"b\" {{1}}\n", r#""a \"b\" 1\n""#),
        (r"\{{new.id}}", r#""{{new.id}}""#),
        (r"\{{x}} {{table}}", r#""{{x}} orders""#),
        ("{{ 'a' + '}}' }}!", r#""a}}!""#),
    ]);
}

#[test]
fn null_is_nothing_inside_a_longer_string() {
    let row = [t("1"), NULL, NULL, NULL];
    assert_eq!(
        bench().render("<{{new.title}}>", insert(&row)).unwrap(),
        r#""<>""#
    );
    assert_eq!(
        bench().render("{{new.title}}", insert(&row)).unwrap(),
        "null"
    );
}

#[test]
fn a_tree_keeps_its_shape() {
    let text = |text: &str| Template::Text(text.to_owned());
    let template = Template::Map(vec![
        ("text".to_owned(), text("order {{new.id}}")),
        ("ke\"y {{1}}".to_owned(), Template::Null),
        (
            "list".to_owned(),
            Template::List(vec![
                Template::Number("1.10".to_owned()),
                Template::Number("-0".to_owned()),
                Template::Bool(true),
                Template::Bool(false),
                Template::Map(Vec::new()),
                Template::List(Vec::new()),
                text("{{new.total}}"),
            ]),
        ),
    ]);
    assert_eq!(
        bench().render_tree(&template, insert(&ROW)).unwrap(),
        r#"{"text":"order 9007199254740993","ke\"y {{1}}":null,"list":[1.10,-0,true,false,{},[],12345678901234567890.10]}"#
    );
}

#[test]
fn rows_as_a_whole_are_what_data_and_previous_are() {
    let bench = Bench::orders().columns(ColumnSelection::Exclude(vec!["total".to_owned()]));
    let new = [t("8"), t("a"), t("1"), UNCHANGED];
    let key = [t("7"), NULL, NULL, NULL];
    let whole = |given| ["{{new}}", "{{old}}"].map(|text| bench.render(text, given).unwrap());
    assert_eq!(
        whole(update(Old::Key(&key), &new)),
        [r#"{"id":8,"status":"a"}"#, r#"{"id":7}"#]
    );
    assert_eq!(
        whole(update(Old::None, &new)),
        [r#"{"id":8,"status":"a"}"#, "null"]
    );
    assert_eq!(whole(delete(Old::Key(&key))), ["null", r#"{"id":7}"#]);
    assert_eq!(whole(TRUNCATE), ["null", "null"]);
    let row = [t("8"), t("a"), t("1"), NULL];
    assert_eq!(
        whole(insert(&row)),
        [r#"{"id":8,"status":"a","note":null}"#, "null"]
    );
    assert_eq!(
        bench.render("{{ {'row': new} }}", insert(&row)).unwrap(),
        r#"{"row":{"id":8,"note":null,"status":"a"}}"#
    );
}

#[test]
fn what_a_row_makes_impossible_is_a_failure() {
    for (text, kind) in [
        ("{{new.missing}}", FailureKind::NoSuchColumn),
        ("x {{new.missing}}", FailureKind::NoSuchColumn),
        ("{{old.id}}", FailureKind::OldUnknown),
        ("{{new.doc.zip}}", FailureKind::NoSuchKey),
        ("{{new.doc.a['x y'][3]}}", FailureKind::NoSuchKey),
        ("{{new.doc.s.t}}", FailureKind::TypeMismatch),
        ("{{new.doc[0]}}", FailureKind::TypeMismatch),
        ("{{new.doc.n.x}}", FailureKind::TypeMismatch),
        ("{{new.id + 'x'}}", FailureKind::TypeMismatch),
        ("{{1 / 0}}", FailureKind::DivisionByZero),
    ] {
        assert_eq!(bench().render(text, insert(&ROW)), Err(kind), "{text}");
    }
    let row = [t("1"), NULL, NULL, NULL];
    assert_eq!(
        bench().render("{{new.doc.a}}", insert(&row)),
        Err(FailureKind::TypeMismatch)
    );
}

#[test]
fn all_problems_of_a_template_are_told_with_their_place() {
    let text = |text: &str| Template::Text(text.to_owned());
    let template = Template::Map(vec![
        ("a".to_owned(), text("{{neww.x}}")),
        (
            "b".to_owned(),
            Template::List(vec![
                text("ok"),
                Template::Map(vec![("c".to_owned(), text("{{1"))]),
                Template::Number(".inf".to_owned()),
                Template::Number("0x1F".to_owned()),
                Template::Number("01".to_owned()),
            ]),
        ),
    ]);
    let problems = PayloadTemplate::compile(&template).unwrap_err();
    let shown: Vec<_> = problems
        .iter()
        .map(|p| format!("{}: {}", p.place, p.error))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    a: unknown name neww at column 1, expected new, old, operation, schema or table
    b[1].c: {{ without the }} that ends it
    b[2]: .inf is no number that JSON has, put it in quotes
    b[3]: 0x1F is no number that JSON has, put it in quotes
    b[4]: 01 is no number that JSON has, put it in quotes
    ");
    let root = PayloadTemplate::compile(&text("{{")).unwrap_err();
    assert_eq!(root[0].place, "");
    let mut deep = Template::Null;
    for _ in 0..100 {
        deep = Template::List(vec![deep]);
    }
    assert_eq!(PayloadTemplate::compile(&deep).unwrap_err().len(), 1);
}

#[test]
fn the_columns_of_all_expressions_are_known() {
    let payload = |text: &str| PayloadTemplate::compile(&Template::Text(text.to_owned())).unwrap();
    let both = payload("{{new.b}} {{old.a}}");
    assert_eq!(both.columns(), ["a", "b"]);
    assert!(both.needs_old());
    assert!(!payload("{{new.b}}").needs_old());
}
