//! Leaves that came and went, of which PostgreSQL 14 takes no notice.
//!
//! Its walsender asks once whether a table is a leaf of a published root, when it meets the
//! table, and keeps the answer until a publication is altered; from 15 on until the table is.
//! So a table that is attached or detached later goes on as before: its rows are not sent, or
//! go under the root's name.

use std::collections::BTreeMap;

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::plan::PublicationNames;
use crate::postgres::catalog::{QueryError, read};

/// The first major that looks again by itself.
const LOOKS_AGAIN: u32 = 15;

/// Tables by OID, with the published root that each is a leaf of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaves(BTreeMap<u32, Leaf>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leaf {
    root: Option<u32>,
    /// Its row of `pg_class` is of another transaction than the one that made the table.
    altered: bool,
}

/// The attribute `ctid` of a table is written once.
const LEAVES: &str = "
SELECT c.oid, c.xmin::text <> a.xmin::text AS altered,
       CASE WHEN c.relispartition AND EXISTS (
         SELECT FROM pg_publication_rel m JOIN pg_publication p ON p.oid = m.prpubid
         WHERE p.pubname = ANY ($1) AND m.prrelid = pg_partition_root(c.oid))
       THEN pg_partition_root(c.oid)::oid END AS root
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'ctid'
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND c.oid >= 16384";

/// `None`: this major takes notice of them.
pub async fn leaves(
    client: &Client,
    names: &PublicationNames,
    server_major: u32,
) -> Result<Option<Leaves>, QueryError> {
    if server_major >= LOOKS_AGAIN {
        return Ok(None);
    }
    let names = names.both();
    let parameters = [(&names as &(dyn ToSql + Sync), Type::TEXT_ARRAY)];
    let rows = read(client, "read the partitions", LEAVES, &parameters, |row| {
        let leaf = Leaf {
            root: row.try_get("root")?,
            altered: row.try_get("altered")?,
        };
        Ok((row.try_get("oid")?, leaf))
    })
    .await?;
    Ok(Some(Leaves(rows.into_iter().collect())))
}

impl Leaves {
    /// Whether a table that the walsender may have met before was attached or detached since
    /// `before`. One that is made as a leaf is none.
    pub fn moved_since(&self, before: &Leaves) -> bool {
        self.0.iter().any(|(oid, now)| match before.0.get(oid) {
            Some(before) => before.root != now.root,
            None => now.root.is_some() && now.altered,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(of: &[(u32, Option<u32>, bool)]) -> Leaves {
        let leaf = |(oid, root, altered): &(u32, Option<u32>, bool)| {
            let (root, altered) = (*root, *altered);
            (*oid, Leaf { root, altered })
        };
        Leaves(of.iter().map(leaf).collect())
    }

    #[test]
    fn a_leaf_moves_when_it_is_attached_or_detached_and_not_when_it_is_made() {
        let before = leaves(&[(1, Some(9), false), (2, None, false)]);
        for (now, moved) in [
            (leaves(&[(1, Some(9), true), (2, None, true)]), false),
            (leaves(&[(1, Some(9), false)]), false),
            (leaves(&[(1, None, true), (2, None, false)]), true),
            (leaves(&[(1, Some(9), false), (2, Some(9), true)]), true),
            (leaves(&[(1, Some(8), false), (2, None, false)]), true),
            (leaves(&[(3, Some(9), false)]), false),
            (leaves(&[(3, None, true)]), false),
            (leaves(&[(3, Some(9), true)]), true),
        ] {
            assert_eq!(now.moved_since(&before), moved, "{now:?}");
        }
    }
}
