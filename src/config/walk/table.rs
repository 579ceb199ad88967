//! `tables`: which tables, which columns, which key, which rules.

use std::collections::HashMap;

use super::cursor::{At, Fields, Walk};
use super::endpoint::Names;
use super::keys;
use super::rule::Complete;
use super::table_pattern::tie;
use crate::mapping::rule::{ColumnSelection, TablePattern, TableRules};

/// As many as an index has at most (INDEX_MAX_KEYS).
const KEY_COLUMNS_MAX: usize = 32;
const COLUMN: &str = "the name of a column";

impl Walk<'_> {
    pub(super) fn tables(
        &mut self,
        root: &Fields<'_>,
        names: &mut Names,
    ) -> Option<Vec<TableRules>> {
        let hint = "name at least one table with an event:\npublic.orders: { to: <endpoint>, events: { insert: order.created } }";
        let Some(at) = root.get("tables") else {
            if root.get("messages").is_some() {
                return Some(Vec::new());
            }
            self.missing(&root.at, "tables").hint(hint);
            return None;
        };
        let fields = self.mapping(&at, "tables and their rules")?;
        if fields.is_empty() {
            self.problem(&at, "there is no table").hint(hint);
            return None;
        }
        let mut tables = Some(Vec::new());
        let mut patterns = Vec::new();
        for (name, at) in fields.iter() {
            let pattern = self.pattern(name, &at);
            if let Some(pattern) = &pattern {
                patterns.push((pattern.clone(), name, at.clone()));
            }
            match (self.table(name, pattern, &at, names), &mut tables) {
                (Some(table), Some(tables)) => tables.push(table),
                _ => tables = None,
            }
        }
        self.tell_ties(&patterns, "table");
        tables
    }

    fn pattern(&mut self, name: &str, at: &At<'_>) -> Option<TablePattern> {
        match TablePattern::parse(name) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                self.problem(at, format!("not the name of a table: {error}"))
                    .hint(error.hint());
                None
            }
        }
    }

    fn table(
        &mut self,
        name: &str,
        pattern: Option<TablePattern>,
        at: &At<'_>,
        names: &mut Names,
    ) -> Option<TableRules> {
        let fields = self.fields(at, &keys::TABLE)?;
        let columns = match fields.get("columns") {
            Some(at) => self.columns(&at),
            None => Some(ColumnSelection::All),
        };
        let key = match fields.get("key") {
            Some(at) => self.key(&at).map(Some),
            None => Some(None),
        };
        let to = self.to(fields.get("to").as_ref(), names);
        if let Some(outbox) = fields.get("outbox") {
            let outbox = self.outbox(&outbox, &fields, &to);
            let (pattern, (outbox, rule)) = (pattern?, outbox?);
            return Some(TableRules {
                name: name.into(),
                pattern,
                columns: columns?,
                key: outbox.key.clone().map(|column| vec![column]).or(key?),
                outbox: Some(outbox),
                rules: vec![rule],
            });
        }
        let rules = match fields.get("events") {
            Some(at) => self.rules(&at, &to, names),
            None => {
                self.missing(at, "events")
                    .hint("name at least one event: { insert: order.created }");
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
            columns: columns?,
            key: key?,
            outbox: None,
            rules: rules.into_iter().map(|(rule, _)| rule).collect(),
        })
    }

    fn columns(&mut self, at: &At<'_>) -> Option<ColumnSelection> {
        let fields = self.fields(at, &keys::COLUMNS)?;
        match (fields.get("include"), fields.get("exclude")) {
            (Some(include), None) => Some(ColumnSelection::Include(self.names(&include, COLUMN)?)),
            (None, Some(exclude)) => Some(ColumnSelection::Exclude(self.names(&exclude, COLUMN)?)),
            (Some(_), Some(_)) => {
                self.problem(at, "both include and exclude")
                    .hint("write one of the two");
                None
            }
            (None, None) => {
                if fields.is_empty() {
                    self.problem(at, "neither include nor exclude")
                        .hint("write one of the two, or take the key out");
                }
                None
            }
        }
    }

    fn key(&mut self, at: &At<'_>) -> Option<Vec<String>> {
        let names = self.names(at, COLUMN)?;
        if names.len() > KEY_COLUMNS_MAX {
            self.problem(at, format!("a key of more than {KEY_COLUMNS_MAX} columns"));
            return None;
        }
        Some(names)
    }

    /// Names of what they are called: at least one, none twice.
    pub(super) fn names(&mut self, at: &At<'_>, of: &'static str) -> Option<Vec<String>> {
        let items = self.one_or_list(at);
        if items.is_empty() {
            self.problem(at, "an empty list")
                .hint("name at least one, or take the key out");
            return None;
        }
        let mut names: Vec<String> = Vec::new();
        let mut whole = true;
        for item in items {
            match self.text(&item, of) {
                Some(name) if names.iter().any(|other| other == name) => {
                    let found = format!("{} stands twice", self.shown(&item));
                    self.problem(&item, found).hint("leave one of the two");
                    whole = false;
                }
                Some(name) => names.push(name.to_owned()),
                None => whole = false,
            }
        }
        whole.then_some(names)
    }

    /// A table takes its exact entry, else the pattern with the longest literal
    /// part: neither may be there twice.
    pub(super) fn tell_ties(&mut self, patterns: &[(TablePattern, &str, At<'_>)], of: &str) {
        let mut exact: HashMap<&TablePattern, &str> = HashMap::new();
        let mut others: Vec<(&TablePattern, &str)> = Vec::new();
        for (pattern, name, at) in patterns {
            let other = if pattern.is_exact() {
                exact.insert(pattern, name)
            } else {
                let other = others
                    .iter()
                    .find(|(other, _)| tie(pattern, other))
                    .map(|(_, name)| *name);
                others.push((pattern, name));
                other
            };
            match other {
                Some(other) if pattern.is_exact() => {
                    self.problem(at, format!("the same {of} as {other}"))
                        .hint("make one entry of the two");
                }
                Some(other) => {
                    self.problem(at, format!("it can match the same {of} as {other}"))
                        .detail(format!("a {of} takes the pattern with the longest literal part, and these two are equally long"))
                        .hint(format!("make one of the patterns more exact, or write an entry for each {of}"));
                }
                None => {}
            }
        }
    }
}
