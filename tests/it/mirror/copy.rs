//! A copy of tables, made of webhooks alone, by the rules that the README gives to subscribers.
//!
//! ```text
//! insert, update, delete, truncate   of rows, found by the table's key
//! message `mirror.ddl`               what the stream does not say of a change of the schema
//! ```
//!
//! What does not fit (an update of a row that is not there, a row that is there twice, columns
//! that nobody has told of) is a difference already.

use std::collections::BTreeMap;

use crate::values::json::Json;

pub type Row = BTreeMap<String, Json>;

/// What a change did to the copy.
#[derive(Default)]
pub struct Applied {
    pub table: String,
    pub before: Vec<Row>,
    pub after: Option<Row>,
}

#[derive(Clone, Default)]
pub struct Table {
    /// `None`: a row is known by all that it has, and may be there several times.
    pub key: Option<Vec<String>>,
    pub rows: BTreeMap<Vec<Json>, Vec<Row>>,
}

#[derive(Default)]
pub struct Copy {
    pub tables: BTreeMap<String, Table>,
    /// The commit LSN of the latest change of the schema: rows that are touched in the same
    /// transaction were others before than anybody told.
    pub altered_at: String,
}

impl Table {
    pub fn keyed(key: Option<Vec<String>>) -> Table {
        Table {
            key,
            rows: BTreeMap::new(),
        }
    }

    /// The key's values in a row, of which an old one may have no others.
    fn key_of(&self, row: &Row) -> Vec<Json> {
        let Some(key) = &self.key else {
            return row.values().cloned().collect();
        };
        let value = |column: &String| {
            let value = row.get(column);
            value.unwrap_or_else(|| panic!("no {column} of the key in {row:?}"))
        };
        key.iter().map(value).cloned().collect()
    }

    pub fn insert(&mut self, row: Row) {
        let key = self.key_of(&row);
        let rows = self.rows.entry(key).or_default();
        assert!(
            self.key.is_none() || rows.is_empty(),
            "inserted twice: {row:?}"
        );
        rows.push(row);
    }

    /// Takes out a row with the key that this one has.
    fn remove(&mut self, known: &Row) -> Row {
        let key = self.key_of(known);
        let rows = self.rows.get_mut(&key);
        let row = rows.and_then(Vec::pop);
        if self.rows.get(&key).is_some_and(Vec::is_empty) {
            self.rows.remove(&key);
        }
        row.unwrap_or_else(|| panic!("no row {known:?}"))
    }

    /// Changes every row; keys are worked out anew.
    fn alter(&mut self, mut change: impl FnMut(&mut Row)) {
        for mut row in std::mem::take(&mut self.rows).into_values().flatten() {
            change(&mut row);
            self.insert(row);
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        let renamed = |key: &mut Vec<String>| {
            for column in key.iter_mut().filter(|column| *column == from) {
                to.clone_into(column);
            }
        };
        self.key.as_mut().map(renamed);
        self.alter(|row| {
            let value = row.remove(from).expect("the column");
            row.insert(to.to_owned(), value);
        });
    }
}

/// A body, parsed with every digit.
struct Body(Json);

impl Copy {
    /// A row's change or a change of the schema, from the text of one event. What does not fit
    /// is told before it ends the test.
    pub fn apply(&mut self, text: &str) -> Applied {
        let body = Body(Json::parse(text));
        let source = body.0.member("source");
        let operation = source.member("operation").text();
        let lsn = source.member("lsn").text();
        if operation == "message" {
            self.altered_at = lsn;
            for step in body.0.member("data").member("steps").items() {
                self.step(step);
            }
            return Applied::default();
        }
        let name = format!(
            "{}.{}",
            source.member("schema").text(),
            source.member("table").text()
        );
        let table = self.tables.get_mut(&name);
        let table = table.unwrap_or_else(|| panic!("nobody told of the table {name}: {text}"));
        let applied = body.change(&operation, table);
        if self.altered_at != lsn && operation != "truncate" {
            body.assert_old_row(&applied);
        }
        Applied {
            table: name,
            ..applied
        }
    }

