//! Replica identity: which columns of the old row the WAL carries, and whether
//! UPDATE and DELETE go on working once the table is published.
//!
//! A published table without a usable identity makes the *application's* UPDATE
//! and DELETE fail, so this is judged before any publication is touched.
//! <https://www.postgresql.org/docs/current/logical-replication-publication.html>
//!
//! Pure: the facts come from `catalog::tables`.

use std::collections::BTreeSet;
use std::fmt;

use super::catalog::quote;
use crate::change::{ReplicaIdentity, TableName};

/// A unique index, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueIndex {
    pub name: String,
    pub is_primary: bool,
    /// `pg_index.indisreplident`
    pub is_identity: bool,
    pub is_valid: bool,
    /// Not DEFERRABLE.
    pub is_immediate: bool,
    /// Neither partial nor over expressions.
    pub is_plain: bool,
    /// All its key columns are NOT NULL.
    pub is_not_null: bool,
    /// Key columns in order, without INCLUDE columns.
    pub columns: Vec<String>,
}

impl UniqueIndex {
    fn fault(&self) -> Option<IndexFault> {
        if !self.is_valid {
            Some(IndexFault::Invalid)
        } else if !self.is_immediate {
            Some(IndexFault::Deferrable)
        } else if !self.is_plain {
            Some(IndexFault::Partial)
        } else if !self.is_not_null {
            Some(IndexFault::Nullable)
        } else {
            None
        }
    }
}

/// What the WAL carries of an old row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// All columns.
    Full,
    /// These columns, in the order of the index.
    Key(Vec<String>),
    /// Nothing: UPDATE and DELETE fail as soon as the table is published.
    Unusable(Fault),
}

/// Why a replica identity is not usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    NoPrimaryKey,
    PrimaryKey {
        index: String,
        fault: IndexFault,
    },
    /// REPLICA IDENTITY NOTHING.
    Nothing,
    /// REPLICA IDENTITY USING INDEX, and the index was dropped.
    IndexDropped,
    Index {
        index: String,
        fault: IndexFault,
    },
    /// FULL, with a column that no publication can send.
    Virtual(String),
    /// A partition carries other old columns than its root announces: their
    /// values would be taken for nulls.
    UnlikeRoot {
        leaf: String,
        root: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexFault {
    Invalid,
    Deferrable,
    Partial,
    Nullable,
}

impl fmt::Display for IndexFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IndexFault::Invalid => "invalid",
            IndexFault::Deferrable => "deferrable",
            IndexFault::Partial => "partial or over expressions",
            IndexFault::Nullable => "over columns that may be null",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NoPrimaryKey => f.write_str("there is no primary key"),
            Fault::PrimaryKey { index, fault } => {
                write!(f, "its primary key \"{index}\" is {fault}")
            }
            Fault::Nothing => f.write_str("its replica identity is NOTHING"),
            Fault::IndexDropped => f.write_str("the index of its replica identity was dropped"),
            Fault::Index { index, fault } => {
                write!(
                    f,
                    "the index \"{index}\" of its replica identity is {fault}"
                )
            }
            Fault::Virtual(column) => write!(
                f,
                "its replica identity is FULL, and its virtual generated column \"{column}\" \
                 cannot be sent"
            ),
            Fault::UnlikeRoot { leaf, root } => {
                write!(f, "its replica identity is {leaf}, that of its root {root}")
            }
        }
    }
}

