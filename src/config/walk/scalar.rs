//! Single values: text, numbers, durations, sizes, words of a choice.
//!
//! A value is read as it is written, so it is the same whether it stands in quotes
//! or comes from a variable.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;

use super::cursor::{At, Walk};
use crate::config::nearest::nearest;
use crate::config::source::tree::{Origin, Value};

impl Walk<'_> {
    /// Any text, also an empty one. `wanted` says what belongs there: "a duration such as 15s".
    pub(super) fn any_text<'t>(&mut self, at: &At<'t>, wanted: &str) -> Option<&'t str> {
        match &at.node.value {
            Value::Scalar(scalar) if scalar.origin == Origin::Unfillable => None,
            Value::Scalar(scalar) if !scalar.is_null() => Some(&scalar.text),
            Value::Scalar(_) | Value::List(_) | Value::Map(_) => {
                self.wrong_kind(at, "a single value", wanted);
                None
            }
        }
    }

    pub(super) fn text<'t>(&mut self, at: &At<'t>, wanted: &str) -> Option<&'t str> {
        let text = self.any_text(at, wanted)?;
        if text.is_empty() {
            let found = if self.is_open(at) {
                "is empty".to_owned()
            } else {
                format!("{} is empty", self.shown(at))
            };
            self.problem(at, found).hint(format!("write {wanted}"));
            return None;
        }
        Some(text)
    }

    pub(super) fn number(&mut self, at: &At<'_>, range: RangeInclusive<u64>) -> Option<u64> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let text = self.text(at, &wanted)?;
        match text.parse::<u64>() {
            Ok(number) if range.contains(&number) => Some(number),
            Ok(_) => self.out_of_range(at, &wanted),
            Err(_) => self.not_a(at, "a whole number", &wanted),
        }
    }

    pub(super) fn duration(
        &mut self,
        at: &At<'_>,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let wanted = "a number and a unit, for example 15s, 5ms or 3d";
        let text = self.text(at, wanted)?;
        match humantime::parse_duration(text) {
            Ok(duration) if range.contains(&duration) => Some(duration),
            Ok(_) => {
                let wanted = format!(
                    "a duration from {} to {}",
                    humantime::format_duration(*range.start()),
                    humantime::format_duration(*range.end())
                );
                self.out_of_range(at, &wanted)
            }
            Err(_) => self.not_a(at, "a duration", wanted),
        }
    }

    /// In bytes.
    pub(super) fn size(&mut self, at: &At<'_>, range: RangeInclusive<u64>) -> Option<u64> {
        let wanted = "a number and a unit, for example 24MiB or 10GiB";
        let text = self.text(at, wanted)?;
        match text.parse::<ByteSize>() {
            Ok(size) if range.contains(&size.as_u64()) => Some(size.as_u64()),
            Ok(_) => {
                let wanted = format!(
                    "a size from {} to {}",
                    size_written(*range.start()),
                    size_written(*range.end())
                );
                self.out_of_range(at, &wanted)
            }
            Err(_) => self.not_a(at, "a size", wanted),
        }
    }

    pub(super) fn choice<T: Copy>(&mut self, at: &At<'_>, words: &[(&str, T)]) -> Option<T> {
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let wanted = one_of(&all);
        let text = self.text(at, &wanted)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let found = match all.as_slice() {
            [one, other] => format!("{} is neither {one} nor {other}", self.shown(at)),
            _ => format!("{} is none of {}", self.shown(at), all.join(", ")),
        };
        let hint = match nearest(text, all) {
            Some(near) if self.is_open(at) => format!("did you mean \"{near}\"?"),
            Some(_) | None => format!("write {wanted}"),
        };
        self.problem(at, found).hint(hint);
        None
    }

    pub(super) fn flag(&mut self, at: &At<'_>) -> Option<bool> {
        self.choice(at, &[("true", true), ("false", false)])
    }

    fn out_of_range<T>(&mut self, at: &At<'_>, wanted: &str) -> Option<T> {
        let found = format!("{} is out of range", self.shown(at));
        self.problem(at, found).hint(format!("write {wanted}"));
        None
    }

    fn not_a<T>(&mut self, at: &At<'_>, kind: &str, wanted: &str) -> Option<T> {
        let found = format!("{} is not {kind}", self.shown(at));
        self.problem(at, found).hint(format!("write {wanted}"));
        None
    }
}

/// `a, b or c`
fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// As a config would write it.
fn size_written(bytes: u64) -> String {
    [
        ("PiB", 1_u64 << 50),
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ]
    .iter()
    .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
    .map_or_else(
        || format!("{bytes}B"),
        |(unit, factor)| format!("{}{unit}", bytes / factor),
    )
}
