//! Quoting: the one place where a name or a text becomes part of a statement.

use postgres_protocol::escape::{escape_identifier, escape_literal};

use crate::change::TableName;

/// `"name"`, whatever is in it.
pub fn identifier(name: &str) -> String {
    escape_identifier(name)
}

/// `'text'`, or `E'text'` when there is a backslash in it.
pub fn literal(text: &str) -> String {
    escape_literal(text).trim_start().to_owned()
}

/// `"schema"."table"`.
pub fn table(name: &TableName) -> String {
    format!("{}.{}", identifier(&name.schema), identifier(&name.table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes_its_quotes() {
        assert_eq!(identifier(r#"a"b"#), r#""a""b""#);
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"back\slash"), r"E'back\\slash'");
        assert_eq!(table(&TableName::new("a.b", "C")), r#""a.b"."C""#);
    }
}
