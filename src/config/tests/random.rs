//! No text makes the reading panic, and one that gives no config is told why.

use proptest::prelude::*;

use super::{endpoint, environment, read_in};

fn never_silent(text: &str, variables: &[(&str, &str)]) -> Result<(), TestCaseError> {
    let (config, problems) = read_in(text, &environment(variables));
    prop_assert!(config.is_some() || !problems.problems.is_empty());
    let _ = format!("{problems}{config:?}");
    Ok(())
}

/// Pieces of YAML and of configs, so that a random text often is one.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "source:",
        "url:",
        "slot: ",
        "endpoints:",
        "tables:",
        "events:",
        "insert:",
        "to:",
        "secret:",
        "file:",
        "headers:",
        "batch:",
        "retry:",
        "payload:",
        "when:",
        "type:",
        "e",
        "a.b",
        "\n",
        "\n  ",
        "\n    ",
        "\n      ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        ": ",
        "\"",
        "'",
        "|\n",
        ">-\n",
        "&a ",
        "*a",
        "!!str ",
        "!x ",
        "<<: ",
        "? ",
        "#",
        "---\n",
        "${A}",
        "${",
        "$${",
        "{{new.x}}",
        "{{",
        "}}",
        "\t",
        "\0",
        "\u{feff}",
        "é",
        "0x1F",
        ".inf",
        "~",
        "1e5",
    ];
    prop_oneof![
        8 => prop::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ]
}

proptest! {
    #[test]
    fn of_pieces(pieces in prop::collection::vec(piece(), 0..40)) {
        never_silent(&pieces.concat(), &[("A", "x")])?;
    }

    #[test]
    fn of_any_characters(text in "\\PC{0,60}") {
        never_silent(&text, &[])?;
    }

    #[test]
    fn of_a_good_one_with_a_slip(at in 0usize..300, cut in 0usize..8, piece in piece()) {
        let text = endpoint("");
        let place = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let slipped = format!("{}{piece}{}", &text[..place(at)], &text[place(at + cut)..]);
        never_silent(&slipped, &[("A", "x")])?;
    }

    #[test]
    fn of_variables(name in "[A-Z_]{0,10}(__[A-Z_]{0,10}){0,3}", value in "\\PC{0,10}") {
        never_silent(&endpoint(""), &[(&format!("WALHOOK_{name}"), &value), ("WALHOOK_ENDPOINTS__E__URL__X", "")])?;
    }
}
