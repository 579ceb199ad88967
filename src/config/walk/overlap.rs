//! Whether two patterns with stars can match the same text.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Letter(char),
    /// Any run of characters, also none.
    Star,
}

pub(super) fn letters(text: &str) -> impl Iterator<Item = Token> {
    text.chars().map(Token::Letter)
}

pub(super) fn overlap(a: &[Token], b: &[Token]) -> bool {
    // `row[j]`: what is left of `a` and `b[j..]` can match the same text.
    let mut below = vec![false; b.len() + 1];
    for i in (0..=a.len()).rev() {
        let mut row = vec![false; b.len() + 1];
        for j in (0..=b.len()).rev() {
            row[j] = match (a.get(i), b.get(j)) {
                (None, None) => true,
                (Some(Token::Star), Some(_)) => below[j] || row[j + 1],
                (Some(Token::Star), None) => below[j],
                (Some(Token::Letter(_)), Some(Token::Star)) => row[j + 1] || below[j],
                (None, Some(Token::Star)) => row[j + 1],
                (Some(Token::Letter(x)), Some(Token::Letter(y))) => x == y && below[j + 1],
                (Some(Token::Letter(_)), None) | (None, Some(Token::Letter(_))) => false,
            };
        }
        below = row;
    }
    below[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(a: &str, b: &str) -> bool {
        let tokens = |text: &str| -> Vec<Token> {
            text.chars()
                .map(|c| {
                    if c == '*' {
                        Token::Star
                    } else {
                        Token::Letter(c)
                    }
                })
                .collect()
        };
        let (a, b) = (tokens(a), tokens(b));
        assert_eq!(overlap(&a, &b), overlap(&b, &a));
        overlap(&a, &b)
    }

    #[test]
    fn patterns_that_share_a_text_overlap() {
        assert!(both("", ""));
        assert!(both("*", ""));
        assert!(both("ab", "ab"));
        assert!(both("a*", "*b"));
        assert!(both("*a*", "*b*"));
        assert!(both("a*c", "ab*"));
        assert!(both("**", "x"));
    }

    #[test]
    fn patterns_that_share_none_do_not() {
        assert!(!both("a", "b"));
        assert!(!both("a", ""));
        assert!(!both("a*", "b*"));
        assert!(!both("*.created", "*.logged"));
        assert!(!both("ab", "a*c"));
        assert!(!both("ab*ba", "aba"));
    }
}
