//! Event types: `order.paid`, or `{table}.logged` for a pattern's many tables.

use std::fmt;

use super::failure::FailureKind;
use super::message;
use super::row::{Known, RowView, Side};
use crate::change::{Operation, TableName};

/// Far more than any sensible type; the names put in may add to it.
pub const TYPE_LENGTH_MAX: usize = 256;

/// An event type, in which `{schema}`, `{table}` and `{operation}` may stand, or of a
/// message `{prefix}`, or that a column of the row gives: groups of `[a-zA-Z0-9_]` with a full stop between two, as Standard Webhooks
/// wants it. Printed as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TypeTemplate(Vec<TypePiece>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TypePiece {
    Literal(String),
    Schema,
    Table,
    Operation,
    /// Of the message.
    Prefix,
    /// Of an outbox.
    Column(String),
}

/// What a text is the type of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeOf {
    Change,
    Message,
}

impl TypeOf {
    fn placeholder(self, name: &str) -> Option<TypePiece> {
        match (self, name) {
            (TypeOf::Change, "schema") => Some(TypePiece::Schema),
            (TypeOf::Change, "table") => Some(TypePiece::Table),
            (TypeOf::Change, "operation") => Some(TypePiece::Operation),
            (TypeOf::Message, "prefix") => Some(TypePiece::Prefix),
            _ => None,
        }
    }

    fn expected(self) -> &'static str {
        match self {
            TypeOf::Change => "{schema}, {table} or {operation}",
            TypeOf::Message => "{prefix}",
        }
    }
}

/// Why a text is no event type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    #[error("an event type cannot be empty")]
    Empty,
    #[error("an event type cannot be longer than {TYPE_LENGTH_MAX} characters")]
    TooLong,
    #[error("an event type cannot begin or end with a full stop, nor have two side by side")]
    EmptyGroup,
    #[error(
        "an event type cannot contain {found:?}, only letters A to Z and a to z, digits, underscores and full stops"
    )]
    Character { found: char },
    #[error("unknown placeholder {{{name}}}, expected {}", .of.expected())]
    Placeholder { name: String, of: TypeOf },
    #[error("a placeholder is not closed, expected {}", .of.expected())]
    Unclosed { of: TypeOf },
}

impl TypeTemplate {
    pub fn parse(text: &str) -> Result<Self, TypeError> {
        TypeTemplate::parse_of(text, TypeOf::Change)
    }

    /// The type is the column's value.
    pub fn of_column(name: &str) -> Self {
        TypeTemplate(vec![TypePiece::Column(name.to_owned())])
    }

    pub fn parse_of(text: &str, of: TypeOf) -> Result<Self, TypeError> {
        if text.is_empty() {
            return Err(TypeError::Empty);
        }
        if text.chars().count() > TYPE_LENGTH_MAX {
            return Err(TypeError::TooLong);
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, after) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
            if let Some(found) = literal.chars().find(|c| !plain(*c) && *c != '.') {
                return Err(TypeError::Character { found });
            }
            if !literal.is_empty() {
                pieces.push(TypePiece::Literal(literal.to_owned()));
            }
            rest = after;
            if let Some(opened) = rest.strip_prefix('{') {
                let (name, after) = opened.split_once('}').ok_or(TypeError::Unclosed { of })?;
                let unknown = || TypeError::Placeholder {
                    name: name.to_owned(),
                    of,
                };
                pieces.push(of.placeholder(name).ok_or_else(unknown)?);
                rest = after;
            }
        }
        let template = TypeTemplate(pieces);
        // A placeholder is never empty, so it fills its group as the braces do.
        if template.to_string().split('.').any(str::is_empty) {
            return Err(TypeError::EmptyGroup);
        }
        Ok(template)
    }

    /// The type for all changes of a table, unless the row decides. What a name has
    /// beside `[a-zA-Z0-9_]` becomes `_`.
    pub fn render(&self, name: &TableName, operation: Operation) -> Option<String> {
        let mut rendered = String::new();
        for piece in &self.0 {
            match piece {
                TypePiece::Literal(literal) => rendered.push_str(literal),
                TypePiece::Schema => push_plain(&mut rendered, &name.schema),
                TypePiece::Table => push_plain(&mut rendered, &name.table),
                TypePiece::Operation => rendered.push_str(operation.as_str()),
                TypePiece::Prefix | TypePiece::Column(_) => return None,
            }
        }
        Some(rendered)
    }

    /// The type that the row decides. Full stops in its value stay, other characters
    /// become `_` as in a name.
    pub fn render_row(&self, row: &RowView<'_>) -> Result<String, FailureKind> {
        let mut rendered = String::new();
        for piece in &self.0 {
            let place = match piece {
                TypePiece::Literal(literal) => {
                    rendered.push_str(literal);
                    continue;
                }
                TypePiece::Schema | TypePiece::Table | TypePiece::Operation => continue,
                TypePiece::Prefix => message::PREFIX,
                TypePiece::Column(name) => {
                    row.table.column(name).ok_or(FailureKind::NoSuchColumn)?
                }
            };
            let value = match row.value(Side::New, place)? {
                Known::Text(text) => String::from_utf8_lossy(text),
                Known::Null => return Err(FailureKind::NoType),
            };
            match piece {
                TypePiece::Column(_) if value.is_empty() => return Err(FailureKind::NoType),
                _ => push_groups(&mut rendered, &value),
            }
        }
        Ok(rendered)
    }

    pub fn pieces(&self) -> &[TypePiece] {
        &self.0
    }
}

