//! A publication that is not ours: what it lacks for the config. It is never altered. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::facts::PublicationFacts;
use super::plan::{PublicationNames, PublicationPlan, Published, publish_option};
use crate::change::{Operation, TableName};
use crate::postgres::catalog::quote;

/// What a publication that we may not alter lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// Not ours, and does not send the table under this name.
    Table {
        publication: String,
        table: TableName,
    },
    /// Not ours, and sends the partitions of the table under their own names.
    PartitionNames {
        publication: String,
        table: TableName,
    },
    /// Not ours, and sends the table, but not these.
    Operations {
        publication: String,
        table: TableName,
        operations: Vec<Operation>,
        /// What it would have to publish.
        publish: Vec<Operation>,
    },
    /// The second publication's name is taken.
    NameTaken { publication: String },
    /// Ours by its comment, but FOR ALL TABLES, which cannot be altered.
    ForAllTables { publication: String },
}

impl Shortfall {
    /// The statement by which the publication's owner can mend it.
    pub fn sql(&self) -> Option<String> {
        let alter =
            |publication: &str| format!("ALTER PUBLICATION {}", quote::identifier(publication));
        match self {
            Shortfall::Table { publication, table } => Some(format!(
                "{} ADD TABLE {};",
                alter(publication),
                quote::table(table)
            )),
            Shortfall::PartitionNames { publication, .. } => Some(format!(
                "{} SET (publish_via_partition_root = true);",
                alter(publication)
            )),
            Shortfall::Operations {
                publication,
                publish,
                ..
            } => Some(format!(
                "{} SET ({});",
                alter(publication),
                publish_option(publish)
            )),
            Shortfall::NameTaken { .. } | Shortfall::ForAllTables { .. } => None,
        }
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shortfall::Table { publication, table } => write!(
                f,
                "publication \"{publication}\" does not send table {table}"
            ),
            Shortfall::PartitionNames { publication, table } => write!(
                f,
                "publication \"{publication}\" sends the partitions of table {table} under their \
                 own names"
            ),
            Shortfall::Operations {
                publication,
                table,
                operations,
                ..
            } => {
                let words: Vec<_> = operations.iter().map(|o| o.as_str()).collect();
                write!(
                    f,
                    "publication \"{publication}\" does not send {} of table {table}",
                    words.join(", ")
                )
            }
            Shortfall::NameTaken { publication } => write!(
                f,
                "publication \"{publication}\" exists already and is not walhook's for this slot"
            ),
            Shortfall::ForAllTables { publication } => {
                write!(f, "publication \"{publication}\" is FOR ALL TABLES")
            }
        }
    }
}

/// START_REPLICATION names what is there; what it does not send is told.
pub(super) fn as_it_stands(
    names: &PublicationNames,
    existing: &[PublicationFacts],
    wanted: &[Published],
) -> PublicationPlan {
    let mut sent: BTreeMap<&TableName, BTreeSet<Operation>> = BTreeMap::new();
    for facts in existing {
        for table in &facts.membership.tables {
            let operations = sent.entry(table).or_default();
            operations.extend(facts.membership.operations.iter().copied());
        }
    }
    let shortfall = |published: &Published| {
        let publication = names.all.clone();
        let table = published.table.clone();
        let Some(sent) = sent.get(&table) else {
            let names_it = existing
                .iter()
                .any(|facts| facts.members.contains_key(&table));
            return Some(match names_it {
                true => Shortfall::PartitionNames { publication, table },
                false => Shortfall::Table { publication, table },
            });
        };
        let lacks = |operation: &Operation| {
            published.operations.contains(operation) && !sent.contains(operation)
        };
        let operations: Vec<_> = Operation::ALL.into_iter().filter(lacks).collect();
        if operations.is_empty() {
            return None;
        }
        let mut publish: Vec<_> = operations.iter().chain(sent).copied().collect();
        publish.sort_unstable();
        Some(Shortfall::Operations {
            publication,
            table,
            operations,
            publish,
        })
    };
    let publications = |filter: &dyn Fn(&&PublicationFacts) -> bool| {
        let existing = existing.iter().filter(|facts| filter(facts));
        existing
            .map(|facts| facts.membership.publication.clone())
            .collect()
    };
    PublicationPlan {
        publications: publications(&|_| true),
        foreign: publications(&|facts| !names.are_mark_of(facts)),
        shortfalls: wanted.iter().filter_map(shortfall).collect(),
        ..PublicationPlan::default()
    }
}
