//! `${VAR}` and `${VAR:-default}` in scalars.
//!
//! Filled once, after parsing: a value cannot bring YAML or further variables with
//! it. As in a shell the default stands in for a variable that is not set or is
//! empty; it ends at the first `}`. `$${` stands for `${` itself.

use super::tree::{Node, Origin, Value};
use crate::config::environment::Environment;
use crate::config::key_path::KeyPath;
use crate::config::problem::{Findings, Place, Problem};

/// Fills the scalars below `node`. What came whole from a variable stays as it is.
pub fn fill(node: &mut Node, path: &KeyPath, env: &Environment, findings: &mut Findings) {
    match &mut node.value {
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                fill(item, &path.index(index), env, findings);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                fill(&mut entry.node, &path.key(&entry.key), env, findings);
            }
        }
        Value::Scalar(scalar) => {
            if matches!(node.place, Place::Variable(_)) || !scalar.text.contains("${") {
                return;
            }
            match filled(&scalar.text, env) {
                Ok(Filled { text, from }) => {
                    scalar.text = text;
                    if !from.is_empty() {
                        scalar.origin = Origin::Filled(from);
                    }
                }
                Err(errors) => {
                    scalar.origin = Origin::Unfillable;
                    for error in errors {
                        tell(error, findings, node.place.clone(), path.to_string());
                    }
                }
            }
        }
    }
}

fn tell(error: FillError, findings: &mut Findings, place: Place, key: String) {
    let found = match &error {
        FillError::Unset(name) => format!("the variable {name} is not set"),
        FillError::Unclosed => "a \"${\" without its \"}\"".to_owned(),
        FillError::Name => "what stands in \"${...}\" is not the name of a variable".to_owned(),
    };
    let hint = match &error {
        FillError::Unset(name) => {
            format!("set it in the environment, or write ${{{name}:-default}}")
        }
        FillError::Unclosed | FillError::Name => {
            "write ${NAME} or ${NAME:-default}, or $${ where no variable is meant".to_owned()
        }
    };
    findings.problem(Problem::new(place, key, found)).hint(hint);
}

struct Filled {
    text: String,
    /// The variables whose values are in it.
    from: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum FillError {
    Unset(String),
    Unclosed,
    Name,
}

/// Fails with all that is wrong, as far as the text can be read.
fn filled(text: &str, env: &Environment) -> Result<Filled, Vec<FillError>> {
    let mut errors = Vec::new();
    let mut filled = Filled {
        text: String::with_capacity(text.len()),
        from: Vec::new(),
    };
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let before = &rest[..at];
        let after = &rest[at + 2..];
        if let Some(before) = before.strip_suffix('$') {
            filled.text.push_str(before);
            filled.text.push_str("${");
            rest = after;
            continue;
        }
        filled.text.push_str(before);
        let Some((inside, after)) = after.split_once('}') else {
            errors.push(FillError::Unclosed);
            break;
        };
        rest = after;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) {
            errors.push(FillError::Name);
            continue;
        }
        match (env.get(name), default) {
            (Some(""), Some(default)) | (None, Some(default)) => filled.text.push_str(default),
            (Some(value), _) => {
                filled.text.push_str(value);
                filled.from.push(name.to_owned());
            }
            (None, None) => errors.push(FillError::Unset(name.to_owned())),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    filled.text.push_str(rest);
    Ok(filled)
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(template: &str) -> Result<String, Vec<FillError>> {
        let env = Environment::from_iter([("A", "1"), ("EMPTY", ""), ("B", "${A}")]);
        filled(template, &env).map(|filled| filled.text)
    }

    #[test]
    fn variables_and_defaults_are_filled_in() {
        assert_eq!(text("x${A}y${A}").unwrap(), "x1y1");
        assert_eq!(text("${NO:-a:-b}").unwrap(), "a:-b");
        assert_eq!(text("${NO:-}").unwrap(), "");
        assert_eq!(text("${A:-2}").unwrap(), "1");
        assert_eq!(text("${EMPTY:-2}").unwrap(), "2");
        assert_eq!(text("[${EMPTY}]").unwrap(), "[]");
    }

    #[test]
    fn a_value_is_not_filled_again() {
        assert_eq!(text("${B}").unwrap(), "${A}");
    }

    #[test]
    fn two_dollars_stand_for_the_brace_itself() {
        assert_eq!(text("$${A}").unwrap(), "${A}");
        assert_eq!(text("$$${A}").unwrap(), "$${A}");
        assert_eq!(text("$A $$ $").unwrap(), "$A $$ $");
    }

    #[test]
    fn what_cannot_be_filled_is_told_apart() {
        let unset = |name: &str| FillError::Unset(name.into());
        assert_eq!(text("${NO}"), Err(vec![unset("NO")]));
        assert_eq!(text("${NO}${A}${NI}"), Err(vec![unset("NO"), unset("NI")]));
        assert_eq!(text("${A"), Err(vec![FillError::Unclosed]));
        for no_name in ["${}", "${1A}", "${ A }", "${NO-2}"] {
            assert_eq!(text(no_name), Err(vec![FillError::Name]));
        }
    }
}