impl Identity {
    /// As Postgres judges it when a row is updated (`RelationGetReplicaIndex`).
    pub fn judge(setting: ReplicaIdentity, indexes: &[UniqueIndex]) -> Self {
        let of_index =
            |index: &UniqueIndex, fault: fn(String, IndexFault) -> Fault| match index.fault() {
                None => Identity::Key(index.columns.clone()),
                Some(found) => Identity::Unusable(fault(index.name.clone(), found)),
            };
        match setting {
            ReplicaIdentity::Full => Identity::Full,
            ReplicaIdentity::Nothing => Identity::Unusable(Fault::Nothing),
            ReplicaIdentity::Default => match indexes.iter().find(|index| index.is_primary) {
                None => Identity::Unusable(Fault::NoPrimaryKey),
                Some(key) => of_index(key, |index, fault| Fault::PrimaryKey { index, fault }),
            },
            ReplicaIdentity::Index => match indexes.iter().find(|index| index.is_identity) {
                None => Identity::Unusable(Fault::IndexDropped),
                Some(chosen) => of_index(chosen, |index, fault| Fault::Index { index, fault }),
            },
        }
    }

    /// Whether the old values of all these columns are known. An empty list
    /// stands for "cannot be told", so for all.
    pub fn gives(&self, columns: &[String]) -> bool {
        match self {
            Identity::Full => true,
            Identity::Key(key) => {
                !columns.is_empty() && columns.iter().all(|column| key.contains(column))
            }
            Identity::Unusable(_) => false,
        }
    }

    fn is_like(&self, other: &Identity) -> bool {
        match (self, other) {
            (Identity::Full, Identity::Full) => true,
            (Identity::Key(mine), Identity::Key(theirs)) => {
                mine.iter().collect::<BTreeSet<_>>() == theirs.iter().collect()
            }
            _ => false,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Full => f.write_str("FULL"),
            Identity::Key(columns) => write!(f, "({})", columns.join(", ")),
            Identity::Unusable(_) => f.write_str("not usable"),
        }
    }
}

/// A relation with its identity: a table, or a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    pub name: TableName,
    pub setting: ReplicaIdentity,
    pub indexes: Vec<UniqueIndex>,
    /// A generated column that is not stored (18 and later).
    pub virtual_column: Option<String>,
}

/// What is wrong with one relation's identity, and the statement that mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFault {
    pub relation: TableName,
    pub fault: Fault,
    pub sql: String,
}

impl Identified {
    pub fn identity(&self) -> Identity {
        match (
            Identity::judge(self.setting, &self.indexes),
            &self.virtual_column,
        ) {
            (Identity::Full, Some(column)) => Identity::Unusable(Fault::Virtual(column.clone())),
            (judged, _) => judged,
        }
    }

    fn faulty(&self, fault: Fault, sql: String) -> IdentityFault {
        IdentityFault {
            relation: self.name.clone(),
            fault,
            sql,
        }
    }

    /// The least that makes the identity usable.
    fn mend(&self) -> String {
        let primary = self.indexes.iter().find(|index| index.is_primary);
        if primary.is_some_and(|key| key.fault().is_none()) {
            return alter(&self.name, "DEFAULT");
        }
        let otherwise = || match &self.virtual_column {
            None => full(&self.name),
            Some(_) => format!(
                "ALTER TABLE {} ADD PRIMARY KEY (...);",
                quote::table(&self.name)
            ),
        };
        self.using_index(|_| true).unwrap_or_else(otherwise)
    }

    fn using_index(&self, fits: impl Fn(&UniqueIndex) -> bool) -> Option<String> {
        let mut usable = self.indexes.iter().filter(|index| index.fault().is_none());
        let index = usable.find(|index| fits(index))?;
        let choice = format!("USING INDEX {}", quote::identifier(&index.name));
        Some(alter(&self.name, &choice))
    }

    /// Gives a partition the columns of its root.
    fn mend_like(&self, root: &Identity) -> String {
        let like = |index: &UniqueIndex| Identity::Key(index.columns.clone()).is_like(root);
        let primary = self.indexes.iter().find(|index| index.is_primary);
        if primary.is_some_and(|key| key.fault().is_none() && like(key)) {
            return alter(&self.name, "DEFAULT");
        }
        self.using_index(like).unwrap_or_else(|| full(&self.name))
    }
}

