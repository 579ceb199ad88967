//! A rule's `payload`: any YAML tree, as the JSON it stands for.

use super::cursor::{At, Fields, Walk};
use crate::config::key_path::KeyPath;
use crate::config::problem::{Place, Problem};
use crate::config::source::tree::{Node, Origin, Scalar, Style, Value};
use crate::mapping::payload::{PayloadTemplate, Template};

impl Walk<'_> {
    pub(super) fn payload(&mut self, at: &At<'_>) -> Option<PayloadTemplate> {
        if at.node.kind() == "nothing" {
            self.wrong_kind(at, "a tree", "the body, any YAML tree");
            return None;
        }
        let mut whole = true;
        let template = self.template(at, &mut whole);
        match PayloadTemplate::compile(&template) {
            Ok(payload) => whole.then_some(payload),
            Err(errors) => {
                for error in errors {
                    let spot = spot(at, &error.place);
                    let found = if spot.open {
                        format!("not a template: {}", error.error)
                    } else {
                        "the value of a variable makes no template".to_owned()
                    };
                    self.findings
                        .problem(Problem::new(spot.place, spot.key, found))
                        .hint("write CEL between {{ and }}: \"{{new.title}} ({{new.severity}})\"");
                }
                None
            }
        }
    }

    /// The tree with null in place of what is wrong, which then is not whole.
    fn template(&mut self, at: &At<'_>, whole: &mut bool) -> Template {
        match &at.node.value {
            Value::Scalar(scalar) => self.leaf(at, scalar).unwrap_or_else(|| {
                *whole = false;
                Template::Null
            }),
            Value::List(_) => Template::List(
                self.one_or_list(at)
                    .iter()
                    .map(|item| self.template(item, whole))
                    .collect(),
            ),
            Value::Map(_) => Template::Map(
                self.mapping(at, "a tree")
                    .iter()
                    .flat_map(Fields::iter)
                    .map(|(key, at)| {
                        if key.contains("{{") {
                            self.problem(&at, "a key with {{ in it: keys are no templates")
                                .hint("put the expression into a value");
                            *whole = false;
                        }
                        (key.to_owned(), self.template(&at, whole))
                    })
                    .collect(),
            ),
        }
    }

    fn leaf(&mut self, at: &At<'_>, scalar: &Scalar) -> Option<Template> {
        if scalar.origin == Origin::Unfillable {
            return None;
        }
        // What a variable brought is text: it must not become a number by chance.
        if scalar.style == Style::Quoted || scalar.origin != Origin::Written {
            return Some(Template::Text(scalar.text.clone()));
        }
        if scalar.is_null() {
            return Some(Template::Null);
        }
        match scalar.text.as_str() {
            "true" | "True" | "TRUE" => Some(Template::Bool(true)),
            "false" | "False" | "FALSE" => Some(Template::Bool(false)),
            ".inf" | ".Inf" | ".INF" | "+.inf" | "-.inf" | ".nan" | ".NaN" | ".NAN" => {
                let found = format!("{} is no number in JSON", self.shown(at));
                self.problem(at, found).hint("write it in quotes, as text");
                None
            }
            text => Some(match number(text) {
                Some(number) => Template::Number(number),
                None => Template::Text(text.to_owned()),
            }),
        }
    }
}

/// A number of YAML's core schema as JSON writes it: the same digits wherever JSON allows.
/// <https://yaml.org/spec/1.2.2/#1032-tag-resolution>
fn number(text: &str) -> Option<String> {
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let digits = digits.strip_prefix('+').map_or(Some(digits), |_| None)?;
            return u128::from_str_radix(digits, radix)
                .ok()
                .map(|number| number.to_string());
        }
    }
    let (minus, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], &rest[at..]),
        None => (rest, ""),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent_digits = exponent
        .get(1..)
        .map(|e| e.strip_prefix(['-', '+']).unwrap_or(e));
    if !digits(whole)
        || !digits(fraction)
        || (whole.is_empty() && fraction.is_empty())
        || exponent_digits.is_some_and(|e| e.is_empty() || !digits(e))
    {
        return None;
    }
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{minus}{whole}{point}{fraction}{exponent}"))
}

struct Spot {
    place: Place,
    key: String,
    open: bool,
}

/// Where in the file a place of the template (`attachments[0].text`) stands.
fn spot(root: &At<'_>, place: &str) -> Spot {
    fn search(node: &Node, path: &KeyPath, own: &str, wanted: &str) -> Option<Spot> {
        if own == wanted {
            let open = match &node.value {
                Value::Scalar(scalar) => scalar.origin == Origin::Written,
                Value::List(_) | Value::Map(_) => true,
            };
            return Some(Spot {
                place: node.place.clone(),
                key: path.to_string(),
                open: open && !matches!(node.place, Place::Variable(_)),
            });
        }
        if !wanted.starts_with(own) {
            return None;
        }
        match &node.value {
            Value::Scalar(_) => None,
            Value::List(items) => items.iter().enumerate().find_map(|(index, item)| {
                search(item, &path.index(index), &format!("{own}[{index}]"), wanted)
            }),
            Value::Map(entries) => entries.iter().find_map(|entry| {
                let key = &entry.key;
                let own = if own.is_empty() {
                    key.clone()
                } else {
                    format!("{own}.{key}")
                };
                search(&entry.node, &path.key(key), &own, wanted)
            }),
        }
    }
    search(root.node, &root.path, "", place).unwrap_or_else(|| Spot {
        place: root.node.place.clone(),
        key: root.path.to_string(),
        // Not found again: say nothing of its inside.
        open: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits_as_far_as_json_allows() {
        for text in [
            "0",
            "-1",
            "1.10",
            "12345678901234567890123",
            "1e5",
            "-2.5E-3",
        ] {
            assert_eq!(number(text).as_deref(), Some(text));
        }
        for (yaml, json) in [
            ("+1", "1"),
            ("007", "7"),
            (".5", "0.5"),
            ("1.", "1"),
            ("0x1F", "31"),
            ("0o17", "15"),
            ("-00.50", "-0.50"),
        ] {
            assert_eq!(number(yaml).as_deref(), Some(json));
        }
    }

    #[test]
    fn other_plain_texts_are_no_numbers() {
        for text in [
            "", ".", "-", "+", "1e", "e5", "1.2.3", "1_000", "0x", "0x+1", "--1", "1 2",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
