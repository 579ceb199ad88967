//! "Did you mean": the known word that a mistyped one is closest to.

/// None when nothing is close: more than about a third of the letters would differ.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed: Vec<char> = word.to_lowercase().chars().take(100).collect();
    let limit = 1 + typed.len() / 4;
    known
        .into_iter()
        .map(|candidate| {
            let letters: Vec<char> = candidate.to_lowercase().chars().take(100).collect();
            (distance(&typed, &letters), candidate)
        })
        .filter(|&(distance, candidate)| distance <= limit && distance < candidate.len())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, delete, replace or swap with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before_last[j - 2] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 4] = ["timeout", "to", "headers", "order"];

    #[test]
    fn slips_are_seen_through() {
        assert_eq!(nearest("timout", KEYS), Some("timeout"));
        assert_eq!(nearest("Timeout", KEYS), Some("timeout"));
        assert_eq!(nearest("haeders", KEYS), Some("headers"));
        assert_eq!(nearest("ot", KEYS), Some("to"));
    }

    #[test]
    fn a_far_word_has_no_neighbour() {
        assert_eq!(nearest("concurrency", KEYS), None);
        assert_eq!(nearest("", KEYS), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}