/// All that is wrong with a table's identity, its partitions' among it.
///
/// The rows of a partitioned table are those of its leaves, and it is a leaf's
/// identity that decides what the WAL carries; but under
/// `publish_via_partition_root` it is the root's that the stream announces.
/// `ALTER TABLE ... REPLICA IDENTITY` on a root does not reach its partitions,
/// and a new partition starts with DEFAULT. So each must be usable, and all alike.
pub fn faults(root: &Identified, leaves: &[&Identified]) -> Vec<IdentityFault> {
    let any_full = std::iter::once(&root)
        .chain(leaves)
        .any(|relation| relation.identity() == Identity::Full);
    let root_identity = root.identity();
    let mut faults = Vec::new();
    let mend = |relation: &Identified| match any_full {
        true => full(&relation.name),
        false => relation.mend(),
    };
    if let Identity::Unusable(fault) = &root_identity {
        faults.push(root.faulty(fault.clone(), mend(root)));
    }
    for leaf in leaves {
        let identity = leaf.identity();
        if let Identity::Unusable(fault) = identity {
            faults.push(leaf.faulty(fault, mend(leaf)));
        } else if !identity.is_like(&root_identity) {
            let unlike = Fault::UnlikeRoot {
                leaf: identity.to_string(),
                root: root_identity.to_string(),
            };
            faults.push(match (&root_identity, identity) {
                (Identity::Unusable(_), _) => continue,
                (Identity::Key(_), Identity::Full) => leaf.faulty(unlike, full(&root.name)),
                (Identity::Full, _) => leaf.faulty(unlike, full(&leaf.name)),
                (Identity::Key(_), _) => leaf.faulty(unlike, leaf.mend_like(&root_identity)),
            });
        }
    }
    faults
}

/// `ALTER TABLE ... REPLICA IDENTITY FULL;`
pub fn full(table: &TableName) -> String {
    alter(table, "FULL")
}

