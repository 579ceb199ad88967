//! Paths: expressions that only name a part of the row, such as `new.total` or
//! `old.address["city"]`. Their value goes into a payload digit for digit.

use std::fmt;

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::failure::FailureKind;
use super::super::row::Side;
use super::names;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub side: Side,
    /// `None`: the row as a whole.
    pub column: Option<String>,
    /// Inside the column's JSON.
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Key(String),
    Element(usize),
}

impl Path {
    /// The path that a tree is, if it is one.
    pub(super) fn of(tree: &IdedExpr) -> Option<Path> {
        let (mut expr, mut steps) = (&tree.expr, Vec::new());
        while let Some((operand, step)) = step_of(expr) {
            steps.push(step);
            expr = operand;
        }
        let Expr::Ident(name) = expr else {
            return None;
        };
        let side = names::side(name)?;
        let column = match steps.pop() {
            None => None,
            Some(Step::Key(column)) => Some(column),
            Some(Step::Element(_)) => return None,
        };
        steps.reverse();
        Some(Path {
            side,
            column,
            steps,
        })
    }
}

fn step_of(expr: &Expr) -> Option<(&Expr, Step)> {
    match expr {
        Expr::Select(select) if !select.test => {
            Some((&select.operand.expr, Step::Key(select.field.clone())))
        }
        Expr::Call(call) if call.func_name == operators::INDEX => match &*call.args {
            [
                operand,
                IdedExpr {
                    expr: Expr::Literal(index),
                    ..
                },
            ] => {
                let step = match index {
                    LiteralValue::String(key) => Step::Key(key.inner().to_owned()),
                    LiteralValue::Int(at) => Step::Element(usize::try_from(*at.inner()).ok()?),
                    _ => return None,
                };
                Some((&operand.expr, step))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The part of a JSON text that the steps lead to, as it is written. Of keys that
/// stand twice the last counts.
pub fn descend<'j>(json: &'j [u8], steps: &[Step]) -> Result<&'j [u8], FailureKind> {
    let mut part = json;
    for step in steps {
        let mut reader = serde_json::Deserializer::from_slice(part);
        let found = match (step, part.trim_ascii_start().first()) {
            (Step::Key(key), Some(b'{')) => reader.deserialize_map(AtKey(key)),
            (Step::Element(at), Some(b'[')) => reader.deserialize_seq(AtElement(*at)),
            _ => return Err(FailureKind::TypeMismatch),
        };
        part = found
            .map_err(|_| FailureKind::Other)?
            .ok_or(FailureKind::NoSuchKey)?
            .get()
            .as_bytes();
    }
    Ok(part)
}

struct AtKey<'k>(&'k str);

impl<'de> Visitor<'de> for AtKey<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = from.next_key::<std::borrow::Cow<'de, str>>()? {
            let value: &'de RawValue = from.next_value()?;
            if key == self.0 {
                found = Some(value);
            }
        }
        Ok(found)
    }
}

struct AtElement(usize);

impl<'de> Visitor<'de> for AtElement {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut at) = (None, 0);
        while let Some(element) = from.next_element::<&'de RawValue>()? {
            if at == self.0 {
                found = Some(element);
            }
            at += 1;
        }
        Ok(found)
    }
}
