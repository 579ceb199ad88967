//! What types are made of: the part of them that the stream does not tell.

use std::collections::BTreeSet;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::query::{QueryError, names, read};
use crate::pgoutput::value::{Attributes, TypeKind};

/// The recursion ends because UNION drops types that were seen before: a
/// composite can hold an array of itself.
const TYPES: &str = "
WITH RECURSIVE parts AS (
    SELECT oid FROM unnest($1::oid[]) AS wanted(oid)
  UNION
    SELECT part.oid
    FROM parts
    JOIN pg_type t ON t.oid = parts.oid
    CROSS JOIN LATERAL (
        SELECT t.typbasetype WHERE t.typtype = 'd'
      UNION ALL
        SELECT t.typelem WHERE t.typsubscript = 'array_subscript_handler'::regproc
      UNION ALL
        SELECT a.atttypid FROM pg_attribute a
        WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS part(oid)
)
SELECT t.oid,
       t.typtype::text AS kind,
       t.typbasetype AS base,
       t.typelem AS element,
       t.typsubscript = 'array_subscript_handler'::regproc AS is_array,
       -- array_out writes the delimiter of the element, ';' between boxes
       coalesce(ascii((SELECT e.typdelim::text FROM pg_type e WHERE e.oid = t.typelem)), 44)
         AS delimiter,
       f.names, f.types,
       EXISTS (SELECT FROM pg_attribute a
               WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attisdropped) AS has_dropped,
       t.typname = 'hstore' AND EXISTS (
           SELECT FROM pg_depend d
           JOIN pg_extension e ON e.oid = d.refobjid
           WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid
             AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
             AND e.extname = 'hstore') AS is_hstore
FROM parts
JOIN pg_type t USING (oid)
LEFT JOIN LATERAL (
    SELECT array_agg(a.attname::text ORDER BY a.attnum) AS names,
           array_agg(a.atttypid ORDER BY a.attnum) AS types
    FROM pg_attribute a
    WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
) AS f ON true";

/// What each of `oids` is made of, down to the scalars, in one round trip.
/// A type that is no longer there counts as [`TypeKind::Base`], so that its
/// values go as text and nobody asks again for ever.
pub async fn type_kinds(client: &Client, oids: &[u32]) -> Result<Vec<(u32, TypeKind)>, QueryError> {
    let mut kinds = read(
        client,
        "read what types are made of",
        TYPES,
        &[(&oids, Type::OID_ARRAY)],
        kind,
    )
    .await?;
    let known: BTreeSet<u32> = kinds.iter().map(|(oid, _)| *oid).collect();
    let gone = oids.iter().filter(|oid| !known.contains(oid));
    kinds.extend(gone.map(|oid| (*oid, TypeKind::Base)));
    Ok(kinds)
}

fn kind(row: &Row) -> Result<(u32, TypeKind), tokio_postgres::Error> {
    let oid = row.try_get("oid")?;
    let types: Option<Vec<u32>> = row.try_get("types")?;
    let delimiter: i32 = row.try_get("delimiter")?;
    let kind = match row.try_get::<_, &str>("kind")? {
        _ if row.try_get("is_hstore")? => TypeKind::Hstore,
        _ if row.try_get("is_array")? => TypeKind::Array {
            element: row.try_get("element")?,
            delimiter: u8::try_from(delimiter).unwrap_or(b','),
        },
        "d" => TypeKind::Domain {
            base: row.try_get("base")?,
        },
        "c" => TypeKind::Composite {
            fields: names(row, "names")?
                .into_iter()
                .zip(types.unwrap_or_default())
                .collect(),
            history: match row.try_get("has_dropped")? {
                true => Attributes::SomeDropped,
                false => Attributes::OnlyAdded,
            },
        },
        "e" => TypeKind::Enum,
        // Scalars, ranges, multiranges and pseudo-types have a text of their own.
        _ => TypeKind::Base,
    };
    Ok((oid, kind))
}
