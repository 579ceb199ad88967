//! `messages`: which logical messages, by their prefix, which key, which rules.
//!
//! A prefix is literal; a `*` stands for any run of characters. One with a star of its
//! own stands in double quotes, as a part of a table's name does.

use super::cursor::{At, Fields, Walk};
use super::endpoint::Names;
use super::keys;
use super::rule::Complete;
use super::table_pattern::{PatternError, prefix};
use crate::change::Operation;
use crate::mapping::rule::{ColumnSelection, NamePattern, TablePattern, TableRules};

/// More than any message needs.
const KEY_MEMBERS_MAX: usize = 32;

impl Walk<'_> {
    pub(super) fn messages(
        &mut self,
        root: &Fields<'_>,
        names: &mut Names,
    ) -> Option<Vec<TableRules>> {
        let Some(at) = root.get("messages") else {
            return Some(Vec::new());
        };
        let fields = self.mapping(&at, "prefixes of messages and their rules")?;
        if fields.is_empty() {
            self.problem(&at, "there is no prefix").hint(
                "name at least one:\norder.paid: { to: <endpoint>, events: order.paid }\nor take the key out",
            );
            return None;
        }
        let mut messages = Some(Vec::new());
        let mut patterns = Vec::new();
        for (name, at) in fields.iter() {
            let pattern = self.prefix(name, &at);
            if let Some(pattern) = &pattern {
                patterns.push((pattern.clone(), name, at.clone()));
            }
            match (self.message(name, pattern, &at, names), &mut messages) {
                (Some(message), Some(messages)) => messages.push(message),
                _ => messages = None,
            }
        }
        self.tell_ties(&patterns, "message");
        messages
    }

    fn prefix(&mut self, name: &str, at: &At<'_>) -> Option<TablePattern> {
        match prefix(name) {
            Ok(prefix) => Some(TablePattern {
                schema: NamePattern::Exact(String::new()),
                table: prefix,
            }),
            Err(PatternError::EmptyPart) => {
                self.problem(at, "the prefix is empty")
                    .hint("write the first text of pg_logical_emit_message");
                None
            }
            Err(_) => {
                self.problem(
                    at,
                    "a double quote without its other one, or in the middle of a prefix in quotes",
                )
                .hint("quote the whole prefix, and write a quote in it twice: '\"a*\"\"b\"'");
                None
            }
        }
    }

    fn message(
        &mut self,
        name: &str,
        pattern: Option<TablePattern>,
        at: &At<'_>,
        names: &mut Names,
    ) -> Option<TableRules> {
        let fields = self.fields(at, &keys::MESSAGE)?;
        let key = match fields.get("key") {
            Some(at) => self.members(&at).map(Some),
            None => Some(None),
        };
        let to = self.to(fields.get("to").as_ref(), names);
        let rules = match fields.get("events") {
            Some(at) => Some(self.rules_at(&at, Operation::Message, &to, names)),
            None => {
                self.missing(at, "events")
                    .hint("write an event type, for example order.paid or {prefix}");
                None
            }
        };
        let pattern = pattern?;
        let (rules, complete) = rules?;
        self.tell_clashes(&rules, &pattern, names);
        if complete == Complete::No {
            return None;
        }
        Some(TableRules {
            name: name.into(),
            pattern,
            columns: ColumnSelection::All,
            key: key?,
            outbox: None,
            rules: rules.into_iter().map(|(rule, _)| rule).collect(),
        })
    }

    fn members(&mut self, at: &At<'_>) -> Option<Vec<String>> {
        let members = self.names(at, "the name of a member of the content")?;
        if members.len() > KEY_MEMBERS_MAX {
            self.problem(at, format!("a key of more than {KEY_MEMBERS_MAX} members"));
            return None;
        }
        Some(members)
    }

    /// `ignore_origins`: one or a list.
    pub(super) fn ignore_origins(&mut self, root: &Fields<'_>) -> Option<Vec<String>> {
        match root.get("ignore_origins") {
            Some(at) => self.names(&at, "the name of a replication origin"),
            None => Some(Vec::new()),
        }
    }
}
