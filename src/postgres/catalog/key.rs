//! What the catalog knows of a relation beyond its Relation message.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::query::{QueryError, names, read};

/// As it is now, which may be long after the message.
#[derive(Clone, Debug, Default)]
pub struct RelationFacts {
    /// The names of the primary key's columns, else of the identity index's, in key order;
    /// empty when there is neither, or no such relation.
    ///
    /// Under REPLICA IDENTITY FULL the Relation message marks every column as part of the
    /// key, so it does not tell.
    pub key: Vec<String>,
    /// The partitioned tables above it.
    pub roots: Vec<u32>,
}

pub async fn relation_facts(client: &Client, oid: u32) -> Result<RelationFacts, QueryError> {
    let mut facts = read(
        client,
        "read the key of a table",
        "SELECT coalesce(
                  (SELECT array(SELECT a.attname::text
                                FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
                                JOIN pg_attribute a
                                  ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                                WHERE k.place <= i.indnkeyatts
                                ORDER BY k.place)
                   FROM pg_index i
                   WHERE i.indrelid = $1 AND (i.indisprimary OR i.indisreplident)
                   ORDER BY i.indisprimary DESC
                   LIMIT 1), '{}') AS key,
                array(SELECT relid::oid FROM pg_partition_ancestors($1) AS a(relid)
                      WHERE relid <> $1) AS roots",
        &[(&oid, Type::OID)],
        |row| {
            Ok(RelationFacts {
                key: names(row, "key")?,
                roots: row.try_get("roots")?,
            })
        },
    )
    .await?;
    Ok(facts.pop().unwrap_or_default())
}
