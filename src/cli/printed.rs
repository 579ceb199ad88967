//! Texts for a terminal: nothing that came from elsewhere acts on it.

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use bytesize::ByteSize;
use serde::Serialize;

/// Escapes what moves a cursor, colours, or reorders text.
pub fn printable(text: &str) -> String {
    let mut printed = String::with_capacity(text.len());
    for character in text.chars() {
        if acts_on_a_terminal(character) {
            printed.extend(character.escape_default());
        } else {
            printed.push(character);
        }
    }
    printed
}

/// Control characters, line separators, invisible and direction-changing ones.
fn acts_on_a_terminal(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61C}' | '\u{FEFF}' | '\u{200B}'..='\u{200F}'
            | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}')
}

/// One line of JSON, escaped alike; JSON's own escapes leave some of these as they are.
pub fn json_line(value: &impl Serialize) -> serde_json::Result<String> {
    let mut line = String::new();
    for character in serde_json::to_string(value)?.chars() {
        if acts_on_a_terminal(character) {
            // All of them are below U+10000, and stand in strings only.
            let _ = write!(line, "\\u{:04x}", u32::from(character));
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    Ok(line)
}

/// To standard output; a reader that left early is no error.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// A line to standard output, as far as it takes one: what is under way goes on.
pub fn say(line: fmt::Arguments<'_>) {
    let _ = print(&format!("{line}\n"));
}

/// A line to standard error, likewise.
pub fn tell(line: fmt::Arguments<'_>) {
    // A single write, so that the lines of two processes are not mixed.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// The same for a text with colours: only a terminal gets them, and not with `NO_COLOR`.
pub fn print_styled(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// How wide the terminal is; `None` when standard output is none.
pub fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Rows below a head, columns aligned, the last one as long as it is.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `2026-11-23T22:00:00Z`
pub fn time(unix_ms: i64) -> String {
    match jiff::Timestamp::from_second(unix_ms.div_euclid(1000)) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{unix_ms} ms"),
    }
}

/// `3h 2m`: the two largest units. A time in the future counts as now.
pub fn age(since_ms: i64, now_ms: i64) -> String {
    let ms = u64::try_from(now_ms.saturating_sub(since_ms)).unwrap_or(0);
    duration(ms)
}

pub fn duration(ms: u64) -> String {
    let seconds = std::time::Duration::from_secs(ms / 1000);
    let text = humantime::format_duration(seconds).to_string();
    let units: Vec<&str> = text.split(' ').take(2).collect();
    units.join(" ")
}

/// `1 table`, `2 tables`
pub fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

pub fn bytes(count: u64) -> String {
    ByteSize::b(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        let texts = [0, 1, 2].map(|count| counted(count, "table"));
        assert_eq!(texts, ["0 tables", "1 table", "2 tables"]);
    }

    #[test]
    fn nothing_acts_on_the_terminal() {
        assert_eq!(printable("ünï \"x\" \\"), "ünï \"x\" \\");
        assert_eq!(
            printable("\x1b[31m\r\n\t\u{9b}\u{7f}\u{202e}"),
            "\\u{1b}[31m\\r\\n\\t\\u{9b}\\u{7f}\\u{202e}"
        );
        let text = "a\x1b\u{9b}\u{202e}\n";
        let line = json_line(&text).unwrap();
        assert_eq!(line, "\"a\\u001b\\u009b\\u202e\\n\"\n");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }

    #[test]
    fn times_are_for_people() {
        assert_eq!(time(1_700_000_000_999), "2023-11-14T22:13:20Z");
        assert_eq!(time(i64::MAX), "9223372036854775807 ms");
        assert_eq!(age(0, 10_925_000), "3h 2m");
        assert_eq!(age(5000, 0), "0s");
    }
}
