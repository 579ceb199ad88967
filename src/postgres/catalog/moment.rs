//! Which moment the catalog is read at.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::query::{QueryError, lsn, read};
use crate::lsn::Lsn;

/// What a query that begins now will see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Whatever committed before it is seen.
    pub lsn: Lsn,
    /// So is the transaction that was asked about.
    pub shows: bool,
}

/// The stream has the number's lower 32 bits, so it is taken for the one that is
/// nearest to the snapshot's end.
const MOMENT: &str = "
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_insert_lsn() END AS lsn,
       pg_visible_in_snapshot(
           greatest(3, xmax + (($1 - xmax) % 4294967296 + 6442450944) % 4294967296 - 2147483648)
               ::text::xid8,
           snapshot) AS shows
FROM (SELECT s AS snapshot, pg_snapshot_xmax(s)::text::int8 AS xmax
      FROM pg_current_snapshot() AS s) AS now";

/// The stream can be ahead of what others see: a transaction's WAL is flushed, and sent,
/// before it is shown as committed, and that waits for a synchronous standby.
pub async fn moment(client: &Client, xid: u32) -> Result<Moment, QueryError> {
    let mut moments = read(
        client,
        "read the catalog's moment",
        MOMENT,
        &[(&i64::from(xid), Type::INT8)],
        |row| {
            Ok(Moment {
                lsn: lsn(row, "lsn")?.unwrap_or_default(),
                shows: row.try_get("shows")?,
            })
        },
    )
    .await?;
    Ok(moments.pop().unwrap_or(Moment {
        lsn: Lsn::ZERO,
        shows: true,
    }))
}
