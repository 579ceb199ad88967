//! Publications as they are in the catalog.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::plan::Generated;
use crate::change::{Operation, TableName};
use crate::postgres::catalog::{QueryError, name, read};

/// What a publication sends, in effect: FOR ALL TABLES and schemas are expanded;
/// with `via_root` a partitioned table stands for its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    pub publication: String,
    pub operations: Vec<Operation>,
    pub via_root: bool,
    pub tables: BTreeSet<TableName>,
}

/// A publication, whoever made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicationFacts {
    pub membership: Membership,
    pub owner: String,
    /// The role is its owner, a member of it, or a superuser.
    pub is_owned: bool,
    pub comment: Option<String>,
    pub is_for_all_tables: bool,
    pub generated: Generated,
    /// FOR TABLES IN SCHEMA (15+).
    pub schemas: Vec<String>,
    /// Tables it names itself.
    pub members: BTreeMap<TableName, Member>,
}

/// How a publication names a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Member {
    /// WHERE (15+)
    pub has_row_filter: bool,
    /// (15+)
    pub has_column_list: bool,
}

const PUBLICATIONS: &str = "
SELECT p.pubname::text AS publication, pg_get_userbyid(p.pubowner)::text AS owner,
       pg_has_role(p.pubowner, 'USAGE') AS is_owned,
       obj_description(p.oid, 'pg_publication') AS comment,
       p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot,
       -- Through `to_jsonb`, because only 18 has such a column.
       coalesce(to_jsonb(p) ->> 'pubgencols', 'n') = 's' AS stored_generated
FROM pg_publication p
WHERE p.pubname = ANY ($1)";

const EFFECTIVE: &str = "
SELECT pubname::text AS publication, schemaname::text AS schema, tablename::text AS name
FROM pg_publication_tables
WHERE pubname = ANY ($1)";

/// Through `to_jsonb`, because 14 has no such columns.
const MEMBERS: &str = "
SELECT p.pubname::text AS publication, n.nspname::text AS schema, c.relname::text AS name,
       to_jsonb(m) ->> 'prqual' IS NOT NULL AS has_row_filter,
       to_jsonb(m) ->> 'prattrs' IS NOT NULL AS has_column_list
FROM pg_publication_rel m
JOIN pg_publication p ON p.oid = m.prpubid
JOIN pg_class c ON c.oid = m.prrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.pubname = ANY ($1)";

const SCHEMAS: &str = "
SELECT p.pubname::text AS publication, n.nspname::text AS schema
FROM pg_publication_namespace m
JOIN pg_publication p ON p.oid = m.pnpubid
JOIN pg_namespace n ON n.oid = m.pnnspid
WHERE p.pubname = ANY ($1)
ORDER BY n.nspname";

/// How often the catalog may change under a read of it.
const TRIES: u32 = 5;

/// All about those of `names` that exist, in the order of `names`.
pub async fn existing(
    client: &Client,
    names: &[String],
    server_major: u32,
) -> Result<Vec<PublicationFacts>, QueryError> {
    let mut tries = 1;
    loop {
        match read_existing(client, names, server_major).await {
            // `pg_publication_tables` sees a publication by the statement's snapshot and looks
            // it up by what is committed since: renamed or dropped there, it is an error.
            Err(error) if error.is_undefined_object() && tries < TRIES => tries += 1,
            read => return read,
        }
    }
}

async fn read_existing(
    client: &Client,
    names: &[String],
    server_major: u32,
) -> Result<Vec<PublicationFacts>, QueryError> {
    let mut publications = basics(client, names).await?;
    let members = read(client, ACTION, MEMBERS, &parameter(&names), |row| {
        let member = Member {
            has_row_filter: row.try_get("has_row_filter")?,
            has_column_list: row.try_get("has_column_list")?,
        };
        Ok((publication(row)?, table(row)?, member))
    })
    .await?;
    for (publication, table, member) in members {
        if let Some(facts) = find(&mut publications, &publication) {
            facts.members.insert(table, member);
        }
    }
    if server_major >= 15 {
        let schemas = read(client, ACTION, SCHEMAS, &parameter(&names), |row| {
            Ok((publication(row)?, name(row, "schema")?))
        })
        .await?;
        for (publication, schema) in schemas {
            if let Some(facts) = find(&mut publications, &publication) {
                facts.schemas.push(schema);
            }
        }
    }
    Ok(publications)
}

const ACTION: &str = "read the publications";

fn parameter<'a>(names: &'a &[String]) -> [(&'a (dyn ToSql + Sync), Type); 1] {
    [(names, Type::TEXT_ARRAY)]
}

fn find<'a>(
    publications: &'a mut [PublicationFacts],
    name: &str,
) -> Option<&'a mut PublicationFacts> {
    let mut publications = publications.iter_mut();
    publications.find(|facts| facts.membership.publication == name)
}

async fn basics(client: &Client, names: &[String]) -> Result<Vec<PublicationFacts>, QueryError> {
    let mut publications = read(client, ACTION, PUBLICATIONS, &parameter(&names), from_row).await?;
    let place = |facts: &PublicationFacts| {
        let name = &facts.membership.publication;
        names.iter().position(|wanted| wanted == name)
    };
    publications.sort_by_key(place);
    let effective = read(client, ACTION, EFFECTIVE, &parameter(&names), |row| {
        Ok((publication(row)?, table(row)?))
    })
    .await?;
    for (publication, table) in effective {
        if let Some(facts) = find(&mut publications, &publication) {
            facts.membership.tables.insert(table);
        }
    }
    Ok(publications)
}

fn publication(row: &Row) -> Result<String, tokio_postgres::Error> {
    row.try_get("publication")
}

fn table(row: &Row) -> Result<TableName, tokio_postgres::Error> {
    Ok(TableName::new(&name(row, "schema")?, &name(row, "name")?))
}

fn from_row(row: &Row) -> Result<PublicationFacts, tokio_postgres::Error> {
    let mut operations = Vec::new();
    for operation in Operation::ALL {
        if row.try_get(format!("pub{operation}").as_str())? {
            operations.push(operation);
        }
    }
    Ok(PublicationFacts {
        membership: Membership {
            publication: publication(row)?,
            operations,
            via_root: row.try_get("pubviaroot")?,
            tables: BTreeSet::new(),
        },
        owner: row.try_get("owner")?,
        is_owned: row.try_get("is_owned")?,
        comment: row.try_get("comment")?,
        is_for_all_tables: row.try_get("puballtables")?,
        generated: match row.try_get("stored_generated")? {
            true => Generated::Stored,
            false => Generated::LeftOut,
        },
        schemas: Vec::new(),
        members: BTreeMap::new(),
    })
}
