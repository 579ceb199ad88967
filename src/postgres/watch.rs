//! What is looked at every minute, and at every connect.

use tokio_postgres::Client;

use super::catalog::QueryError;
use super::publication::{self, Membership};
use super::slot::{self, OpenTransaction, SlotFacts};

/// One look at the database.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Retained WAL, `safe_wal_size`, `wal_status`, invalidation; `None`: the slot is gone.
    pub slot: Option<SlotFacts>,
    /// The open write transaction that pins the WAL kept for the slot.
    pub oldest_transaction: Option<OpenTransaction>,
    /// Of those of the publications that exist, in the order asked for.
    pub memberships: Vec<Membership>,
}

/// Looks at the slot, the open transactions and the publications that
/// START_REPLICATION named.
pub async fn observe(
    client: &Client,
    slot: &str,
    publications: &[String],
) -> Result<Observed, QueryError> {
    let open = slot::blockers(client).await?;
    Ok(Observed {
        slot: slot::slot(client, slot).await?,
        oldest_transaction: open.into_iter().next(),
        memberships: publication::membership(client, publications).await?,
    })
}
