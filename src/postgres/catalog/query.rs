//! Queries: one round trip each, and an error that says what was being read.

use std::borrow::Cow;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, PgLsn, ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::lsn::Lsn;

/// A query on the control connection failed. The text completes "failed to ...";
/// the source carries the SQLSTATE.
#[derive(Debug, thiserror::Error)]
#[error("{action}")]
pub struct QueryError {
    pub action: &'static str,
    #[source]
    pub source: tokio_postgres::Error,
}

impl QueryError {
    pub(in crate::postgres) fn when(
        action: &'static str,
    ) -> impl Fn(tokio_postgres::Error) -> QueryError + Copy {
        move |source| QueryError { action, source }
    }

    /// 42704: what it names is not there, or no longer.
    pub(in crate::postgres) fn is_undefined_object(&self) -> bool {
        self.source.code() == Some(&SqlState::UNDEFINED_OBJECT)
    }
}

/// All rows of `sql`, each made into a `T`. The parameters' types are given, so
/// that nothing is prepared and a single round trip does.
pub(in crate::postgres) async fn read<T>(
    client: &Client,
    action: &'static str,
    sql: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
    row: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
) -> Result<Vec<T>, QueryError> {
    let rows = client
        .query_typed(sql, parameters)
        .await
        .map_err(QueryError::when(action))?;
    rows.iter()
        .map(row)
        .collect::<Result<Vec<T>, _>>()
        .map_err(QueryError::when(action))
}

pub(in crate::postgres) fn lsn(
    row: &Row,
    column: &str,
) -> Result<Option<Lsn>, tokio_postgres::Error> {
    let found: Option<PgLsn> = row.try_get(column)?;
    Ok(found.map(|lsn| Lsn(u64::from(lsn))))
}

/// A name of the catalog, as [`crate::pgoutput`] has it: bytes that are no UTF-8 (a database
/// in SQL_ASCII) become U+FFFD.
#[derive(Debug)]
pub(in crate::postgres) struct Name {
    pub text: String,
    pub is_utf8: bool,
}

impl<'a> FromSql<'a> for Name {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let text = String::from_utf8_lossy(raw);
        Ok(Name {
            is_utf8: matches!(text, Cow::Borrowed(_)),
            text: text.into_owned(),
        })
    }

    fn accepts(kind: &Type) -> bool {
        <&str as FromSql>::accepts(kind)
    }
}

pub(in crate::postgres) fn name(row: &Row, column: &str) -> Result<String, tokio_postgres::Error> {
    row.try_get(column).map(|name: Name| name.text)
}

pub(in crate::postgres) fn names(
    row: &Row,
    column: &str,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let names: Option<Vec<Name>> = row.try_get(column)?;
    let names = names.unwrap_or_default().into_iter();
    Ok(names.map(|name| name.text).collect())
}
