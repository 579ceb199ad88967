//! The end of the show: what was promised against what was seen.

use super::super::printed::table;
use super::books::Books;
use super::setting::ENDPOINTS;
use crate::receiver::line::{BAD, GOOD, STRONG, milliseconds, styled};

/// Whether everything that was promised was kept.
pub fn kept(books: &Books) -> bool {
    let overtaken = books.accounts().iter().any(|account| account.overtaken > 0);
    books.missing(None).is_empty() && books.unexpected() == 0 && books.refused == 0 && !overtaken
}

pub fn text(books: &Books) -> String {
    let head = [
        "endpoint",
        "committed",
        "received",
        "missing",
        "repeats",
        "out of order",
        "p50",
        "p99",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (index, (name, account)) in ENDPOINTS.iter().zip(books.accounts()).enumerate() {
        rows.push(vec![
            (*name).to_owned(),
            books.expected_at(index).to_string(),
            account.arrived.to_string(),
            books.missing(Some(index)).len().to_string(),
            account.repeats.to_string(),
            account.overtaken.to_string(),
            percentile(&account.latencies_ms, 50),
            percentile(&account.latencies_ms, 99),
        ]);
    }
    let mut text = format!(
        "\n{}\n",
        styled(STRONG, "What was committed, and what came")
    );
    text.push_str(&table(&rows));
    text.push_str(
        "p50, p99: from the commit to the receipt, of events that were committed while\n\
         their endpoint and the daemon were well\n",
    );
    text.push('\n');
    text.push_str(&if kept(books) {
        styled(
            GOOD,
            "Nothing was lost, nothing overtook, every webhook verified.",
        )
    } else {
        styled(
            BAD,
            &format!(
                "A promise was broken: {} missing, {} that nobody committed, {} refused.",
                books.missing(None).len(),
                books.unexpected(),
                books.refused
            ),
        )
    });
    text.push('\n');
    text
}

/// The nearest rank; `-` of nothing.
fn percentile(values_ms: &[f64], percent: usize) -> String {
    let mut sorted = values_ms.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    match sorted.get(rank - 1) {
        Some(ms) => milliseconds(*ms),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 50), "100.0 ms");
        assert_eq!(percentile(&values, 99), "198.0 ms");
        assert_eq!(percentile(&[3.0], 99), "3.0 ms");
        assert_eq!(percentile(&[], 50), "-");
    }
}
