//! The strings of a template: text with `{{CEL}}` in it.
//!
//! `\{{` stands for two braces; nothing else is an escape, so a backslash in front
//! of an expression is written `{{"\\"}}`. A `}}` outside of an expression is text.
//! Inside one, braces and quotes are those of CEL: `{{ {"a": {"b": 1}} }}` is whole.

use super::expression::{ConditionError, Expression};

#[derive(Clone, Debug)]
pub(super) enum Piece {
    Text(String),
    Expression(Expression),
}

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

/// The pieces in order; the error is that of the first expression that is none.
pub(super) fn parse(text: &str) -> Result<Vec<Piece>, ConditionError> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        if let Some(before) = before.strip_suffix('\\') {
            literal.push_str(before);
            literal.push_str(OPEN);
            rest = after;
            continue;
        }
        literal.push_str(before);
        let (source, after) = split_at_close(after)
            .ok_or_else(|| ConditionError(format!("{OPEN} without the {CLOSE} that ends it")))?;
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Expression(Expression::compile(source)?));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

/// What stands before the `}}` that ends an expression, and what after it.
fn split_at_close(text: &str) -> Option<(&str, &str)> {
    let (mut at, mut open_braces) = (0, 0_usize);
    while let Some(left) = text.get(at..).filter(|left| !left.is_empty()) {
        if open_braces == 0 && left.starts_with(CLOSE) {
            return Some((text.get(..at)?, left.get(CLOSE.len()..)?));
        }
        let first = left.chars().next()?;
        at += match first {
            '"' | '\'' => literal_length(left, text.get(..at)?)?,
            _ => first.len_utf8(),
        };
        match first {
            '{' => open_braces += 1,
            '}' => open_braces = open_braces.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Bytes of the string literal at the front, its quotes included.
fn literal_length(text: &str, before: &str) -> Option<usize> {
    let quote = text.get(..1)?;
    let triple = quote.repeat(3);
    let quotes = if text.starts_with(&triple) {
        &triple
    } else {
        quote
    };
    let mut at = quotes.len();
    loop {
        let left = text.get(at..)?;
        if left.starts_with(quotes) {
            return Some(at + quotes.len());
        }
        let mut chars = left.chars();
        let first = chars.next()?;
        at += first.len_utf8();
        if first == '\\' && !is_raw(before) {
            at += chars.next()?.len_utf8();
        }
    }
}

/// Whether an `r` in front makes a literal raw: one that is no end of a name.
fn is_raw(before: &str) -> bool {
    let prefix = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    matches!(
        before.strip_prefix(prefix),
        Some("r" | "R" | "br" | "bR" | "Br" | "BR" | "rb" | "rB" | "Rb" | "RB")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        match parse(text) {
            Err(error) => format!("error: {error}"),
            Ok(pieces) => pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => format!("[{text}]"),
                    Piece::Expression(expression) => format!("<{}>", expression.source()),
                })
                .collect(),
        }
    }

    #[test]
    fn a_string_is_cut_into_text_and_expressions() {
        for (text, expected) in [
            ("", ""),
            ("plain", "[plain]"),
            ("{{new.a}}", "<new.a>"),
            (" {{new.a}}", "[ ]<new.a>"),
            ("{{new.a}}{{new.b}}", "<new.a><new.b>"),
            ("a {{ new.a }} b", "[a ]< new.a >[ b]"),
            ("}} a }", "[}} a }]"),
            ("{ {a} }", "[{ {a} }]"),
            (r"\{{new.a}}", "[{{new.a}}]"),
            (r"a\b{{new.a}}", r"[a\b]<new.a>"),
            (r#"{{"\\"}}{{new.a}}"#, r#"<"\\"><new.a>"#),
            (r#"{{ {"a": {"b": 1}} }}!"#, r#"< {"a": {"b": 1}} >[!]"#),
            (r#"{{{"a": 1}}}"#, r#"<{"a": 1}>"#),
            (r#"{{"}}"}}"#, r#"<"}}">"#),
            (r#"{{'it\'s }}'}}"#, r#"<'it\'s }}'>"#),
            (r#"{{r'\'}}x"#, r"<r'\'>[x]"),
            (r#"{{"""a"}}b"""}}"#, r#"<"""a"}}b""">"#),
            ("größe {{'größe'}}", "[größe ]<'größe'>"),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_cut_says_why() {
        for (text, expected) in [
            ("{{new.a", "error: {{ without the }} that ends it"),
            ("{{'a}}", "error: {{ without the }} that ends it"),
            ("{{}}", "error: an expression cannot be empty"),
            ("{{ {new.a }}", "error: {{ without the }} that ends it"),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
    }
}
