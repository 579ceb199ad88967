//! Texts that the type's output function does not write.

use proptest::prelude::*;

use super::super::{Misfit, builtin, write_string};
use super::{USER, encode};

#[test]
fn a_text_of_another_form_is_a_misfit_and_leaves_nothing() {
    for (name, text) in [
        ("bool", ""),
        ("bool", "true"),
        ("int4", ""),
        ("int4", "-"),
        ("int4", "01"),
        ("int4", "1 "),
        ("int4", "+1"),
        ("float8", "1."),
        ("float8", ".5"),
        ("float8", "1e"),
        ("float8", "1e+"),
        ("float8", "1e5x"),
        ("float8", "nan"),
        ("numeric", "1,5"),
        ("timestamp", "2020-01-01 \"12\""),
        ("int4[]", ""),
        ("int4[]", "1"),
        ("int4[]", "{"),
        ("int4[]", "{1"),
        ("int4[]", "{1,"),
        ("int4[]", "{1,}"),
        ("int4[]", "{,1}"),
        ("int4[]", "{1}}"),
        ("int4[]", "{1}x"),
        ("int4[]", "{1,{2}}"),
        ("int4[]", "{{1},2}"),
        ("int4[]", "{{1},{{2}}}"),
        ("int4[]", "{{}}"),
        ("int4[]", "{{{{{{{1}}}}}}}"),
        ("int4[]", "{a}"),
        ("int4[]", "[0:1]"),
        ("int4[]", "[0:1={1,2}"),
        ("int4[]", "=1"),
        ("text[]", "{\"a}"),
        ("text[]", "{\"a\"b}"),
        ("text[]", "{a\"b\"}"),
        ("text[]", "{\"a\\"),
        ("box[]", "{(1,2),(3,4),(5,6)\"}"),
        ("int2vector", "1  2"),
        ("int2vector", "a"),
        ("oidvector", "1,2"),
        ("pair", ""),
        ("pair", "()"),
        ("pair", "(1)"),
        ("pair", "(1,b,c)"),
        ("pair", "(1,b"),
        ("pair", "(1,\"b)"),
        ("pair", "(1,\"b\"x)"),
        ("pair", "(1,b)x"),
        ("pair", "(x,b)"),
        ("nest", "(,,,{,,,,)"),
        ("\"none\"", "(1)"),
        ("hstore", "a"),
        ("hstore", "\"a\""),
        ("hstore", "\"a\"=>"),
        ("hstore", "\"a\"=>null"),
        ("hstore", "\"a\"=>\"1\","),
        ("hstore", "\"a\"=>\"1\", "),
        ("hstore", "\"a\"=>\"1\" \"b\"=>\"2\""),
    ] {
        assert_eq!(encode(name, text.as_bytes()), Err(Misfit), "{name} {text}");
    }
}

fn any_type() -> impl Strategy<Value = String> {
    let names: Vec<String> = USER
        .iter()
        .map(|(name, _)| *name)
        .chain(builtin::TYPES.iter().filter(|t| t.1 != 0).map(|t| t.2))
        .flat_map(|name| [name.to_owned(), format!("{name}[]")])
        .collect();
    prop::sample::select(names)
}

proptest! {
    #[test]
    fn random_bytes_make_valid_json_or_nothing(
        name in any_type(),
        text in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        valid_or_nothing(&name, &text)?;
    }

    #[test]
    fn random_punctuation_makes_valid_json_or_nothing(
        name in any_type(),
        text in r#"[\[{("]{0,3}[\\"{}(),;:=> a1N]{0,20}[\]})"]{0,3}"#,
    ) {
        valid_or_nothing(&name, text.as_bytes())?;
    }

    #[test]
    fn a_string_reads_back(text in any::<String>()) {
        let mut json = Vec::new();
        prop_assert!(!write_string(text.as_bytes(), &mut json));
        prop_assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
    }
}

fn valid_or_nothing(name: &str, text: &[u8]) -> Result<(), TestCaseError> {
    // The text of a json column is taken at its word.
    if name.starts_with("json") {
        return Ok(());
    }
    if let Ok((json, _)) = encode(name, text) {
        prop_assert!(
            serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok(),
            "{}",
            json
        );
    }
    Ok(())
}
