//! The key of a relation, by which its rows are ordered.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::query::{QueryError, read};

/// The names of the primary key's columns, else of the identity index's, in key
/// order; empty when there is neither, or no such relation.
///
/// Under REPLICA IDENTITY FULL the Relation message marks every column as part
/// of the key, so it does not tell.
pub async fn relation_key(client: &Client, oid: u32) -> Result<Vec<String>, QueryError> {
    let mut keys = read(
        client,
        "read the key of a table",
        "SELECT array(SELECT a.attname::text
                      FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
                      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                      WHERE k.place <= i.indnkeyatts
                      ORDER BY k.place) AS columns
         FROM pg_index i
         WHERE i.indrelid = $1 AND (i.indisprimary OR i.indisreplident)
         ORDER BY i.indisprimary DESC
         LIMIT 1",
        &[(&oid, Type::OID)],
        |row| row.try_get::<_, Vec<String>>("columns"),
    )
    .await?;
    Ok(keys.pop().unwrap_or_default())
}