    fn table(&mut self, name: &str) -> &mut Table {
        let table = self.tables.get_mut(name);
        table.unwrap_or_else(|| panic!("no table {name}"))
    }

    /// One member, named for what is done.
    fn step(&mut self, step: &Json) {
        let (done, what) = step.members().into_iter().next().expect("a step");
        let text = |name: &str| what.member(name).text();
        match done.as_str() {
            "create" | "key" => {
                let key = match what.member("key") {
                    Json::Array(columns) => Some(columns.iter().map(Json::text).collect()),
                    _ => None,
                };
                let table = self.tables.entry(text("table")).or_default();
                table.key = key;
                table.alter(|_| {});
            }
            "drop" => {
                self.tables.remove(&text("table"));
            }
            "rename" => {
                let table = self.tables.remove(&text("table")).expect("the table");
                self.tables.insert(text("to"), table);
            }
            "add_column" => self.table(&text("table")).alter(|row| {
                row.insert(text("column"), what.member("value").clone());
            }),
            "drop_column" => self.table(&text("table")).alter(|row| {
                row.remove(&text("column")).expect("the column");
            }),
            "rename_column" => {
                let table = self.table(&text("table"));
                table.rename(&text("column"), &text("to"));
            }
            // A value that is another now, such as an enum's label.
            "replace" => self.table(&text("table")).alter(|row| {
                let value = row.get_mut(&text("column")).expect("the column");
                if value == what.member("from") {
                    *value = what.member("to").clone();
                }
            }),
            "as_text" => self.table(&text("table")).alter(|row| {
                let value = row.get_mut(&text("column")).expect("the column");
                if let Json::Number(text) | Json::Word(text) = value
                    && text != "null"
                {
                    *value = Json::String(text.encode_utf16().collect());
                }
            }),
            // A partition that went took its rows along.
            "forget" => {
                let table = self.table(&text("table"));
                let is_in = |row: &Row| row[&text("column")] == *what.member("value");
                for rows in table.rows.values_mut() {
                    rows.retain(|row| !is_in(row));
                }
                table.rows.retain(|_, rows| !rows.is_empty());
            }
            other => panic!("no step {other}"),
        }
    }
}

impl Body {
    fn row(&self, part: &str) -> Option<Row> {
        match self.0.member(part) {
            row @ Json::Object(_) => Some(row.members().into_iter().collect()),
            _ => None,
        }
    }

    fn change(&self, operation: &str, table: &mut Table) -> Applied {
        let (data, previous) = (self.row("data"), self.row("previous"));
        let mut before = Vec::new();
        match operation {
            "truncate" => {
                let rows = std::mem::take(&mut table.rows);
                before.extend(rows.into_values().flatten());
            }
            "delete" => before.push(table.remove(&data.clone().expect("a row"))),
            "insert" => table.insert(data.clone().expect("a row")),
            "update" => {
                let mut row = data.clone().expect("a row");
                let old = table.remove(previous.as_ref().unwrap_or(&row));
                for column in self.unchanged() {
                    let value = old[&column].clone();
                    assert!(row.insert(column, value).is_none(), "{:?}", self.0);
                }
                assert!(
                    row.keys().eq(old.keys()),
                    "other columns than before: {row:?} {old:?}"
                );
                before.push(old);
                table.insert(row);
            }
            other => panic!("the operation {other}"),
        }
        let after = data.filter(|_| operation != "delete");
        Applied {
            table: String::new(),
            before,
            after,
        }
    }

    /// What the event says of the old row is what it was.
    fn assert_old_row(&self, applied: &Applied) {
        let part = if applied.after.is_some() {
            "previous"
        } else {
            "data"
        };
        let (Some(said), Some(old)) = (self.row(part), applied.before.first()) else {
            return;
        };
        for (column, value) in &said {
            assert_eq!(old.get(column), Some(value), "{column} of {:?}", self.0);
        }
    }

    fn unchanged(&self) -> Vec<String> {
        let columns = self.0.find("unchanged").map(Json::items);
        let columns = columns.into_iter().flatten();
        columns.map(Json::text).collect()
    }
}
