//! The tables that the config speaks of, and those entries that fit no table.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::choice::{Candidate, Kind, NotATable, Unfit, choose};
use super::query::{Name, QueryError, name, names, read};
use crate::change::{ReplicaIdentity, TableName};
use crate::postgres::identity::{self, Identified, IdentityFault, UniqueIndex};
use crate::postgres::wanted::Wanted;

/// What was found for the entries of `tables:`.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// By name.
    pub found: Vec<TableFacts>,
    pub unfit: Vec<Unfit>,
}

/// A table that can be published.
#[derive(Clone, Debug)]
pub struct TableFacts {
    /// Place of its entry in [`Wanted`].
    pub entry: usize,
    pub oid: u32,
    pub kind: Kind,
    /// Name, replica identity, unique indexes.
    pub relation: Identified,
    /// Of a partitioned table: all its leaves.
    pub leaves: Vec<Leaf>,
    /// The primary key's columns, else the identity index's.
    pub key: Vec<String>,
    /// Without those that are not in the stream.
    pub columns: Vec<String>,
    /// Generated, and not in the stream: up to 17 all, from 18 on the virtual ones.
    pub generated_columns: Vec<String>,
    pub owner: String,
    /// The role is the owner, a member of it, or a superuser.
    pub is_owned: bool,
}

#[derive(Clone, Debug)]
pub struct Leaf {
    pub relation: Identified,
    /// Why its changes are never sent, if so: foreign or unlogged.
    pub unsent: Option<NotATable>,
}

impl TableFacts {
    pub fn name(&self) -> &TableName {
        &self.relation.name
    }

    /// What keeps UPDATE and DELETE from working once the table is published.
    pub fn identity_faults(&self) -> Vec<IdentityFault> {
        let leaves: Vec<&Identified> = self.sent_leaves().collect();
        identity::faults(&self.relation, &leaves)
    }

    pub fn sent_leaves(&self) -> impl Iterator<Item = &Identified> {
        let sent = self.leaves.iter().filter(|leaf| leaf.unsent.is_none());
        sent.map(|leaf| &leaf.relation)
    }
}

const CANDIDATES: &str = "
SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name,
       c.relkind::text AS kind, c.relpersistence::text AS persistence,
       c.oid < 16384 OR n.nspname ~ '^pg_' OR n.nspname = 'information_schema' AS is_system,
       CASE WHEN c.relispartition
            THEN array(SELECT relid::oid FROM pg_partition_ancestors(c.oid) AS a(relid)
                       WHERE relid <> c.oid)
            ELSE '{}' END AS ancestors
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
ORDER BY n.nspname, c.relname";

const DETAILS: &str = "
SELECT c.oid, pg_get_userbyid(c.relowner)::text AS owner,
       pg_has_role(c.relowner, 'USAGE') AS is_owned,
       array(SELECT attname::text FROM pg_attribute
             WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
               AND (attgenerated = '' OR attgenerated = 's' AND v.sends_stored)
             ORDER BY attnum) AS columns,
       array(SELECT attname::text FROM pg_attribute
             WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
               AND NOT (attgenerated = '' OR attgenerated = 's' AND v.sends_stored)
             ORDER BY attnum) AS generated_columns,
       CASE WHEN c.relkind = 'p'
            THEN array(SELECT relid::oid FROM pg_partition_tree(c.oid)
                       WHERE isleaf AND relid <> c.oid)
            ELSE '{}' END AS leaves
FROM pg_class c
CROSS JOIN (SELECT current_setting('server_version_num')::int >= 180000 AS sends_stored) AS v
WHERE c.oid = ANY ($1)";

const IDENTITIES: &str = "
SELECT c.oid, c.relreplident::text AS setting,
       (SELECT min(attname::text) FROM pg_attribute
        WHERE attrelid = c.oid AND attgenerated = 'v' AND NOT attisdropped) AS virtual_column,
       ic.relname::text AS index, i.indisprimary, i.indisreplident,
       i.indisvalid AND i.indislive AS is_valid, i.indimmediate,
       i.indpred IS NULL AND i.indexprs IS NULL AS is_plain,
       k.columns, k.is_not_null
FROM pg_class c
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisunique
LEFT JOIN pg_class ic ON ic.oid = i.indexrelid
LEFT JOIN LATERAL (
    SELECT coalesce(array_agg(a.attname::text ORDER BY k.place), '{}') AS columns,
           coalesce(bool_and(a.attnotnull), true) AS is_not_null
    FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE k.place <= i.indnkeyatts
) AS k ON true
WHERE c.oid = ANY ($1)
ORDER BY c.oid, ic.relname";

