//! An event as a line for a person: columns aligned, colours that a terminal shows.
//!
//! The texts are escaped; the writer leaves colours out where there is no terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::received::Received;
use super::seen::Sight;
use super::server::{Receipt, Verdict};

pub const GOOD: Style = AnsiColor::Green.on_default();
pub const WARNING: Style = AnsiColor::Yellow.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const DIM: Style = Style::new().dimmed();
pub const STRONG: Style = Style::new().bold();

/// Characters of a body that are shown.
const SHOWN_MAX: usize = 48;

/// `text` in `style`.
pub fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// `order.paid  public.orders  {"id":7}  verified  3.1 ms`. `escape` makes a text harmless.
pub fn event(
    receipt: &Receipt,
    received: &Received,
    sight: Sight,
    escape: fn(&str) -> String,
) -> String {
    let (event_type, table) = match &received.standard {
        Some(standard) => (escape(&standard.event_type), escape(&standard.table)),
        None => ("(own payload)".to_owned(), "-".to_owned()),
    };
    let shown = escape(&shortened(&received.shown));
    let mut line = format!("{event_type:<18} {table:<16} {shown:<SHOWN_MAX$} ");
    line.push_str(&remark(receipt, sight));
    if let Some(ms) = latency_ms(receipt, received).filter(|_| receipt.accepted()) {
        let _ = write!(line, "  {}", styled(DIM, &milliseconds(ms)));
    }
    line
}

/// What is to be said of a request and its answer.
pub fn remark(receipt: &Receipt, sight: Sight) -> String {
    let verdict = match receipt.verdict {
        Verdict::Refused(refusal) => {
            return styled(BAD, &format!("refused with {}: {refusal}", receipt.status));
        }
        Verdict::Verified => styled(GOOD, "verified"),
        Verdict::Unverified => styled(DIM, "not verified"),
    };
    if !receipt.accepted() {
        let attempt = receipt.header("webhook-attempt").unwrap_or("?");
        let text = format!("answered {}, attempt {attempt}", receipt.status);
        return format!("{verdict}  {}", styled(WARNING, &text));
    }
    match sight {
        Sight::Fresh => verdict,
        Sight::Repeat => format!("{verdict}  {}", styled(WARNING, "a repeat")),
        Sight::Overtaken => format!("{verdict}  {}", styled(BAD, "out of order")),
    }
}

/// From the commit to the receipt, by two clocks: the database's and ours.
pub fn latency_ms(receipt: &Receipt, received: &Received) -> Option<f64> {
    let committed_us = received.standard.as_ref()?.committed_us?;
    let at = receipt.at.duration_since(std::time::UNIX_EPOCH).ok()?;
    let at_us = i64::try_from(at.as_micros()).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    Some(at_us.saturating_sub(committed_us) as f64 / 1000.0)
}

/// `3.1 ms`, `2.4 s`
pub fn milliseconds(ms: f64) -> String {
    if ms < 1000.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{:.1} s", ms / 1000.0)
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= SHOWN_MAX {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(SHOWN_MAX - 3).collect();
    short.push_str("...");
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bodies_are_cut_and_times_are_for_people() {
        assert_eq!(shortened("{}"), "{}");
        let short = shortened(&"ü".repeat(100));
        assert_eq!(short.chars().count(), SHOWN_MAX);
        assert!(short.ends_with("..."));
        assert_eq!(milliseconds(3.06), "3.1 ms");
        assert_eq!(milliseconds(2400.0), "2.4 s");
    }
}
