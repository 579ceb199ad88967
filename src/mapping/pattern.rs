//! Patterns: which tables an entry of `tables:` speaks of.

use crate::change::TableName;

/// Which tables an entry of `tables:` speaks of.
///
/// Written `schema.table`; a `*` in an unquoted part stands for any run of
/// characters; a part with a dot or a star of its own stands in double quotes.
/// Names are compared as they are, without folding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TablePattern {
    pub schema: NamePattern,
    pub table: NamePattern,
}

/// One part of a [`TablePattern`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NamePattern {
    Exact(String),
    /// The literal pieces between the stars: `a*b` is `["a", "b"]`, `*` is `["", ""]`.
    Pieces(Vec<String>),
}

impl TablePattern {
    pub fn matches(&self, name: &TableName) -> bool {
        self.schema.matches(&name.schema) && self.table.matches(&name.table)
    }

    /// Bytes of the pattern that are no star: the longer, the closer.
    pub fn literal_length(&self) -> usize {
        self.schema.literal_length() + self.table.literal_length()
    }

    /// Speaks of one table.
    pub fn is_exact(&self) -> bool {
        matches!(
            (&self.schema, &self.table),
            (NamePattern::Exact(_), NamePattern::Exact(_))
        )
    }
}

impl NamePattern {
    pub fn matches(&self, name: &str) -> bool {
        let pieces = match self {
            NamePattern::Exact(exact) => return exact == name,
            NamePattern::Pieces(pieces) => pieces,
        };
        let Some((first, rest)) = pieces.split_first() else {
            return false;
        };
        let Some(mut left) = name.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return left.is_empty();
        };
        // The earliest place is always good: the last piece stands at the end.
        for piece in middle {
            let Some((_, after)) = left.split_once(piece.as_str()) else {
                return false;
            };
            left = after;
        }
        left.ends_with(last.as_str())
    }

    pub fn literal_length(&self) -> usize {
        match self {
            NamePattern::Exact(name) => name.len(),
            NamePattern::Pieces(pieces) => pieces.iter().map(String::len).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> NamePattern {
        NamePattern::Pieces(text.split('*').map(str::to_owned).collect())
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "orders", true),
            ("a*b", "ab", true),
            ("a*b", "axxb", true),
            ("a*b", "axxbc", false),
            ("a*a", "a", false),
            ("a*b*c", "abbc", true),
            ("a*b*c", "acb", false),
            ("a*bc*c", "abcc", true),
            ("a*bc*c", "abc", false),
            ("**", "x", true),
            ("*_log", "x_log", true),
            ("*_log", "x_logs", false),
            ("größe*", "größen", true),
        ] {
            assert_eq!(part(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn names_are_not_folded() {
        let exact = NamePattern::Exact("Orders".to_owned());
        assert!(exact.matches("Orders"));
        assert!(!exact.matches("orders"));
    }

    #[test]
    fn stars_do_not_count_as_literal() {
        let pattern = TablePattern {
            schema: NamePattern::Exact("audit".to_owned()),
            table: part("ev*_log"),
        };
        assert_eq!(pattern.literal_length(), 11);
        assert!(!pattern.is_exact());
        assert!(pattern.matches(&TableName::new("audit", "ev_2026_log")));
        assert!(!pattern.matches(&TableName::new("public", "ev_2026_log")));
    }
}
