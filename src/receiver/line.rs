//! An event as a line for a person: columns aligned, colours that a terminal shows.
//!
//! The texts are escaped; the writer leaves colours out where there is no terminal.

use anstyle::{AnsiColor, Style};

use super::received::Received;
use super::seen::Sight;
use super::server::{Receipt, Verdict};

pub const GOOD: Style = AnsiColor::Green.on_default();
pub const WARNING: Style = AnsiColor::Yellow.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const DIM: Style = Style::new().dimmed();
pub const STRONG: Style = Style::new().bold();

/// Characters of a body that are shown: where there is room, and always.
const SHOWN_MAX: usize = 48;
const SHOWN_MIN: usize = 12;
/// What is said of nearly all: `verified  123.4 ms`.
const REMARK_WIDTH: usize = 18;
/// A column is no wider than this on account of a long name.
const NAME_WIDTH_MAX: usize = 32;

/// `text` in `style`.
pub fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Lines below one another: a column is as wide as the widest of it so far.
#[derive(Debug)]
pub struct Lines {
    /// Characters that a line may have; `None`: as many as it likes.
    room: Option<usize>,
    type_width: usize,
    table_width: usize,
}

impl Lines {
    /// `columns` of the terminal, of which the caller uses `taken` for what it puts before.
    pub fn new(columns: Option<usize>, taken: usize) -> Self {
        Lines {
            room: columns.map(|columns| columns.saturating_sub(taken)),
            type_width: 15,
            table_width: 7,
        }
    }

    /// `order.paid orders {"id":7} verified  3.1 ms`. `escape` makes a text harmless.
    pub fn event(
        &mut self,
        receipt: &Receipt,
        received: &Received,
        sight: Sight,
        escape: fn(&str) -> String,
    ) -> String {
        let names = self.names(received, escape);
        let remarks = remarks(receipt, received, sight);
        let texts = remarks.iter().map(|(_, text)| text.chars().count());
        let remarks_width = texts.sum::<usize>() + 2 * (remarks.len() - 1);
        let usual_width = self.shown(&names, REMARK_WIDTH);
        let width = self.shown(&names, remarks_width).min(usual_width);
        let shown = shortened(&escape(&received.shown), width);
        // What needs more room than the others begins earlier.
        let width = if self.room.is_none() {
            usual_width
        } else {
            width
        };
        let remarks = remarks.iter().map(|(style, text)| styled(*style, text));
        let remarks: Vec<String> = remarks.collect();
        format!("{names} {shown:<width$} {}", remarks.join("  "))
    }

    /// Type and table, each in its column.
    fn names(&mut self, received: &Received, escape: fn(&str) -> String) -> String {
        let (event_type, table) = match &received.standard {
            Some(standard) => (
                escape(&standard.event_type),
                escape(named_as_usual(&standard.table)),
            ),
            None => ("(own payload)".to_owned(), "-".to_owned()),
        };
        widen(&mut self.type_width, &event_type);
        widen(&mut self.table_width, &table);
        let (type_width, table_width) = (self.type_width, self.table_width);
        format!("{event_type:<type_width$} {table:<table_width$}")
    }

    /// How many characters of the body find room beside these.
    fn shown(&self, names: &str, remarks_width: usize) -> usize {
        let others = names.chars().count() + remarks_width + 2;
        match self.room {
            None => SHOWN_MAX,
            Some(room) => room.saturating_sub(others).clamp(SHOWN_MIN, SHOWN_MAX),
        }
    }
}

fn widen(width: &mut usize, text: &str) {
    *width = text.chars().count().min(NAME_WIDTH_MAX).max(*width);
}

/// As people write it: without the schema that all have.
fn named_as_usual(table: &str) -> &str {
    table.strip_prefix("public.").unwrap_or(table)
}

/// What is to be said of a request and its answer.
fn remarks(receipt: &Receipt, received: &Received, sight: Sight) -> Vec<(Style, String)> {
    let verdict = match receipt.verdict {
        Verdict::Refused(refusal) => {
            let text = format!("refused with {}: {refusal}", receipt.status);
            return vec![(BAD, text)];
        }
        Verdict::Verified => (GOOD, "verified".to_owned()),
        Verdict::Unverified => (DIM, "not verified".to_owned()),
    };
    let mut remarks = vec![verdict];
    if !receipt.accepted() {
        let attempt = receipt.header("webhook-attempt").unwrap_or("?");
        let text = format!("{} to attempt {attempt}", receipt.status);
        remarks.push((WARNING, text));
        return remarks;
    }
    match sight {
        Sight::Fresh => {}
        // Its time says nothing: it was here before.
        Sight::Repeat => {
            remarks.push((WARNING, "a repeat".to_owned()));
            return remarks;
        }
        Sight::Overtaken => remarks.push((BAD, "out of order".to_owned())),
    }
    if let Some(ms) = latency_ms(receipt, received) {
        remarks.push((DIM, milliseconds(ms)));
    }
    remarks
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

fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width - 3).collect();
    short.push_str("...");
    short
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::receiver::received::events;

    fn receipt(status: u16) -> Receipt {
        Receipt {
            at: UNIX_EPOCH + Duration::from_micros(1_003_100),
            path: "/hooks".to_owned(),
            headers: vec![("webhook-attempt".to_owned(), "12".to_owned())],
            body: String::new().into(),
            verdict: Verdict::Verified,
            status,
        }
    }

    fn line(lines: &mut Lines, event_type: &str, table: &str, status: u16) -> String {
        let body = format!(
            r#"{{"id":"evt_1","type":"{event_type}","timestamp":"1970-01-01T00:00:01.000000Z","data":{{"id":7,"status":"paid","amount":"{}"}},"source":{{"schema":"public","table":"{table}","lsn":"0/1","index":1}}}}"#,
            "9".repeat(60)
        );
        let event = events("evt_1", body.as_bytes()).remove(0);
        let line = lines.event(&receipt(status), &event, Sight::Fresh, str::to_owned);
        anstream::adapter::strip_str(&line).to_string()
    }

    #[test]
    fn a_line_has_room_in_eighty_columns() {
        let mut lines = Lines::new(Some(80), 16);
        for (status, expected) in [
            (
                204,
                r#"order.paid      orders  {"id":7,"status":"... verified  3.1 ms"#,
            ),
            (
                503,
                r#"order.paid      orders  {"id":7,"... verified  503 to attempt 12"#,
            ),
        ] {
            let line = line(&mut lines, "order.paid", "orders", status);
            assert_eq!(line, expected);
            assert!(line.len() <= 64, "{}", line.len());
        }
    }

    #[test]
    fn without_a_terminal_more_is_shown_and_columns_grow() {
        let mut lines = Lines::new(None, 17);
        let first = line(&mut lines, "order.paid", "orders", 204);
        assert_eq!(
            first,
            r#"order.paid      orders  {"id":7,"status":"paid","amount":"99999999999... verified  3.1 ms"#
        );
        line(&mut lines, "subscription.renewed", "subscriptions", 503);
        let third = line(&mut lines, "order.paid", "orders", 204);
        assert!(
            third.starts_with("order.paid           orders        {"),
            "{third}"
        );
    }

    #[test]
    fn long_bodies_are_cut_and_times_are_for_people() {
        assert_eq!(shortened("{}", 12), "{}");
        let short = shortened(&"ü".repeat(100), SHOWN_MAX);
        assert_eq!(short.chars().count(), SHOWN_MAX);
        assert!(short.ends_with("..."));
        assert_eq!(milliseconds(3.06), "3.1 ms");
        assert_eq!(milliseconds(2400.0), "2.4 s");
    }
}
