//! Which dead letters a command means, as a person writes it.

use std::str::FromStr;

use clap::Args;

use crate::lsn::Lsn;
use crate::store::DeadFilter;

#[derive(Args, Debug, Default)]
pub struct FilterArgs {
    /// Number of a dead letter; may be given several times
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<i64>,
    /// Name of the endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// Table, with its schema or in any; "message PREFIX" for an entry of messages
    #[arg(long, value_name = "[SCHEMA.]TABLE")]
    table: Option<TableArg>,
    /// Parked at this time or later: 2026-11-23T22:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Parked before this time
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// Committed at this LSN or later
    #[arg(long, value_name = "LSN")]
    lsn_from: Option<Lsn>,
    /// Committed at this LSN or before
    #[arg(long, value_name = "LSN")]
    lsn_to: Option<Lsn>,
    /// At most so many, oldest first
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl FilterArgs {
    pub fn filter(&self, now_ms: i64) -> DeadFilter {
        let table = self.table.as_ref();
        DeadFilter {
            ids: self.ids.clone(),
            slot: None,
            endpoint: self.endpoint.clone(),
            schema: table.and_then(|table| table.schema.clone()),
            table: table.map(|table| table.table.clone()),
            since_ms: self.since.map(|when| when.unix_ms(now_ms)),
            until_ms: self.until.map(|when| when.unix_ms(now_ms)),
            lsn_from: self.lsn_from,
            lsn_to: self.lsn_to,
            limit: self.limit,
            after: None,
        }
    }
}

/// `orders`, `public.orders`, `"a.b".orders`
#[derive(Clone, Debug, PartialEq, Eq)]
struct TableArg {
    schema: Option<String>,
    table: String,
}

impl FromStr for TableArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(entry) = text.strip_prefix("message ") {
            return Ok(TableArg {
                schema: Some(String::new()),
                table: entry.to_owned(),
            });
        }
        const EXPECTED: &str = "expected schema.table or table, a part with a dot in double quotes";
        let (first, rest) = part(text).ok_or(EXPECTED)?;
        let Some(rest) = rest else {
            return Ok(TableArg {
                schema: None,
                table: first,
            });
        };
        match part(rest) {
            Some((table, None)) => Ok(TableArg {
                schema: Some(first),
                table,
            }),
            _ => Err(EXPECTED),
        }
    }
}

/// A name, and what follows its dot.
fn part(text: &str) -> Option<(String, Option<&str>)> {
    let (name, rest) = match text.strip_prefix('"') {
        Some(quoted) => {
            let mut name = String::new();
            let mut rest = quoted;
            loop {
                let (before, after) = rest.split_once('"')?;
                name.push_str(before);
                match after.strip_prefix('"') {
                    Some(after) => {
                        name.push('"');
                        rest = after;
                    }
                    None => break (name, after),
                }
            }
        }
        None => {
            let end = text.find('.').unwrap_or(text.len());
            let (name, rest) = text.split_at(end);
            (name.to_owned(), rest)
        }
    };
    if name.is_empty() {
        return None;
    }
    match rest.strip_prefix('.') {
        Some(rest) => Some((name, Some(rest))),
        None if rest.is_empty() => Some((name, None)),
        None => None,
    }
}

/// A moment, or how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    At { unix_ms: i64 },
    Ago { ms: i64 },
}

impl When {
    fn unix_ms(self, now_ms: i64) -> i64 {
        match self {
            When::At { unix_ms } => unix_ms,
            When::Ago { ms } => now_ms.saturating_sub(ms),
        }
    }
}

impl FromStr for When {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(When::At {
                unix_ms: time.as_millisecond(),
            });
        }
        match humantime::parse_duration(text) {
            Ok(ago) => Ok(When::Ago {
                ms: i64::try_from(ago.as_millis()).unwrap_or(i64::MAX),
            }),
            Err(_) => Err("expected a time such as 2026-11-23T22:00:00Z, or 2h for two hours ago"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: Option<&str>, table: &str) -> Option<TableArg> {
        Some(TableArg {
            schema: schema.map(str::to_owned),
            table: table.to_owned(),
        })
    }

    #[test]
    fn a_table_is_written_as_in_the_config() {
        for (text, expected) in [
            ("orders", table(None, "orders")),
            ("public.orders", table(Some("public"), "orders")),
            (r#""a.b"."c""d""#, table(Some("a.b"), "c\"d")),
            (r#"public."x.y""#, table(Some("public"), "x.y")),
            ("", None),
            (".", None),
            ("a.", None),
            ("a.b.c", None),
            ("\"a", None),
            ("\"a\"b", None),
        ] {
            assert_eq!(text.parse::<TableArg>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_time_is_a_moment_or_an_age() {
        let at = "2023-11-14T22:13:20Z".parse::<When>().unwrap();
        assert_eq!(at.unix_ms(5), 1_700_000_000_000);
        assert_eq!("2h".parse::<When>().unwrap().unix_ms(7_200_005), 5);
        assert!("yesterday".parse::<When>().is_err());
    }
}
