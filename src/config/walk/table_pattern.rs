//! The names of `tables`: `public.orders`, `"audit.*"`, `'"my.schema"."weird*table"'`.
//!
//! Names are literal: they are not folded as SQL folds them, and a part in double
//! quotes takes dots and stars as they are (`""` stands for a quote).

use super::overlap::{Token, letters, overlap};
use crate::mapping::rule::{NamePattern, TablePattern};

/// Postgres cuts longer names (NAMEDATALEN).
const NAME_BYTES_MAX: usize = 63;

/// Why a text names no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("the schema is missing")]
    OnePart,
    #[error("it has more than two parts")]
    ManyParts,
    #[error("a part of it is empty")]
    EmptyPart,
    #[error("a double quote without its other one, or in the middle of a part")]
    Quote,
    #[error("a part of it is longer than the 63 bytes that Postgres keeps of a name")]
    Long,
}

impl PatternError {
    pub(super) fn hint(self) -> &'static str {
        match self {
            PatternError::OnePart => "write schema.table, for example public.orders",
            PatternError::ManyParts => {
                "write schema.table; a part with a dot of its own stands in double quotes: '\"my.schema\".orders'"
            }
            PatternError::EmptyPart => "write schema.table; * stands for any name",
            PatternError::Quote => {
                "quote a whole part, and write a quote in it twice: '\"my.schema\".\"a\"\"b\"'"
            }
            PatternError::Long => "write the name as Postgres has it",
        }
    }
}

impl TablePattern {
    /// Reads `schema.table`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (schema, rest) = part(text)?;
        let rest = rest.ok_or(PatternError::OnePart)?;
        let (table, rest) = part(rest)?;
        match rest {
            None => Ok(TablePattern { schema, table }),
            Some(_) => Err(PatternError::ManyParts),
        }
    }
}

/// Reads the prefix of a message: one part, in which dots mean nothing.
pub(super) fn prefix(text: &str) -> Result<NamePattern, PatternError> {
    let Some(inside) = text.strip_prefix('"') else {
        return match text {
            "" => Err(PatternError::EmptyPart),
            text => Ok(unquoted(text)),
        };
    };
    match quoted(inside)? {
        (name, "") if name.is_empty() => Err(PatternError::EmptyPart),
        (name, "") => Ok(NamePattern::Exact(name)),
        _ => Err(PatternError::Quote),
    }
}

/// The first part, and what comes after the dot behind it.
fn part(text: &str) -> Result<(NamePattern, Option<&str>), PatternError> {
    let (name, rest) = match text.strip_prefix('"') {
        Some(inside) => {
            let (name, rest) = quoted(inside)?;
            (NamePattern::Exact(name), rest)
        }
        None => {
            let end = text.find('.').unwrap_or(text.len());
            let (name, rest) = text.split_at(end);
            if name.contains('"') {
                return Err(PatternError::Quote);
            }
            (unquoted(name), rest)
        }
    };
    let NamePattern::Exact(exact) = &name else {
        return Ok((name, rest.strip_prefix('.')));
    };
    if exact.is_empty() {
        return Err(PatternError::EmptyPart);
    }
    if exact.len() > NAME_BYTES_MAX {
        return Err(PatternError::Long);
    }
    match rest.strip_prefix('.') {
        None if !rest.is_empty() => Err(PatternError::Quote),
        rest => Ok((name, rest)),
    }
}

fn unquoted(name: &str) -> NamePattern {
    if !name.contains('*') {
        return NamePattern::Exact(name.to_owned());
    }
    let pieces: Vec<&str> = name.split('*').collect();
    let last = pieces.len() - 1;
    // Two stars in a row are one.
    NamePattern::Pieces(
        pieces
            .iter()
            .enumerate()
            .filter(|(index, piece)| *index == 0 || *index == last || !piece.is_empty())
            .map(|(_, piece)| (*piece).to_owned())
            .collect(),
    )
}

/// What stands before the closing quote, and what behind it.
fn quoted(inside: &str) -> Result<(String, &str), PatternError> {
    let mut name = String::new();
    let mut rest = inside;
    loop {
        let (before, after) = rest.split_once('"').ok_or(PatternError::Quote)?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return Ok((name, after)),
        }
    }
}

/// Both can be the entry of one table, and neither comes before the other.
pub(super) fn tie(a: &TablePattern, b: &TablePattern) -> bool {
    if a.is_exact() || b.is_exact() {
        return a == b;
    }
    a.literal_length() == b.literal_length()
        && overlap(&tokens(&a.schema), &tokens(&b.schema))
        && overlap(&tokens(&a.table), &tokens(&b.table))
}

