//! `docs/config.md`.

use std::fmt::Write as _;

use super::keys::ROOT;
use super::{Key, Shape};

const HEAD: &str = "# Config reference

Made from the code; `config.yaml` at the root of the repository is the same as a commented example.

`${NAME}` and `${NAME:-default}` are filled from the environment, `$${` stands for `${`. A variable such as
`WALHOOK_SOURCE__URL` overrides a key. Durations are `5ms`, `15s`, `2h`, `3d`; sizes `64KiB`, `24MiB`, `10GiB`.
An unknown key is an error. `walhook schema` prints the JSON Schema for editors.
";

/// The config reference as a page.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    section(&mut page, "", ROOT);
    page
}

fn section(page: &mut String, path: &str, keys: &'static [Key]) {
    let title = if path.is_empty() {
        "The top level"
    } else {
        path
    };
    // Writing to a String cannot fail.
    let _ = writeln!(
        page,
        "\n## {}\n\n| key | value | default | |\n|---|---|---|---|",
        code(title, path.is_empty())
    );
    for key in keys {
        let default = match (key.default, key.required) {
            (Some(default), _) => format!("`{default}`"),
            (None, true) => "required".to_owned(),
            (None, false) => String::new(),
        };
        let _ = writeln!(
            page,
            "| `{}` | {} | {default} | {} |",
            key.name,
            value(key.value),
            key.about.replace('|', "\\|")
        );
    }
    for key in keys {
        let below = |name: &str| {
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            }
        };
        match key.value {
            Shape::Mapping(inner) => section(page, &below(key.name), inner),
            Shape::Each(_, inner) => section(page, &below(&format!("{}.NAME", key.name)), inner),
            _ => {}
        }
    }
    // The four operations have the same rules: told once.
    if let Some(Shape::Rules(rule)) = keys.first().map(|key| key.value) {
        section(page, &format!("{path}.OPERATION"), rule);
    }
}

fn code(title: &str, plain: bool) -> String {
    if plain {
        title.to_owned()
    } else {
        format!("`{title}`")
    }
}

fn value(shape: Shape) -> String {
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Matching(pattern) => format!("text, `{pattern}`"),
        Shape::Yes => "`true` or `false`".to_owned(),
        Shape::Whole { min, max } => format!("{min} to {max}"),
        Shape::Duration => "a duration".to_owned(),
        Shape::Size => "a size".to_owned(),
        Shape::OneOf(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(", ")
        }
        Shape::Statuses => "a list of statuses".to_owned(),
        Shape::Secret => "a secret, a list, or `{file: name}`".to_owned(),
        Shape::Headers => "names to texts".to_owned(),
        Shape::Names => "a name or a list".to_owned(),
        Shape::List => "a list of columns".to_owned(),
        Shape::Mapping(_) => "a mapping, see below".to_owned(),
        Shape::Each(names, _) => format!("a mapping; each key {names}"),
        Shape::Rules(_) => "a type, a rule, or a list of them".to_owned(),
        Shape::Tree => "any tree".to_owned(),
    }
}
