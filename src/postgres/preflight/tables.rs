//! Checks of the tables against what the rules want. Pure.

use super::problem::{Found, Problem};
use super::warning::Warning;
use crate::change::{Operation, TableName};
use crate::postgres::catalog::{TableFacts, Tables, Unfit};
use crate::postgres::identity::{self, Identity};
use crate::postgres::publication::{Part, Published};
use crate::postgres::wanted::{Entry, NamedColumn, NamedIn, Wanted};

/// What the checks found, and what can be published.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub problems: Vec<Problem>,
    pub warnings: Vec<Warning>,
    /// Without tables whose identity is a problem.
    pub published: Vec<Published>,
}

pub(super) fn check(wanted: &Wanted, tables: &Tables) -> Checked {
    let mut checked = Checked::default();
    for unfit in &tables.unfit {
        checked.problems.push(of_unfit(wanted, unfit));
    }
    for (index, entry) in wanted.entries.iter().enumerate() {
        let tables: Vec<&TableFacts> = tables.found.iter().filter(|t| t.entry == index).collect();
        if tables.is_empty() && entry.exact().is_none() {
            checked.warnings.push(Warning::EmptyPattern {
                entry: entry.name.to_string(),
            });
        }
        checked.problems.extend(check_columns(entry, &tables));
        for table in tables {
            checked.check_identity(entry, table);
            checked.check_order(entry, table);
            checked.check_partitions(table);
        }
    }
    checked
}

fn of_unfit(wanted: &Wanted, unfit: &Unfit) -> Problem {
    let name = |index: usize| {
        let entry = wanted.entries.get(index);
        entry
            .map(|entry| entry.name.to_string())
            .unwrap_or_default()
    };
    let (entry, found) = match unfit.clone() {
        Unfit::Missing {
            entry,
            table,
            similar,
        } => (entry, Found::TableMissing { table, similar }),
        Unfit::NotATable {
            entry,
            table,
            found,
        } => (entry, Found::NotATable { table, found }),
        Unfit::UnderRoot { entry, table, root } => (entry, Found::UnderRoot { table, root }),
        Unfit::Tie {
            table,
            entries: (first, second),
        } => {
            let (first, second) = (name(first), name(second));
            let found = Found::Tie {
                table,
                first,
                second,
            };
            return Problem {
                place: "tables".to_owned(),
                found,
            };
        }
    };
    Problem {
        place: format!("tables.\"{}\"", name(entry)),
        found,
    }
}

fn place(entry: &Entry) -> String {
    format!("tables.\"{}\"", entry.name)
}

fn place_of_column(entry: &Entry, named_in: &NamedIn) -> String {
    match named_in {
        NamedIn::Include => format!("{}.columns.include", place(entry)),
        NamedIn::Exclude => format!("{}.columns.exclude", place(entry)),
        NamedIn::Key => format!("{}.key", place(entry)),
        NamedIn::Rule(rule) => rule.to_string(),
    }
}

/// The tables of a pattern need not all have a column that it names, but one of
/// them must, and all must have the key by which an endpoint orders.
fn check_columns(entry: &Entry, tables: &[&TableFacts]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for named in &entry.columns {
        let orders = named.named_in == NamedIn::Key && !entry.keyed_endpoints.is_empty();
        let found: Vec<Found> = tables
            .iter()
            .filter_map(|table| column_fault(table, named))
            .collect();
        let found = if entry.exact().is_some() || orders {
            found
        } else if !tables.is_empty() && found.len() == tables.len() {
            vec![Found::ColumnNowhere {
                column: named.column.clone(),
            }]
        } else {
            continue;
        };
        problems.extend(found.into_iter().map(|found| Problem {
            place: place_of_column(entry, &named.named_in),
            found,
        }));
    }
    problems
}

