//! A slot as `pg_replication_slots` shows it, on versions 14 and later.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use crate::lsn::Lsn;
use crate::postgres::catalog::{QueryError, lsn, read};

/// <https://www.postgresql.org/docs/current/view-pg-replication-slots.html>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotFacts {
    pub name: String,
    /// `None`: a physical slot.
    pub plugin: Option<String>,
    pub database: Option<String>,
    /// The walsender that streams from it.
    pub active_pid: Option<i32>,
    pub active_application: Option<String>,
    /// `None` while the slot is being created.
    pub confirmed_flush: Option<Lsn>,
    /// WAL is kept from here on; `None` when the slot is lost.
    pub restart_lsn: Option<Lsn>,
    pub wal_status: Option<WalStatus>,
    /// Until WAL is removed; `None` without a limit, may be negative.
    pub safe_wal_bytes: Option<i64>,
    /// 17+, or `conflict` on a standby of 16.
    pub invalidation_reason: Option<String>,
    pub is_temporary: bool,
    pub is_two_phase: bool,
    /// WAL that is kept for the slot.
    pub retained_bytes: Option<u64>,
    /// Transactions since the oldest one whose catalog rows are kept for the slot.
    pub catalog_xmin_age: Option<u32>,
}

/// How safe the slot's WAL is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalStatus {
    Reserved,
    /// Beyond `max_wal_size`, kept.
    Extended,
    /// The next checkpoint may remove it.
    Unreserved,
    Lost,
    /// A word that is not known to this version of walhook.
    Other,
}

impl WalStatus {
    pub const KNOWN: [WalStatus; 4] = [
        WalStatus::Reserved,
        WalStatus::Extended,
        WalStatus::Unreserved,
        WalStatus::Lost,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            WalStatus::Reserved => "reserved",
            WalStatus::Extended => "extended",
            WalStatus::Unreserved => "unreserved",
            WalStatus::Lost => "lost",
            WalStatus::Other => "other",
        }
    }
}

/// Through `to_jsonb`, because what is newer than 14 is not everywhere.
const SLOT: &str = "
SELECT s.slot_name::text AS name, s.plugin::text AS plugin, s.database::text AS database,
       s.active_pid, a.application_name AS active_application,
       s.confirmed_flush_lsn, s.restart_lsn, s.wal_status, s.safe_wal_size,
       s.temporary, s.two_phase,
       coalesce(j.slot ->> 'invalidation_reason',
                -- 16 calls every invalidation a conflict, but only a standby has them
                CASE WHEN j.slot ->> 'conflicting' = 'true' AND pg_is_in_recovery()
                     THEN 'conflict' END)
         AS invalidation_reason,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                            ELSE pg_current_wal_insert_lsn() END, s.restart_lsn)::int8
         AS retained_bytes,
       age(s.catalog_xmin) AS catalog_xmin_age
FROM pg_replication_slots s
CROSS JOIN LATERAL (SELECT to_jsonb(s) AS slot) AS j
LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
WHERE s.slot_name = $1";

/// The slot of that name, whatever it is.
pub async fn slot(client: &Client, name: &str) -> Result<Option<SlotFacts>, QueryError> {
    let parameters = [(
        &name as &(dyn tokio_postgres::types::ToSql + Sync),
        Type::TEXT,
    )];
    let mut found = read(
        client,
        "read the replication slot",
        SLOT,
        &parameters,
        from_row,
    )
    .await?;
    Ok(found.pop())
}

/// Drops the slot; false when there was none. An active one is an error (55006).
pub async fn drop_slot(client: &Client, name: &str) -> Result<bool, QueryError> {
    let dropped = client
        .query_typed(
            "SELECT pg_drop_replication_slot($1::text::name)",
            &[(&name, Type::TEXT)],
        )
        .await;
    match dropped {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => Ok(false),
        Err(error) => Err(QueryError::when("drop the replication slot")(error)),
    }
}

fn from_row(row: &Row) -> Result<SlotFacts, tokio_postgres::Error> {
    let wal_status: Option<&str> = row.try_get("wal_status")?;
    let retained: Option<i64> = row.try_get("retained_bytes")?;
    let age: Option<i32> = row.try_get("catalog_xmin_age")?;
    Ok(SlotFacts {
        name: row.try_get("name")?,
        plugin: row.try_get("plugin")?,
        database: row.try_get("database")?,
        active_pid: row.try_get("active_pid")?,
        active_application: row.try_get("active_application")?,
        confirmed_flush: lsn(row, "confirmed_flush_lsn")?,
        restart_lsn: lsn(row, "restart_lsn")?,
        wal_status: wal_status.map(|word| match word {
            "reserved" => WalStatus::Reserved,
            "extended" => WalStatus::Extended,
            "unreserved" => WalStatus::Unreserved,
            "lost" => WalStatus::Lost,
            _ => WalStatus::Other,
        }),
        safe_wal_bytes: row.try_get("safe_wal_size")?,
        invalidation_reason: row.try_get("invalidation_reason")?,
        is_temporary: row.try_get("temporary")?,
        is_two_phase: row.try_get("two_phase")?,
        retained_bytes: retained.map(|bytes| u64::try_from(bytes).unwrap_or(0)),
        catalog_xmin_age: age.and_then(|age| u32::try_from(age).ok()),
    })
}