/// The tables that `wanted` speaks of, in three round trips whatever their number.
pub async fn tables(client: &Client, wanted: &Wanted) -> Result<Tables, QueryError> {
    let action = "read the tables of the database";
    let candidates = read(client, action, CANDIDATES, &[], candidate).await?;
    let (chosen, unfit) = choose(&candidates, wanted);
    let oids: Vec<u32> = chosen.iter().map(|(_, candidate)| candidate.oid).collect();
    let details = read(
        client,
        action,
        DETAILS,
        &[(&oids, Type::OID_ARRAY)],
        |row| Ok((row.try_get::<_, u32>("oid")?, Details::from_row(row)?)),
    )
    .await?;
    let mut details: BTreeMap<u32, Details> = details.into_iter().collect();
    let leaves = details.values().flat_map(|details| details.leaves.clone());
    let all: Vec<u32> = oids.iter().copied().chain(leaves).collect();
    let mut identities = identities(client, &all).await?;
    let by_oid: BTreeMap<u32, &Candidate> = candidates.iter().map(|c| (c.oid, c)).collect();

    let mut relation = |candidate: &Candidate| {
        let identified = identities.remove(&candidate.oid)?;
        Some(Identified {
            name: candidate.name.clone(),
            ..identified
        })
    };
    let mut tables = Tables {
        unfit,
        ..Tables::default()
    };
    for (entry, candidate) in chosen {
        // A table that was dropped between two queries is no longer there.
        let Some((details, kind)) = details.remove(&candidate.oid).zip(candidate.kind.ok()) else {
            continue;
        };
        let Some(own) = relation(candidate) else {
            continue;
        };
        let leaves = details.leaves.iter().filter_map(|oid| by_oid.get(oid));
        tables.found.push(TableFacts {
            entry,
            oid: candidate.oid,
            kind,
            key: key(&own),
            relation: own,
            leaves: leaves
                .filter_map(|leaf| {
                    Some(Leaf {
                        relation: relation(leaf)?,
                        unsent: leaf.kind.err(),
                    })
                })
                .collect(),
            columns: details.columns,
            generated_columns: details.generated_columns,
            owner: details.owner,
            is_owned: details.is_owned,
        });
    }
    Ok(tables)
}

/// The primary key, else the identity index.
fn key(relation: &Identified) -> Vec<String> {
    let indexes = &relation.indexes;
    let primary = indexes.iter().find(|index| index.is_primary);
    let key = primary.or_else(|| indexes.iter().find(|index| index.is_identity));
    key.map(|index| index.columns.clone()).unwrap_or_default()
}

struct Details {
    owner: String,
    is_owned: bool,
    columns: Vec<String>,
    generated_columns: Vec<String>,
    leaves: Vec<u32>,
}

impl Details {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Details {
            owner: name(row, "owner")?,
            is_owned: row.try_get("is_owned")?,
            columns: names(row, "columns")?,
            generated_columns: names(row, "generated_columns")?,
            leaves: row.try_get("leaves")?,
        })
    }
}

fn candidate(row: &Row) -> Result<Candidate, tokio_postgres::Error> {
    let schema: Name = row.try_get("schema")?;
    let name: Name = row.try_get("name")?;
    let kind = match (row.try_get("kind")?, row.try_get("persistence")?) {
        _ if !(schema.is_utf8 && name.is_utf8) => Err(NotATable::Unnameable),
        (_, "t") => Err(NotATable::Temporary),
        _ if row.try_get("is_system")? => Err(NotATable::System),
        ("v", _) => Err(NotATable::View),
        ("m", _) => Err(NotATable::MaterializedView),
        ("f", _) => Err(NotATable::ForeignTable),
        ("S", _) => Err(NotATable::Sequence),
        (_, "u") => Err(NotATable::Unlogged),
        ("p", _) => Ok(Kind::Partitioned),
        (_, _) => Ok(Kind::Table),
    };
    Ok(Candidate {
        oid: row.try_get("oid")?,
        name: TableName::new(&schema.text, &name.text),
        kind,
        ancestors: row.try_get("ancestors")?,
    })
}

/// Their names are not known here.
type Identities = BTreeMap<u32, Identified>;

async fn identities(client: &Client, oids: &[u32]) -> Result<Identities, QueryError> {
    let action = "read replica identities";
    let parameters = &[(
        &oids as &(dyn tokio_postgres::types::ToSql + Sync),
        Type::OID_ARRAY,
    )];
    let rows = read(client, action, IDENTITIES, parameters, |row| {
        let setting = match row.try_get("setting")? {
            "f" => ReplicaIdentity::Full,
            "n" => ReplicaIdentity::Nothing,
            "i" => ReplicaIdentity::Index,
            _ => ReplicaIdentity::Default,
        };
        let virtual_column: Option<Name> = row.try_get("virtual_column")?;
        let identified = Identified {
            name: TableName::new("", ""),
            setting,
            indexes: Vec::new(),
            virtual_column: virtual_column.map(|name| name.text),
        };
        Ok((
            row.try_get::<_, u32>("oid")?,
            identified,
            unique_index(row)?,
        ))
    });
    let mut identities = Identities::new();
    for (oid, identified, index) in rows.await? {
        let known = identities.entry(oid).or_insert(identified);
        known.indexes.extend(index);
    }
    Ok(identities)
}

fn unique_index(row: &Row) -> Result<Option<UniqueIndex>, tokio_postgres::Error> {
    let name: Option<Name> = row.try_get("index")?;
    let Some(name) = name else {
        return Ok(None);
    };
    Ok(Some(UniqueIndex {
        name: name.text,
        is_primary: row.try_get("indisprimary")?,
        is_identity: row.try_get("indisreplident")?,
        is_valid: row.try_get("is_valid")?,
        is_immediate: row.try_get("indimmediate")?,
        is_plain: row.try_get("is_plain")?,
        is_not_null: row.try_get("is_not_null")?,
        columns: names(row, "columns")?,
    }))
}