fn column_fault(table: &TableFacts, named: &NamedColumn) -> Option<Found> {
    let column = named.column.clone();
    if table.columns.contains(&column) {
        return None;
    }
    let table_name = table.name().clone();
    match (table.generated_columns.contains(&column), &named.named_in) {
        (false, _) => Some(Found::ColumnMissing {
            table: table_name,
            column,
        }),
        (true, NamedIn::Exclude) => None,
        (true, NamedIn::Include | NamedIn::Key | NamedIn::Rule(_)) => {
            Some(Found::ColumnGenerated {
                table: table_name,
                column,
            })
        }
    }
}

impl Checked {
    fn check_identity(&mut self, entry: &Entry, table: &TableFacts) {
        let relations: Vec<TableName> = std::iter::once(&table.relation)
            .chain(table.sent_leaves())
            .filter(|relation| relation.identity() != Identity::Full)
            .map(|relation| relation.name.clone())
            .collect();
        let identity = table.relation.identity();
        let unmet = entry
            .old
            .iter()
            .filter(|need| !identity.gives(&need.columns));
        let mut needs_full = false;
        for need in unmet {
            needs_full = true;
            self.problems.push(Problem {
                place: need.rule.to_string(),
                found: Found::OldValues {
                    table: table.name().clone(),
                    operation: need.operation,
                    needed: need.columns.clone(),
                    identity: match &identity {
                        Identity::Unusable(_) => "none".to_owned(),
                        usable => usable.to_string(),
                    },
                    relations: relations.clone(),
                },
            });
        }
        let mut faults = table.identity_faults();
        if !faults.is_empty() && entry.needs_identity() {
            if needs_full {
                // One cure for both.
                for fault in &mut faults {
                    fault.sql = identity::full(&fault.relation);
                }
            }
            let needy = [Operation::Update, Operation::Delete];
            self.problems.push(Problem {
                place: place(entry),
                found: Found::Identity {
                    table: table.name().clone(),
                    operations: needy.into_iter().filter(|o| entry.wants(*o)).collect(),
                    faults,
                },
            });
            return;
        }
        self.published.push(Published {
            table: table.name().clone(),
            part: match faults.is_empty() {
                true => Part::All,
                false => Part::Insert,
            },
            operations: entry.operations.clone(),
        });
    }

    fn check_order(&mut self, entry: &Entry, table: &TableFacts) {
        if entry.key.is_some() || !table.key.is_empty() {
            return;
        }
        for endpoint in &entry.keyed_endpoints {
            self.problems.push(Problem {
                place: place(entry),
                found: Found::NoOrderKey {
                    table: table.name().clone(),
                    endpoint: endpoint.to_string(),
                },
            });
        }
    }