pub(super) fn tokens(name: &NamePattern) -> Vec<Token> {
    match name {
        NamePattern::Exact(name) => letters(name).collect(),
        NamePattern::Pieces(pieces) => {
            let mut tokens = Vec::new();
            for (index, piece) in pieces.iter().enumerate() {
                if index > 0 {
                    tokens.push(Token::Star);
                }
                tokens.extend(letters(piece));
            }
            tokens
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(name: &str) -> NamePattern {
        NamePattern::Exact(name.to_owned())
    }

    fn pieces(pieces: &[&str]) -> NamePattern {
        NamePattern::Pieces(pieces.iter().map(|piece| (*piece).to_owned()).collect())
    }

    fn parsed(text: &str) -> (NamePattern, NamePattern) {
        let pattern = TablePattern::parse(text).unwrap();
        (pattern.schema, pattern.table)
    }

    #[test]
    fn names_are_literal() {
        assert_eq!(parsed("public.Orders"), (exact("public"), exact("Orders")));
        assert_eq!(parsed("a b.ü$"), (exact("a b"), exact("ü$")));
    }

    #[test]
    fn a_star_outside_quotes_is_a_pattern() {
        assert_eq!(parsed("audit.*"), (exact("audit"), pieces(&["", ""])));
        assert_eq!(
            parsed("a*b.x**y*"),
            (pieces(&["a", "b"]), pieces(&["x", "y", ""]))
        );
        assert_eq!(parsed("*.**"), (pieces(&["", ""]), pieces(&["", ""])));
    }

    #[test]
    fn a_part_in_quotes_takes_dots_stars_and_quotes_as_they_are() {
        assert_eq!(
            parsed(r#""my.schema"."weird*table""#),
            (exact("my.schema"), exact("weird*table"))
        );
        assert_eq!(parsed(r#""a""b".c"#), (exact("a\"b"), exact("c")));
    }

    #[test]
    fn a_prefix_is_one_part() {
        assert_eq!(prefix("order.paid"), Ok(exact("order.paid")));
        assert_eq!(prefix("a\"b .c"), Ok(exact("a\"b .c")));
        assert_eq!(prefix("order.*"), Ok(pieces(&["order.", ""])));
        assert_eq!(prefix("\"a*\"\"b\""), Ok(exact("a*\"b")));
        assert_eq!(prefix(""), Err(PatternError::EmptyPart));
        assert_eq!(prefix("\"\""), Err(PatternError::EmptyPart));
        assert_eq!(prefix("\"a"), Err(PatternError::Quote));
        assert_eq!(prefix("\"a\"b"), Err(PatternError::Quote));
        let long = "x".repeat(200);
        assert_eq!(prefix(&long), Ok(exact(&long)));
    }

    #[test]
    fn what_names_no_table_is_told_apart() {
        let error = |text: &str| TablePattern::parse(text).unwrap_err();
        assert_eq!(error("orders"), PatternError::OnePart);
        assert_eq!(error("*"), PatternError::OnePart);
        assert_eq!(error("a.b.c"), PatternError::ManyParts);
        assert_eq!(error(""), PatternError::EmptyPart);
        assert_eq!(error(".b"), PatternError::EmptyPart);
        assert_eq!(error("a."), PatternError::EmptyPart);
        assert_eq!(error("\"\".b"), PatternError::EmptyPart);
        assert_eq!(error("\"a.b"), PatternError::Quote);
        assert_eq!(error("\"a\"x.b"), PatternError::Quote);
        assert_eq!(error("a\"x.b"), PatternError::Quote);
        assert_eq!(error(&format!("a.{}", "x".repeat(64))), PatternError::Long);
    }

    #[test]
    fn patterns_tie_when_they_overlap_and_are_equally_long() {
        let ties = |a: &str, b: &str| {
            let (a, b) = (
                TablePattern::parse(a).unwrap(),
                TablePattern::parse(b).unwrap(),
            );
            assert_eq!(tie(&a, &b), tie(&b, &a));
            tie(&a, &b)
        };
        assert!(ties("a.b", "\"a\".b"));
        assert!(ties("*.a*", "*.*b"));
        assert!(ties("a.*", "*.a"));
        assert!(!ties("a.b", "a.*"));
        assert!(!ties("a.b", "b.a"));
        assert!(!ties("a.*", "b.*"));
        assert!(!ties("a.x*", "a.*"));
    }
}
