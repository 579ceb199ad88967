//! Carrying a plan out, and taking all of it down.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::facts::existing;
use super::plan::{PublicationNames, PublicationPlan};
use crate::postgres::catalog::{QueryError, quote};

/// How long a statement waits for a lock that the application holds.
///
/// ADD TABLE takes SHARE UPDATE EXCLUSIVE, behind which no reader and no writer
/// queues; but it would itself wait behind an ALTER TABLE for as long as that takes.
const LOCK_TIMEOUT_MS: u32 = 3_000;

/// The publications could not be made what the config wants.
#[derive(Debug, thiserror::Error)]
pub enum PublicationError {
    /// Definite: somebody with the right to must run the SQL.
    #[error("change publications: the role may not; run this as the tables' owner:\n{}", sql.join("\n"))]
    NotAllowed {
        sql: Vec<String>,
        #[source]
        source: tokio_postgres::Error,
    },
    /// Nothing was changed; it is tried again.
    #[error("change publications: a table is locked for more than {LOCK_TIMEOUT_MS} ms")]
    Locked {
        #[source]
        source: tokio_postgres::Error,
    },
    /// Nothing was changed; a table or publication is called otherwise since it was read.
    #[error("change publications: something that they name was renamed or dropped just now")]
    Gone {
        #[source]
        source: tokio_postgres::Error,
    },
    #[error("change publications")]
    Failed {
        #[source]
        source: tokio_postgres::Error,
    },
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// Runs the plan's statements in one transaction: all of them or none. A table
/// that moves from one publication to the other misses no change on the way.
pub async fn apply(client: &Client, plan: &PublicationPlan) -> Result<(), PublicationError> {
    if plan.statements.is_empty() {
        return Ok(());
    }
    run(client, &plan.statements).await
}

/// Drops those publications that are ours, and returns their names.
pub async fn drop(
    client: &Client,
    names: &PublicationNames,
    server_major: u32,
) -> Result<Vec<String>, PublicationError> {
    let ours = ours(client, names, server_major).await?;
    let statements: Vec<String> = ours
        .iter()
        .map(|name| format!("DROP PUBLICATION {}", quote::identifier(name)))
        .collect();
    if !statements.is_empty() {
        run(client, &statements).await?;
    }
    Ok(ours)
}

/// Makes the walsender look anew at the tables of our publications, from here on in the WAL.
///
/// Up to 15 a schema's new name does not make it do so, and on 14 neither does ATTACH or DETACH.
pub async fn look_again(
    client: &Client,
    names: &PublicationNames,
    server_major: u32,
) -> Result<(), PublicationError> {
    let ours = ours(client, names, server_major).await?;
    let as_it_is = |name| {
        let name = quote::identifier(name);
        format!("ALTER PUBLICATION {name} SET (publish_via_partition_root = true)")
    };
    let statements: Vec<String> = ours.iter().map(|name| as_it_is(name)).collect();
    if statements.is_empty() {
        return Ok(());
    }
    run(client, &statements).await
}

/// The names of those publications that are ours.
async fn ours(
    client: &Client,
    names: &PublicationNames,
    server_major: u32,
) -> Result<Vec<String>, QueryError> {
    let found = existing(client, &names.both(), server_major).await?;
    let ours = found.into_iter().filter(|facts| names.are_mark_of(facts));
    Ok(ours.map(|facts| facts.membership.publication).collect())
}

/// Several statements in one simple query are one transaction, which ends on its
/// own when one of them fails or when nobody waits for it any more.
/// <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT>
async fn run(client: &Client, statements: &[String]) -> Result<(), PublicationError> {
    let script = format!(
        "SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}; {}",
        statements.join("; ")
    );
    client.batch_execute(&script).await.map_err(|source| {
        let code = source.code();
        if code == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
            let sql = statements.iter().map(|s| format!("{s};")).collect();
            PublicationError::NotAllowed { sql, source }
        } else if code == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            PublicationError::Locked { source }
        } else if code == Some(&SqlState::UNDEFINED_TABLE)
            || code == Some(&SqlState::UNDEFINED_OBJECT)
        {
            PublicationError::Gone { source }
        } else {
            PublicationError::Failed { source }
        }
    })
}
