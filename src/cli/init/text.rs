//! The config's text. Pure.

use std::fmt::Write as _;

use super::super::printed::printable;
use super::suggestion::stems;
use crate::change::TableName;
use crate::postgres::catalog::{Kind, TableFacts};

/// Characters of a comment with columns.
const COLUMNS_MAX: usize = 100;

/// What the database and the command line say.
pub struct Facts<'a> {
    pub url: &'a str,
    pub slot: &'a str,
    pub database: &'a str,
    pub major: u32,
    pub wal_level: &'a str,
    pub tables: &'a [TableFacts],
    pub secret_file: &'a str,
}

pub fn config(facts: &Facts<'_>) -> String {
    let mut text = format!(
        "# walhook's config for database \"{}\" (PostgreSQL {}), made by `walhook init`.\n\
         # Take out what nobody wants to hear of, then: walhook check\n\n",
        printable(facts.database),
        facts.major
    );
    if facts.wal_level != "logical" {
        let _ = writeln!(
            text,
            "# wal_level is {}. As a superuser: ALTER SYSTEM SET wal_level = logical; then restart the server.\n",
            printable(facts.wal_level)
        );
    }
    let _ = writeln!(
        text,
        "source:\n  url: {}\n  slot: {}\n\n\
         # Checkpoint and what waits, beside this file. As a service: /var/lib/walhook/state.db\n\
         state: ./walhook.db\n\n\
         endpoints:\n  webhooks:\n    url: http://127.0.0.1:8080/hooks\n    \
         # For the receiver too: it verifies with the same secret.\n    \
         secret: {{ file: {} }}\n    \
         # order: key            # rows side by side, the changes of a row in order\n    \
         # batch: {{ events: 100 }}\n",
        scalar(facts.url),
        facts.slot,
        facts.secret_file
    );
    text.push_str(
        "# A rule is a type, or a type with a condition:\n\
         #   update:\n\
         #     - type: order.paid\n\
         #       when: new.status == \"paid\" && old.status != \"paid\"\n\
         # `old` has more than the key only with: ALTER TABLE ... REPLICA IDENTITY FULL;\n\
         tables:\n",
    );
    let names: Vec<&TableName> = facts.tables.iter().map(TableFacts::name).collect();
    for (table, stem) in facts.tables.iter().zip(stems(&names)) {
        push_table(&mut text, table, &stem);
    }
    text
}

fn push_table(text: &mut String, table: &TableFacts, stem: &str) {
    let kind = match table.kind {
        Kind::Table => "",
        Kind::Partitioned => "partitioned; ",
    };
    let key = if table.key.is_empty() {
        "no key".to_owned()
    } else {
        format!("key ({})", table.key.join(", "))
    };
    let identity = table.relation.identity();
    let _ = writeln!(
        text,
        "  # {}",
        printable(&format!("{kind}{key}; replica identity {identity}"))
    );
    let _ = writeln!(text, "  # columns: {}", printable(&columns(&table.columns)));
    let faults = table.identity_faults();
    for fault in &faults {
        let _ = writeln!(
            text,
            "  # Only inserts: {}. For updates and deletes first run\n  #   {}",
            printable(&fault.fault.to_string()),
            printable(&fault.sql)
        );
    }
    // Commented out: with these the application's own statements would fail.
    let mark = if faults.is_empty() { "" } else { "# " };
    let _ = writeln!(
        text,
        "  {}:\n    to: webhooks\n    events:\n      insert: {stem}.created\n      \
         {mark}update: {stem}.updated\n      {mark}delete: {stem}.deleted\n      # truncate: {stem}.truncated\n",
        scalar(&table.name().to_string())
    );
}

fn columns(columns: &[String]) -> String {
    let mut shown = String::new();
    for (place, column) in columns.iter().enumerate() {
        if shown.len() + column.len() > COLUMNS_MAX {
            let _ = write!(shown, " and {} more", columns.len() - place);
            break;
        }
        if place > 0 {
            shown.push_str(", ");
        }
        shown.push_str(column);
    }
    shown
}

/// A YAML scalar: plain where that is safe, else in double quotes, where JSON's escapes hold.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-${}".contains(c);
    if text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$') && text.chars().all(plain) {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_the_config_takes_them() {
        let name = |schema, table| scalar(&TableName::new(schema, table).to_string());
        assert_eq!(name("public", "orders"), "public.orders");
        assert_eq!(name("public", "Größen"), "\"public.Größen\"");
        assert_eq!(name("a.b", "c*"), r#""\"a.b\".\"c*\"""#);
        assert_eq!(scalar("${DATABASE_URL}"), "${DATABASE_URL}");
        assert_eq!(scalar("host='/tmp' dbname=x"), "\"host='/tmp' dbname=x\"");
    }

    #[test]
    fn many_columns_are_cut() {
        let names: Vec<String> = (0..40).map(|n| format!("column_{n}")).collect();
        let shown = columns(&names);
        assert!(shown.len() < 130 && shown.ends_with("more"), "{shown}");
        assert_eq!(columns(&names[..2]), "column_0, column_1");
    }
}
