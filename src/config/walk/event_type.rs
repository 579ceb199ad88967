//! What the types of two rules can become, to see whether they can be the same.

use super::overlap::{Token, letters};
use super::table_pattern::tokens;
use crate::change::Operation;
use crate::mapping::rule::{NamePattern, TablePattern, TypePiece, TypeTemplate};

/// The types that a template can become for the tables of an entry.
pub(super) fn reach(
    template: &TypeTemplate,
    operation: Operation,
    pattern: &TablePattern,
) -> Vec<Token> {
    template
        .pieces()
        .iter()
        .flat_map(|piece| match piece {
            TypePiece::Literal(text) => letters(text).collect(),
            TypePiece::Operation => letters(operation.as_str()).collect(),
            TypePiece::Schema => as_rendered(&pattern.schema),
            TypePiece::Table => as_rendered(&pattern.table),
            TypePiece::Prefix => as_groups(&pattern.table),
            TypePiece::Column(_) => vec![Token::Star],
        })
        .collect()
}

/// In a type stands `_` for what a name has beside letters, digits and underscores.
fn as_rendered(name: &NamePattern) -> Vec<Token> {
    tokens(name)
        .into_iter()
        .map(|token| match token {
            Token::Letter(c) if !c.is_ascii_alphanumeric() => Token::Letter('_'),
            token => token,
        })
        .collect()
}

/// A prefix keeps its full stops, too; one with an empty group is rare enough to be any.
fn as_groups(prefix: &NamePattern) -> Vec<Token> {
    let NamePattern::Exact(prefix) = prefix else {
        return vec![Token::Star];
    };
    if prefix.split('.').any(str::is_empty) {
        return vec![Token::Star];
    }
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '_'
        }
    };
    prefix.chars().map(plain).map(Token::Letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::walk::overlap::overlap;

    #[test]
    fn templates_are_compared_by_what_they_can_become() {
        let equal = |table: &str, a: &str, b: &str| {
            let pattern = TablePattern::parse(table).unwrap();
            let reach = |text| {
                reach(
                    &TypeTemplate::parse(text).unwrap(),
                    Operation::Insert,
                    &pattern,
                )
            };
            overlap(&reach(a), &reach(b))
        };
        assert!(equal("public.orders", "{table}.created", "orders.created"));
        assert!(equal("public.orders", "a.{operation}", "a.insert"));
        assert!(!equal("public.orders", "{table}.a", "{schema}.a"));
        assert!(equal("audit.*", "{table}.a", "log.a"));
        assert!(!equal("audit.log_*", "{table}.a", "orders.a"));
        assert!(!equal("audit.*", "{table}.a", "{table}.b"));
        assert!(equal("audit.a-b", "{table}", "a_b"));
    }
}
