//! What is no condition, and what it says.

use super::super::condition::Condition;
use super::bench::{Bench, TRUNCATE, insert, oid, t};

fn says(source: &str) -> String {
    match Condition::compile(source) {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_no_condition_says_where_and_why() {
    let sources = [
        "",
        " \n",
        "new.status ==",
        "new.status = 'paid'",
        "new.status == \"paid",
        "(new.a",
        "new.a b",
        "new.",
        "new.a &&& new.b",
        "neww.status == 'paid'",
        "'größe' == x",
        "true &&\n  neww.a",
        "new.a == oldd && neww.b == 1",
        "foo(new.a)",
        "new.a.foo()",
        "strings.nope('x')",
        "foo.bar('x')",
        "changed()",
        "changed(new.a)",
        "changed(a)",
        "changed('a', 'b')",
        "has(new)",
        "has()",
        "[1].all(x, y > 1)",
        "[1].all(x, x > 1) && x",
        "new.name.matches('(')",
        "Foo{a: 1}",
        "if",
        "99999999999999999999",
        "'\\uD800'",
    ];
    insta::assert_snapshot!(
        sources
            .map(|source| format!("{source:?}\n    {}", says(source)))
            .join("\n"),
        @r#"
        ""
            an expression cannot be empty
        " \n"
            an expression cannot be empty
        "new.status =="
            the expression ends too early at column 14
        "new.status = 'paid'"
            unexpected '= ' at column 12
        "new.status == \"paid"
            unexpected '"paid' at column 15
        "(new.a"
            the expression ends too early at column 7
        "new.a b"
            unexpected 'b' at column 7
        "new."
            unexpected '.' at column 5
        "new.a &&& new.b"
            unexpected '& ' at column 9
        "neww.status == 'paid'"
            unknown name neww at column 1, expected new, old, operation, schema or table
        "'größe' == x"
            unknown name x at column 13, expected new, old, operation, schema or table
        "true &&\n  neww.a"
            unknown name neww at line 2, column 3, expected new, old, operation, schema or table
        "new.a == oldd && neww.b == 1"
            unknown name oldd at column 10, expected new, old, operation, schema or table; unknown name neww at column 18, expected new, old, operation, schema or table
        "foo(new.a)"
            unknown function foo at column 1
        "new.a.foo()"
            unknown function foo at column 7
        "strings.nope('x')"
            unknown function strings.nope at column 1
        "foo.bar('x')"
            unknown function foo.bar at column 1
        "changed()"
            changed takes the name of a column in quotes at column 1
        "changed(new.a)"
            changed takes the name of a column in quotes at column 1
        "changed(a)"
            changed takes the name of a column in quotes at column 1
        "changed('a', 'b')"
            changed takes the name of a column in quotes at column 1
        "has(new)"
            has takes a field, as in has(new.column) at column 5
        "has()"
            unknown function has at column 1
        "[1].all(x, y > 1)"
            unknown name y at column 12, expected new, old, operation, schema or table
        "[1].all(x, x > 1) && x"
            unknown name x at column 22, expected new, old, operation, schema or table
        "new.name.matches('(')"
            invalid regular expression at column 10
        "Foo{a: 1}"
            unknown type Foo at column 1
        "if"
            reserved identifier: if at column 1
        "99999999999999999999"
            invalid int literal at column 1
        "'\\uD800'"
            invalid string literal at column 1
        "#
    );
}

#[test]
fn what_is_a_condition_compiles() {
    for source in [
        "true",
        "new.a",
        "optional.of(new.a).hasValue()",
        "strings.quote(new.a) == 'x'",
        "type(new.a) == string",
        "new.a.all(x, [1].exists(y, y == x))",
        "new.in_stock && new['in'] == 1",
        "// a comment\nnew.a",
    ] {
        assert_eq!(says(source), "ok", "{source}");
    }
}

#[test]
fn long_and_deep_sources_are_refused_within_a_small_stack() {
    let chain = |count: usize| format!("1{}", "+1".repeat(count));
    let cases = [
        "[".repeat(4000),
        "(".repeat(4096),
        chain(2047),
        chain(300),
        format!("new{}", ".a".repeat(2000)),
        "!".repeat(4000),
        "-".repeat(4096),
        "true?".repeat(800),
        "[1].all(x,".repeat(400),
        "{1:".repeat(1300),
        "a".repeat(4097),
        "'".repeat(4096),
    ];
    let small = std::thread::Builder::new().stack_size(2 << 20);
    let thread = small.spawn(move || {
        for source in cases {
            assert!(Condition::compile(&source).is_err(), "{source:.20}");
        }
        let deepest = format!("{} == 199", chain(198));
        assert_eq!(Bench::orders().evaluate(&deepest, TRUNCATE), Ok(true));
        for (open, close) in [("[1].all(x,", ")"), ("!(", ")"), ("false?true:(", ")")] {
            let nested = format!("{}true{}", open.repeat(60), close.repeat(60));
            if Condition::compile(&nested).is_ok() {
                assert_eq!(Bench::orders().evaluate(&nested, TRUNCATE), Ok(true));
            }
        }
        let bench = Bench::table(&[("id", oid::INT8), ("doc", oid::JSON)]);
        let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
        let row = [t("1"), t(&deep)];
        let whole = bench.render("{{ [new.doc] }}", insert(&row));
        assert_eq!(whole, Ok(format!("[{deep}]")));
        let many = format!("new.a in [{}1]", "1,".repeat(1000));
        assert!(Condition::compile(&many).is_ok());
    });
    thread.unwrap().join().unwrap();
}

mod at_random {
    use super::super::super::payload::{PayloadTemplate, Template};
    use super::{Bench, Condition, insert, t};
    use proptest::prelude::*;

    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "new", "old", ".", "status", "id", "[", "]", "(", ")", "{", "}", "'", "\"", "'a'", "1",
            "0", "-", "+", "*", "/", "%", "==", "<", "&&", "||", "!", "?", ":", ",", " ", "has",
            "changed", "size", "map", "all", "x", "in", "null", "true", "\\", "{{", "}}", "r'",
            "b'", "é", "matches", "int", "string", "optional", "of", "@", "$", "\n", "//", "1.5",
        ]);
        prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_source_panics(source in pieces()) {
            if let Ok(condition) = Condition::compile(&source) {
                let row = [t("7"), t("paid"), t("1.5"), t("x")];
                let _ = Bench::orders().see(insert(&row), |row| condition.evaluate(row));
            }
            let _ = PayloadTemplate::compile(&Template::Text(source));
        }

        #[test]
        fn no_text_panics(source in "\\PC{0,40}") {
            let _ = Condition::compile(&source);
            let _ = PayloadTemplate::compile(&Template::Text(source));
        }
    }
}