impl fmt::Display for TypeTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| {
            f.write_str(match piece {
                TypePiece::Literal(literal) => literal,
                TypePiece::Schema => "{schema}",
                TypePiece::Table => "{table}",
                TypePiece::Operation => "{operation}",
                TypePiece::Prefix => "{prefix}",
                TypePiece::Column(name) => return write!(f, "{{{{new.{name}}}}}"),
            })
        })
    }
}

fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn push_plain(rendered: &mut String, name: &str) {
    rendered.extend(name.chars().map(|c| if plain(c) { c } else { '_' }));
}

/// A group without a character becomes one of `_`; what is too long is cut.
fn push_groups(rendered: &mut String, value: &str) {
    let ends = (0..=value.len().min(TYPE_LENGTH_MAX)).rev();
    let end = ends.into_iter().find(|end| value.is_char_boundary(*end));
    let cut = end.and_then(|end| value.get(..end)).unwrap_or_default();
    for (at, group) in cut.split('.').enumerate() {
        if at > 0 {
            rendered.push('.');
        }
        match group {
            "" => rendered.push('_'),
            group => push_plain(rendered, group),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_the_table_and_the_operation() {
        let render = |text: &str, schema: &str, table: &str| {
            TypeTemplate::parse(text)
                .unwrap()
                .render(&TableName::new(schema, table), Operation::Update)
                .unwrap()
        };
        assert_eq!(render("order.paid", "public", "orders"), "order.paid");
        assert_eq!(
            render("{schema}.{table}.{operation}", "app", "Orders"),
            "app.Orders.update"
        );
        assert_eq!(render("v1.{table}_x", "app", "größe-1.b"), "v1.gr__e_1_b_x");
    }

    #[test]
    fn what_a_row_gives_is_made_a_type() {
        let made = |value: &str| {
            let mut rendered = String::new();
            push_groups(&mut rendered, value);
            rendered
        };
        assert_eq!(made("order.paid"), "order.paid");
        assert_eq!(made("Order-paid v1"), "Order_paid_v1");
        assert_eq!(made(".a..b."), "_.a._.b._");
        assert_eq!(made(""), "_");
        assert_eq!(made("größe\n"), "gr__e_");
        assert_eq!(made(&"ü".repeat(300)).len(), 128);
    }

    #[test]
    fn a_template_prints_as_it_was_written() {
        let text = "a.{schema}_{table}.{operation}";
        assert_eq!(TypeTemplate::parse(text).unwrap().to_string(), text);
    }

    #[test]
    fn what_is_no_type_says_why() {
        let says = |text: &str| TypeTemplate::parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(
            [
                "", ".", "order.", ".order", "order..paid", "{table}..x", "order-paid",
                "order paid", "größe", "order.paid\n", "{Table}", "{}", "{table", "a}b", "{{table}}",
            ]
            .map(|text| format!("{text:?}: {}", says(text)))
            .join("\n"),
            @r#"
            "": an event type cannot be empty
            ".": an event type cannot begin or end with a full stop, nor have two side by side
            "order.": an event type cannot begin or end with a full stop, nor have two side by side
            ".order": an event type cannot begin or end with a full stop, nor have two side by side
            "order..paid": an event type cannot begin or end with a full stop, nor have two side by side
            "{table}..x": an event type cannot begin or end with a full stop, nor have two side by side
            "order-paid": an event type cannot contain '-', only letters A to Z and a to z, digits, underscores and full stops
            "order paid": an event type cannot contain ' ', only letters A to Z and a to z, digits, underscores and full stops
            "größe": an event type cannot contain 'ö', only letters A to Z and a to z, digits, underscores and full stops
            "order.paid\n": an event type cannot contain '\n', only letters A to Z and a to z, digits, underscores and full stops
            "{Table}": unknown placeholder {Table}, expected {schema}, {table} or {operation}
            "{}": unknown placeholder {}, expected {schema}, {table} or {operation}
            "{table": a placeholder is not closed, expected {schema}, {table} or {operation}
            "a}b": an event type cannot contain '}', only letters A to Z and a to z, digits, underscores and full stops
            "{{table}}": unknown placeholder {{table}, expected {schema}, {table} or {operation}
            "#
        );
        assert_eq!(
            TypeTemplate::parse(&"a".repeat(257)),
            Err(TypeError::TooLong)
        );
    }
}
