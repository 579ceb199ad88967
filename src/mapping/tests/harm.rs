//! No text makes conditions and payloads panic, and what a payload makes is JSON.

use proptest::prelude::*;

use super::super::condition::Condition;
use super::super::payload::{PayloadTemplate, Template};
use super::bench::{Bench, NULL, Old, delete, insert, t, update};

/// Parts of expressions, and texts that are none.
fn text() -> impl Strategy<Value = String> {
    let words = [
        "new",
        "old",
        ".id",
        ".status",
        "['note']",
        ".a.b",
        "changed(",
        "has(",
        "size(",
        "int(",
        "string(",
        ".map(",
        ".exists(x, ",
        ".matches(",
        ".split(",
        "x",
        "operation",
        "==",
        "!=",
        " in ",
        "<",
        "+",
        "-",
        "*",
        "/",
        "%",
        "&&",
        "||",
        "!",
        " ? ",
        " : ",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        ", ",
        "1",
        "2u",
        "3.5",
        "-9223372036854775808",
        "'a'",
        "\"b",
        "r'\\",
        "null",
        "true",
        "{{",
        "}}",
        "\\{{",
        "\n",
        "//",
    ];
    let word = prop_oneof![
        9 => prop::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => "\\PC{0,3}",
    ];
    prop::collection::vec(word, 0..12).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_text_is_refused_or_evaluated(text in text()) {
        let row = [t("7"), t("paid"), t("10.50"), NULL];
        let bench = Bench::orders();
        for given in [insert(&row), update(Old::Full(&row), &row), delete(Old::Key(&row))] {
            if Condition::compile(&text).is_ok() {
                let _ = bench.evaluate(&text, given);
            }
            let whole = format!("{{{{{text}}}}}");
            for text in [&text, &whole] {
                let template = Template::Text(text.clone());
                if PayloadTemplate::compile(&template).is_ok() {
                    // The bench checks that it is JSON.
                    let rendered = bench.render(text, given);
                    prop_assert_eq!(rendered, bench.render(text, given));
                }
            }
        }
    }
}
