//! Event types: `order.paid`, or `{table}.logged` for a pattern's many tables.

use std::fmt;

use crate::change::{Operation, TableName};

/// Far more than any sensible type; the names put in may add to it.
pub const TYPE_LENGTH_MAX: usize = 256;

/// An event type, in which `{schema}`, `{table}` and `{operation}` may stand:
/// groups of `[a-zA-Z0-9_]` with a full stop between two, as Standard Webhooks
/// wants it. Printed as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TypeTemplate(Vec<TypePiece>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TypePiece {
    Literal(String),
    Schema,
    Table,
    Operation,
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
    #[error("unknown placeholder {{{name}}}, expected {{schema}}, {{table}} or {{operation}}")]
    Placeholder { name: String },
    #[error("a placeholder is not closed, expected {{schema}}, {{table}} or {{operation}}")]
    Unclosed,
}

impl TypeTemplate {
    pub fn parse(text: &str) -> Result<Self, TypeError> {
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
                let (name, after) = opened.split_once('}').ok_or(TypeError::Unclosed)?;
                pieces.push(placeholder(name)?);
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

    /// The type for a table. What a name has beside `[a-zA-Z0-9_]` becomes `_`.
    pub fn render(&self, name: &TableName, operation: Operation) -> String {
        let mut rendered = String::new();
        for piece in &self.0 {
            match piece {
                TypePiece::Literal(literal) => rendered.push_str(literal),
                TypePiece::Schema => push_plain(&mut rendered, &name.schema),
                TypePiece::Table => push_plain(&mut rendered, &name.table),
                TypePiece::Operation => rendered.push_str(operation.as_str()),
            }
        }
        rendered
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
            })
        })
    }
}

fn placeholder(name: &str) -> Result<TypePiece, TypeError> {
    match name {
        "schema" => Ok(TypePiece::Schema),
        "table" => Ok(TypePiece::Table),
        "operation" => Ok(TypePiece::Operation),
        _ => Err(TypeError::Placeholder {
            name: name.to_owned(),
        }),
    }
}

fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn push_plain(rendered: &mut String, name: &str) {
    rendered.extend(name.chars().map(|c| if plain(c) { c } else { '_' }));
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
        };
        assert_eq!(render("order.paid", "public", "orders"), "order.paid");
        assert_eq!(
            render("{schema}.{table}.{operation}", "app", "Orders"),
            "app.Orders.update"
        );
        assert_eq!(render("v1.{table}_x", "app", "größe-1.b"), "v1.gr__e_1_b_x");
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