    fn check_partitions(&mut self, table: &TableFacts) {
        for leaf in &table.leaves {
            if let Some(found) = leaf.unsent {
                self.warnings.push(Warning::UnsentPartition {
                    table: table.name().clone(),
                    partition: leaf.relation.name.clone(),
                    found,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::ReplicaIdentity;
    use crate::postgres::catalog::Kind;
    use crate::postgres::identity::Identified;
    use crate::postgres::identity::tests::{index, primary};
    use crate::postgres::wanted::OldNeed;
    use crate::postgres::wanted::tests::test_entry;

    fn facts(entry: usize, name: &str, has_key: bool) -> TableFacts {
        let owned = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        TableFacts {
            entry,
            oid: 16_400,
            kind: Kind::Table,
            relation: Identified {
                name: TableName::new("public", name),
                setting: ReplicaIdentity::Default,
                indexes: match has_key {
                    true => vec![primary()],
                    false => vec![],
                },
                virtual_column: None,
            },
            leaves: Vec::new(),
            key: owned(if has_key { &["id"] } else { &[] }),
            columns: owned(&["id", "status"]),
            generated_columns: owned(&["total"]),
            owner: "app".into(),
            is_owned: true,
        }
    }

    fn column(column: &str, named_in: NamedIn) -> NamedColumn {
        NamedColumn {
            column: column.into(),
            named_in,
        }
    }

    fn told(problems: &[Problem]) -> String {
        let texts = problems.iter().map(|problem| {
            let hint = problem.found.hint().unwrap_or_default();
            format!("{problem}\n  {hint}\n  {}", problem.found.sql().join(" "))
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn everything_wrong_with_the_tables_at_once() {
        use Operation::{Delete, Insert, Update};
        let rule = "tables.\"public.orders\".events.update[0]";
        let wanted = Wanted {
            entries: vec![
                Entry {
                    columns: vec![
                        column("Status", NamedIn::Include),
                        column("total", NamedIn::Key),
                        column("nope", NamedIn::Rule(rule.into())),
                    ],
                    old: vec![OldNeed {
                        rule: rule.into(),
                        operation: Update,
                        columns: vec!["status".into()],
                    }],
                    ..test_entry("public.orders", &[Insert, Update])
                },
                Entry {
                    keyed_endpoints: vec!["crm".into()],
                    columns: vec![column("nope", NamedIn::Exclude)],
                    ..test_entry("public.log*", &[Update, Delete])
                },
                test_entry("public.gone", &[Insert]),
                test_entry("other.*", &[Insert]),
            ],
        };
        let found = vec![facts(0, "orders", true), facts(1, "log", false)];
        let unfit = vec![Unfit::Missing {
            entry: 2,
            table: TableName::new("public", "gone"),
            similar: None,
        }];
        let checked = check(&wanted, &Tables { found, unfit });
        insta::assert_snapshot!(told(&checked.problems), @r#"
tables."public.gone": table public.gone does not exist
  create it, or take its entry out
  
tables."public.orders".columns.include: column "Status" of table public.orders does not exist
  write a column that exists; names are not folded
  
tables."public.orders".key: column "total" of table public.orders is generated: the WAL does not carry it
  name the columns it is made of
  
tables."public.orders".events.update[0]: column "nope" of table public.orders does not exist
  write a column that exists; names are not folded
  
tables."public.orders".events.update[0]: it reads old values of (status) (update), but the replica identity of table public.orders carries (id)
  
  ALTER TABLE "public"."orders" REPLICA IDENTITY FULL;
tables."public.log*".columns.exclude: none of the matched tables has a column "nope"
  write a column that exists; names are not folded
  
tables."public.log*": rules want update and delete, but the replica identity of table public.log does not allow it: there is no primary key
  
  ALTER TABLE "public"."log" REPLICA IDENTITY FULL;
tables."public.log*": endpoint crm has order: key, but table public.log has no key
  give the table a primary key, or its entry `key: [columns]`, or the endpoint another order
"#);
        let entry = "other.*".to_owned();
        assert_eq!(checked.warnings, [Warning::EmptyPattern { entry }]);
    }

    #[test]
    fn a_keyless_table_that_is_only_inserted_into_goes_to_the_second_publication() {
        use Operation::{Insert, Truncate};
        let wanted = Wanted {
            entries: vec![test_entry("public.*", &[Insert, Truncate])],
        };
        let found = vec![facts(0, "keyed", true), facts(0, "keyless", false)];
        let checked = check(
            &wanted,
            &Tables {
                found,
                unfit: vec![],
            },
        );
        assert!(checked.problems.is_empty());
        let parts: Vec<Part> = checked.published.iter().map(|p| p.part).collect();
        assert_eq!(parts, [Part::All, Part::Insert]);
    }

    #[test]
    fn an_index_that_will_do_is_offered() {
        let wanted = Wanted {
            entries: vec![test_entry("public.t", &[Operation::Delete])],
        };
        let mut table = facts(0, "t", false);
        table.relation.indexes.push(index("t_a", &["status"]));
        let found = vec![table];
        let checked = check(
            &wanted,
            &Tables {
                found,
                unfit: vec![],
            },
        );
        insta::assert_snapshot!(told(&checked.problems), @r#"
tables."public.t": rules want delete, but the replica identity of table public.t does not allow it: there is no primary key
  
  ALTER TABLE "public"."t" REPLICA IDENTITY USING INDEX "t_a";
"#);
        assert!(checked.published.is_empty());
    }
}
