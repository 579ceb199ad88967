//! The tables that rules are bound to: a rule names a table, Postgres sends an OID. Pure.

use std::collections::BTreeMap;

use super::trouble::Trouble;
use crate::change::TableName;
use crate::postgres::catalog::quote;
use crate::postgres::watch::Names;

/// Bound tables by OID, with the names by which they were bound.
#[derive(Clone, Debug, Default)]
pub struct Bound {
    tables: BTreeMap<u32, TableName>,
}

/// What became of a table since the last look, told once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Changed {
    #[error("table {0} was dropped")]
    Dropped(TableName),
    #[error("table {0} was dropped and created anew")]
    Recreated(TableName),
    #[error("table {0} is called {1} now, and the rules for that name are its own")]
    Renamed(TableName, TableName),
    #[error("table {0} is called {1} now, and another table has its name")]
    Replaced(TableName, TableName),
}

impl Bound {
    pub fn new(tables: BTreeMap<u32, TableName>) -> Self {
        Bound { tables }
    }

    pub fn oids(&self) -> Vec<u32> {
        self.tables.keys().copied().collect()
    }

    pub fn has(&self, table: &TableName) -> bool {
        self.tables.values().any(|bound| bound == table)
    }

    /// `found` are the tables that rules speak of now, `names` what the bound ones are
    /// called. Those that were renamed out of all rules stay bound, and are told as long
    /// as they are.
    pub fn look(
        &mut self,
        found: &BTreeMap<u32, TableName>,
        names: &Names,
    ) -> (Vec<Changed>, Vec<Renamed>) {
        let mut changed = Vec::new();
        let mut renamed = Vec::new();
        for (oid, bound) in std::mem::take(&mut self.tables) {
            let is_taken = found
                .iter()
                .any(|(other, name)| *other != oid && *name == bound);
            match names.tables.get(&oid) {
                None if is_taken => changed.push(Changed::Recreated(bound)),
                None => changed.push(Changed::Dropped(bound)),
                Some(name) if *name == bound => {
                    self.tables.insert(oid, bound);
                }
                Some(name) if found.contains_key(&oid) => {
                    changed.push(Changed::Renamed(bound, name.clone()));
                }
                Some(name) if is_taken => changed.push(Changed::Replaced(bound, name.clone())),
                Some(name) => {
                    renamed.push(Renamed {
                        from: bound.clone(),
                        to: name.clone(),
                        is_schemas: !names.schemas.values().any(|name| *name == bound.schema),
                    });
                    self.tables.insert(oid, bound);
                }
            }
        }
        for (oid, name) in found {
            self.tables.insert(*oid, name.clone());
        }
        (changed, renamed)
    }
}

/// A table whose name no rule has any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    pub from: TableName,
    pub to: TableName,
    /// Its schema has another name, rather than it another schema.
    is_schemas: bool,
}

impl Renamed {
    pub fn trouble(&self) -> Trouble {
        let Renamed { from, to, .. } = self;
        let mut sql = Vec::new();
        if self.is_schemas {
            let (old, new) = (
                quote::identifier(&from.schema),
                quote::identifier(&to.schema),
            );
            sql.push(format!("ALTER SCHEMA {new} RENAME TO {old};"));
        } else if from.schema != to.schema {
            let old = quote::identifier(&from.schema);
            let table = quote::table(to);
            sql.push(format!("ALTER TABLE {table} SET SCHEMA {old};"));
        }
        if from.table != to.table {
            let table = quote::table(&TableName::new(&from.schema, &to.table));
            let old = quote::identifier(&from.table);
            sql.push(format!("ALTER TABLE {table} RENAME TO {old};"));
        }
        Trouble::new(
            "table_renamed",
            format!(
                "table {from} is called {to} now: no rule has that name, and its changes are not sent"
            ),
            "rename it back, or write its new name into the config and restart walhook",
            &sql,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableName {
        let (schema, table) = name.split_once('.').unwrap();
        TableName::new(schema, table)
    }

    fn tables(of: &[(u32, &str)]) -> BTreeMap<u32, TableName> {
        of.iter().map(|(oid, name)| (*oid, table(name))).collect()
    }

    fn names(of: &[(u32, &str)], schemas: &[&str]) -> Names {
        Names {
            tables: tables(of),
            schemas: (1..)
                .zip(schemas.iter().map(|&schema| schema.to_owned()))
                .collect(),
        }
    }

    fn bound() -> Bound {
        Bound {
            tables: tables(&[(1, "app.a"), (2, "app.b")]),
        }
    }

    /// The headlines of what became of a and b.
    fn told(found: &[(u32, &str)], now: &[(u32, &str)]) -> Vec<String> {
        let (changed, renamed) = bound().look(&tables(found), &names(now, &["app", "other"]));
        let renamed = renamed.iter().map(|renamed| renamed.trouble().text);
        let changed = changed.iter().map(ToString::to_string);
        changed.chain(renamed).collect()
    }

    #[test]
    fn what_became_of_a_table_is_told() {
        let b = (2, "app.b");
        let (same, none): (_, [&str; 0]) = ([(1, "app.a"), b], []);
        assert_eq!(told(&same, &same), none);
        assert_eq!(told(&[b], &[b]), ["table app.a was dropped"]);
        assert_eq!(
            told(&[(3, "app.a"), b], &[b]),
            ["table app.a was dropped and created anew"]
        );
        assert_eq!(
            told(&[(1, "app.c"), b], &[(1, "app.c"), b]),
            ["table app.a is called app.c now, and the rules for that name are its own"]
        );
        assert_eq!(
            told(&[(3, "app.a"), b], &[(1, "app.c"), b]),
            ["table app.a is called app.c now, and another table has its name"]
        );
    }

    #[test]
    fn a_table_renamed_out_of_all_rules_is_told_until_it_is_back() {
        let b = (2, "app.b");
        let mut bound = bound();
        for _ in 0..2 {
            let (changed, renamed) = bound.look(
                &tables(&[b]),
                &names(&[(1, "other.c"), b], &["app", "other"]),
            );
            assert!(changed.is_empty());
            insta::allow_duplicates! {
                insta::assert_snapshot!(renamed[0].trouble().text, @r#"
                table app.a is called other.c now: no rule has that name, and its changes are not sent
                  hint: rename it back, or write its new name into the config and restart walhook
                  ALTER TABLE "other"."c" SET SCHEMA "app";
                  ALTER TABLE "app"."c" RENAME TO "a";
                "#);
            }
        }
        let same = [(1, "app.a"), b];
        let (changed, renamed) = bound.look(&tables(&same), &names(&same, &["app"]));
        assert!(changed.is_empty() && renamed.is_empty());
        let (_, renamed) = bound.look(
            &tables(&[]),
            &names(&[(1, "new.a"), (2, "new.b")], &["new"]),
        );
        assert!(
            renamed[0]
                .trouble()
                .text
                .ends_with("ALTER SCHEMA \"new\" RENAME TO \"app\";")
        );
    }
}
