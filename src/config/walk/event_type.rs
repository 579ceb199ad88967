//! A rule's `type`: `order.paid`, `{table}.logged`.

use super::overlap::{Token, letters};
use super::table_pattern::tokens;
use crate::change::Operation;
use crate::mapping::rule::{TablePattern, TypePiece, TypeTemplate};

const BYTES_MAX: usize = 128;

/// Why a text is no event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TypeError {
    #[error("an event type has letters, digits, \"_\" and \"-\", with single dots between")]
    Letters,
    #[error("an event type has at most {BYTES_MAX} bytes")]
    Long,
    #[error("only {{schema}}, {{table}} and {{operation}} may stand in braces")]
    Braces,
}

pub(super) fn parse(text: &str) -> Result<TypeTemplate, TypeError> {
    if text.len() > BYTES_MAX {
        return Err(TypeError::Long);
    }
    let mut pieces = Vec::new();
    // The type with a letter in place of each brace.
    let mut outline = String::new();
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once('{') {
        let (word, after) = after.split_once('}').ok_or(TypeError::Braces)?;
        if !literal.is_empty() {
            pieces.push(TypePiece::Literal(literal.to_owned()));
        }
        pieces.push(match word {
            "schema" => TypePiece::Schema,
            "table" => TypePiece::Table,
            "operation" => TypePiece::Operation,
            _ => return Err(TypeError::Braces),
        });
        outline.push_str(literal);
        outline.push('x');
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(TypePiece::Literal(rest.to_owned()));
    }
    outline.push_str(rest);
    if outline.contains('}') {
        return Err(TypeError::Braces);
    }
    let word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    if !outline.split('.').all(word) {
        return Err(TypeError::Letters);
    }
    Ok(TypeTemplate(pieces))
}

/// The types that a template can become for the tables of an entry.
pub(super) fn reach(
    template: &TypeTemplate,
    operation: Operation,
    pattern: &TablePattern,
) -> Vec<Token> {
    template
        .0
        .iter()
        .flat_map(|piece| match piece {
            TypePiece::Literal(text) => letters(text).collect(),
            TypePiece::Operation => letters(operation.as_str()).collect(),
            TypePiece::Schema => tokens(&pattern.schema),
            TypePiece::Table => tokens(&pattern.table),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::walk::overlap::overlap;

    #[test]
    fn a_type_is_words_with_dots_between() {
        assert_eq!(
            parse("order.paid").unwrap().0,
            [TypePiece::Literal("order.paid".to_owned())]
        );
        assert_eq!(
            parse("db.{schema}-{table}.{operation}").unwrap().0,
            [
                TypePiece::Literal("db.".to_owned()),
                TypePiece::Schema,
                TypePiece::Literal("-".to_owned()),
                TypePiece::Table,
                TypePiece::Literal(".".to_owned()),
                TypePiece::Operation,
            ]
        );
    }

    #[test]
    fn what_is_no_type_is_told_apart() {
        for text in ["", ".", "a.", ".a", "a..b", "a b", "ä", "a/b", "a\n"] {
            assert_eq!(parse(text), Err(TypeError::Letters), "{text:?}");
        }
        for text in ["{", "{table", "}", "{Table}", "{}", "{{table}}", "a}b"] {
            assert_eq!(parse(text), Err(TypeError::Braces), "{text:?}");
        }
        assert_eq!(parse(&"a".repeat(129)), Err(TypeError::Long));
    }

    #[test]
    fn templates_are_compared_by_what_they_can_become() {
        let equal = |table: &str, a: &str, b: &str| {
            let pattern = TablePattern::parse(table).unwrap();
            let reach = |text| reach(&parse(text).unwrap(), Operation::Insert, &pattern);
            overlap(&reach(a), &reach(b))
        };
        assert!(equal("public.orders", "{table}.created", "orders.created"));
        assert!(equal("public.orders", "a.{operation}", "a.insert"));
        assert!(!equal("public.orders", "{table}.a", "{schema}.a"));
        assert!(equal("audit.*", "{table}.a", "log.a"));
        assert!(!equal("audit.log_*", "{table}.a", "orders.a"));
        assert!(!equal("audit.*", "{table}.a", "{table}.b"));
    }
}