fn alter(table: &TableName, choice: &str) -> String {
    format!(
        "ALTER TABLE {} REPLICA IDENTITY {choice};",
        quote::table(table)
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn index(name: &str, columns: &[&str]) -> UniqueIndex {
        UniqueIndex {
            name: name.to_owned(),
            is_primary: false,
            is_identity: false,
            is_valid: true,
            is_immediate: true,
            is_plain: true,
            is_not_null: true,
            columns: columns.iter().map(|&c| c.to_owned()).collect(),
        }
    }

    pub fn primary() -> UniqueIndex {
        UniqueIndex {
            is_primary: true,
            ..index("t_pkey", &["id"])
        }
    }

    fn relation(name: &str, setting: ReplicaIdentity, indexes: &[UniqueIndex]) -> Identified {
        Identified {
            name: TableName::new("public", name),
            setting,
            indexes: indexes.to_vec(),
            virtual_column: None,
        }
    }

    fn told(root: &Identified, leaves: &[&Identified]) -> Vec<String> {
        faults(root, leaves)
            .into_iter()
            .map(|f| format!("{}: {}: {}", f.relation, f.fault, f.sql))
            .collect()
    }

    #[test]
    fn a_primary_key_is_enough() {
        let table = relation("t", ReplicaIdentity::Default, &[primary()]);
        assert_eq!(table.identity(), Identity::Key(vec!["id".into()]));
        assert!(told(&table, &[]).is_empty());
    }

    #[test]
    fn each_fault_names_its_cure() {
        use ReplicaIdentity::{Default, Index, Nothing};
        let deferrable = UniqueIndex {
            is_immediate: false,
            ..primary()
        };
        let partial = UniqueIndex {
            is_plain: false,
            is_identity: true,
            ..index("t_part", &["a"])
        };
        let cases = [
            (Default, vec![]),
            (Default, vec![index("t_a", &["a"])]),
            (Default, vec![deferrable]),
            (Nothing, vec![primary()]),
            (Index, vec![]),
            (Index, vec![partial]),
        ];
        let texts: Vec<_> = cases
            .iter()
            .flat_map(|(setting, indexes)| told(&relation("t", *setting, indexes), &[]))
            .collect();
        insta::assert_snapshot!(texts.join("\n"), @r#"
public.t: there is no primary key: ALTER TABLE "public"."t" REPLICA IDENTITY FULL;
public.t: there is no primary key: ALTER TABLE "public"."t" REPLICA IDENTITY USING INDEX "t_a";
public.t: its primary key "t_pkey" is deferrable: ALTER TABLE "public"."t" REPLICA IDENTITY FULL;
public.t: its replica identity is NOTHING: ALTER TABLE "public"."t" REPLICA IDENTITY DEFAULT;
public.t: the index of its replica identity was dropped: ALTER TABLE "public"."t" REPLICA IDENTITY FULL;
public.t: the index "t_part" of its replica identity is partial or over expressions: ALTER TABLE "public"."t" REPLICA IDENTITY FULL;
"#);
    }

    #[test]
    fn partitions_carry_what_their_root_announces() {
        use ReplicaIdentity::{Default, Full};
        let root = |setting| relation("root", setting, &[primary()]);
        let plain = relation("leaf", Default, &[primary()]);
        let full = relation("full", Full, &[primary()]);
        let other = relation(
            "other",
            ReplicaIdentity::Index,
            &[
                primary(),
                UniqueIndex {
                    is_identity: true,
                    ..index("other_a", &["a"])
                },
            ],
        );
        assert!(told(&root(Default), &[&plain]).is_empty());
        assert!(told(&root(Full), &[&full]).is_empty());
        let texts = [
            told(&root(Full), &[&plain, &full]),
            told(&root(Default), &[&full]),
            told(&root(Default), &[&other]),
            told(&root(ReplicaIdentity::Nothing), &[&plain]),
        ];
        insta::assert_snapshot!(texts.concat().join("\n"), @r#"
public.leaf: its replica identity is (id), that of its root FULL: ALTER TABLE "public"."leaf" REPLICA IDENTITY FULL;
public.full: its replica identity is FULL, that of its root (id): ALTER TABLE "public"."root" REPLICA IDENTITY FULL;
public.other: its replica identity is (a), that of its root (id): ALTER TABLE "public"."other" REPLICA IDENTITY DEFAULT;
public.root: its replica identity is NOTHING: ALTER TABLE "public"."root" REPLICA IDENTITY DEFAULT;
"#);
    }

    #[test]
    fn old_values_beyond_the_key_need_full() {
        let columns = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        let key = Identity::Key(columns(&["id"]));
        assert!(key.gives(&columns(&["id"])));
        assert!(!key.gives(&columns(&["id", "status"])));
        assert!(!key.gives(&[]));
        assert!(Identity::Full.gives(&[]));
        assert!(!Identity::Unusable(Fault::Nothing).gives(&columns(&["id"])));
    }

    #[test]
    fn a_virtual_column_cannot_be_part_of_an_identity() {
        let with_virtual = |setting, indexes: &[UniqueIndex]| Identified {
            virtual_column: Some("twice".into()),
            ..relation("t", setting, indexes)
        };
        let keyed = with_virtual(ReplicaIdentity::Default, &[primary()]);
        assert_eq!(told(&keyed, &[]), [""; 0]);
        let full = with_virtual(ReplicaIdentity::Full, &[primary()]);
        assert_eq!(
            told(&full, &[]),
            [
                "public.t: its replica identity is FULL, and its virtual generated column \"twice\" cannot be sent: ALTER TABLE \"public\".\"t\" REPLICA IDENTITY DEFAULT;"
            ]
        );
        let keyless = with_virtual(ReplicaIdentity::Full, &[]);
        assert!(told(&keyless, &[])[0].ends_with("ADD PRIMARY KEY (...);"));
    }
}
