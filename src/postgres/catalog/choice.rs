//! Which relations of the catalog the config speaks of, and what does not fit. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::change::TableName;
use crate::postgres::wanted::{Selected, Wanted};

/// What can be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Table,
    Partitioned,
}

/// An entry, or a table, that cannot be as the config wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    Missing {
        entry: usize,
        table: TableName,
        /// One that differs in upper and lower case alone.
        similar: Option<TableName>,
    },
    NotATable {
        entry: usize,
        table: TableName,
        found: NotATable,
    },
    /// A partition with an entry of its own, although its root has one.
    UnderRoot {
        entry: usize,
        table: TableName,
        root: TableName,
    },
    Tie {
        table: TableName,
        entries: (usize, usize),
    },
}

/// A relation whose changes logical replication does not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotATable {
    View,
    MaterializedView,
    ForeignTable,
    Sequence,
    Unlogged,
    Temporary,
    System,
    /// Its name, or its schema's, is no UTF-8: no statement of ours can name it.
    Unnameable,
}

impl fmt::Display for NotATable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotATable::View => "a view",
            NotATable::MaterializedView => "a materialized view",
            NotATable::ForeignTable => "a foreign table",
            NotATable::Sequence => "a sequence",
            NotATable::Unlogged => "an unlogged table",
            NotATable::Temporary => "a temporary table",
            NotATable::System => "a system table",
            NotATable::Unnameable => "a table whose name is no UTF-8",
        })
    }
}

/// A relation of the catalog, before it is known whether anyone wants it.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub oid: u32,
    pub name: TableName,
    pub kind: Result<Kind, NotATable>,
    /// The partitioned tables above it, nearest first.
    pub ancestors: Vec<u32>,
}

/// The wanted ones, each with the place of its entry.
pub(super) fn choose<'a>(
    candidates: &'a [Candidate],
    wanted: &Wanted,
) -> (Vec<(usize, &'a Candidate)>, Vec<Unfit>) {
    let mut unfit = missing(candidates, wanted);
    let mut chosen = Vec::new();
    for candidate in candidates {
        let table = candidate.name.clone();
        match (wanted.select(&table), candidate.kind) {
            (Selected::Nothing, _) | (Selected::Tie(..), Err(_)) => {}
            (Selected::Tie(first, second), Ok(_)) => unfit.push(Unfit::Tie {
                table,
                entries: (first, second),
            }),
            (Selected::Entry(entry), Ok(_)) => chosen.push((entry, candidate)),
            (Selected::Entry(entry), Err(found)) => {
                // A pattern speaks of tables alone.
                if is_exact(wanted, entry) {
                    unfit.push(Unfit::NotATable {
                        entry,
                        table,
                        found,
                    });
                }
            }
        }
    }
    let names: BTreeMap<u32, &TableName> = chosen.iter().map(|(_, c)| (c.oid, &c.name)).collect();
    chosen.retain(|&(entry, candidate)| {
        let roots = candidate.ancestors.iter().rev();
        let Some(root) = roots.filter_map(|oid| names.get(oid)).next() else {
            return true;
        };
        if is_exact(wanted, entry) {
            unfit.push(Unfit::UnderRoot {
                entry,
                table: candidate.name.clone(),
                root: (*root).clone(),
            });
        }
        false
    });
    (chosen, unfit)
}

fn is_exact(wanted: &Wanted, entry: usize) -> bool {
    let entry = wanted.entries.get(entry);
    entry.is_some_and(|entry| entry.exact().is_some())
}

fn missing(candidates: &[Candidate], wanted: &Wanted) -> Vec<Unfit> {
    let names: BTreeSet<&TableName> = candidates.iter().map(|c| &c.name).collect();
    let folded = |name: &TableName| (name.schema.to_lowercase(), name.table.to_lowercase());
    let exact = wanted.entries.iter().enumerate();
    let exact = exact.filter_map(|(entry, found)| Some((entry, found.exact()?)));
    exact
        .filter(|(_, table)| !names.contains(table))
        .map(|(entry, table)| Unfit::Missing {
            entry,
            similar: names
                .iter()
                .find(|name| folded(name) == folded(&table))
                .map(|name| (*name).clone()),
            table,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::wanted::tests::test_entry;

    fn relation(oid: u32, name: &str, kind: Result<Kind, NotATable>) -> Candidate {
        let (schema, table) = name.split_once('.').unwrap();
        Candidate {
            oid,
            name: TableName::new(schema, table),
            kind,
            ancestors: Vec::new(),
        }
    }

    fn wanted(names: &[&str]) -> Wanted {
        Wanted {
            entries: names.iter().map(|name| test_entry(name, &[])).collect(),
        }
    }

    #[test]
    fn a_pattern_takes_tables_and_roots_alone() {
        let partition = |oid, name, ancestors: &[u32]| Candidate {
            ancestors: ancestors.to_vec(),
            ..relation(oid, name, Ok(Kind::Table))
        };
        let candidates = [
            relation(1, "audit.a", Ok(Kind::Table)),
            relation(2, "audit.v", Err(NotATable::View)),
            relation(3, "audit.m", Ok(Kind::Partitioned)),
            partition(4, "audit.m_1", &[3]),
            partition(5, "audit.m_2_1", &[9, 3]),
            partition(6, "audit.elsewhere", &[8]),
            relation(7, "pg_catalog.pg_class", Err(NotATable::System)),
        ];
        let (chosen, unfit) = choose(&candidates, &wanted(&["audit.*", "pg_catalog.*"]));
        let oids: Vec<u32> = chosen.iter().map(|(_, c)| c.oid).collect();
        assert_eq!((oids, unfit), (vec![1, 3, 6], vec![]));

        let (chosen, unfit) = choose(&candidates, &wanted(&["audit.m_2_1", "audit.m"]));
        assert_eq!(chosen.len(), 1);
        let root = TableName::new("audit", "m");
        let table = TableName::new("audit", "m_2_1");
        let under = Unfit::UnderRoot {
            entry: 0,
            table,
            root,
        };
        assert_eq!(unfit, [under]);
    }

    #[test]
    fn an_exact_entry_that_fits_no_table_says_why() {
        let candidates = [
            relation(1, "public.Orders", Ok(Kind::Table)),
            relation(2, "public.v", Err(NotATable::View)),
        ];
        let (chosen, unfit) = choose(&candidates, &wanted(&["public.orders", "public.v"]));
        assert!(chosen.is_empty());
        let missing = Unfit::Missing {
            entry: 0,
            table: TableName::new("public", "orders"),
            similar: Some(TableName::new("public", "Orders")),
        };
        let view = Unfit::NotATable {
            entry: 1,
            table: TableName::new("public", "v"),
            found: NotATable::View,
        };
        assert_eq!(unfit, [missing, view]);
    }
}
