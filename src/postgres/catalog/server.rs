//! The server: who it is and how it is set.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::query::{QueryError, lsn, read};
use crate::lsn::Lsn;

/// The server behind the control connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// For example 150018.
    pub version_num: u32,
    /// `None` where `pg_control_system()` may not be called; then IDENTIFY_SYSTEM
    /// on the replication connection tells it.
    pub system_identifier: Option<u64>,
    /// Of the WAL that is written (or replayed) now.
    pub timeline: Option<u32>,
    /// Microseconds since 1970. With the system identifier it tells whether two
    /// connections are on the same server.
    pub postmaster_start_us: i64,
    pub database: String,
    /// `server_encoding`, for example `UTF8` or `SQL_ASCII`.
    pub encoding: String,
    /// `replica`, `logical`; what is in effect where that differs from the setting.
    pub wal_level: String,
    /// `None`: unlimited.
    pub max_slot_wal_keep_bytes: Option<u64>,
    pub max_replication_slots: u32,
    pub max_wal_senders: u32,
    /// `None`: never, or a server before 18.
    pub idle_slot_timeout_s: Option<u64>,
    pub in_recovery: bool,
    /// Up to where the WAL is on disk; on a standby, replayed.
    pub flush_lsn: Lsn,
}

impl Server {
    /// 15 of 150018.
    pub fn major(&self) -> u32 {
        self.version_num / 10_000
    }

    /// 18 of 150018.
    pub fn minor(&self) -> u32 {
        self.version_num % 10_000
    }
}

/// `wal_sender_timeout` of the control connection's settings, which the walsender
/// shares unless its role sets another; 0: none.
pub async fn wal_sender_timeout_ms(client: &Client) -> Result<Option<u64>, QueryError> {
    let found = read(
        client,
        "read wal_sender_timeout",
        "SELECT setting::int8 AS ms FROM pg_settings WHERE name = 'wal_sender_timeout'",
        &[],
        |row| row.try_get::<_, i64>("ms"),
    )
    .await?;
    Ok(found.first().and_then(|ms| u64::try_from(*ms).ok()))
}

/// The CASEs matter: on a standby the functions for a primary are errors.
const SERVER: &str = "
SELECT current_setting('server_version_num')::int AS version_num,
       (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8 AS postmaster_start_us,
       current_database()::text AS database,
       current_setting('server_encoding') AS encoding,
       coalesce(current_setting('effective_wal_level', true), current_setting('wal_level'))
         AS wal_level,
       (SELECT setting::int8 FROM pg_settings WHERE name = 'max_slot_wal_keep_size')
         AS max_slot_wal_keep_mb,
       current_setting('max_replication_slots')::int AS max_replication_slots,
       current_setting('max_wal_senders')::int AS max_wal_senders,
       (SELECT setting::int8 * CASE unit WHEN 'min' THEN 60 ELSE 1 END
        FROM pg_settings WHERE name = 'idle_replication_slot_timeout') AS idle_slot_timeout_s,
       pg_is_in_recovery() AS in_recovery,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_flush_lsn() END AS flush_lsn,
       CASE WHEN pg_is_in_recovery() THEN NULL
            ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END AS timeline,
       has_function_privilege('pg_control_system()', 'EXECUTE')
         AND has_function_privilege('pg_control_checkpoint()', 'EXECUTE') AS may_read_control";

/// What the control file says. All may call these by default, but not everywhere.
const CONTROL: &str = "
SELECT system_identifier, timeline_id FROM pg_control_system(), pg_control_checkpoint()";

/// Reads all of [`Server`].
pub async fn server(client: &Client) -> Result<Server, QueryError> {
    let action = "read the server's settings";
    let row = client
        .query_typed_one(
            SERVER,
            &[] as &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)],
        )
        .await
        .map_err(QueryError::when(action))?;
    let mut server = from_row(&row).map_err(QueryError::when(action))?;
    if row
        .try_get("may_read_control")
        .map_err(QueryError::when(action))?
    {
        let control = read(client, "read the control file", CONTROL, &[], |row| {
            Ok((row.try_get::<_, i64>(0)?, row.try_get::<_, i32>(1)?))
        });
        if let Some((identifier, timeline)) = control.await?.pop() {
            // An unsigned number in a signed column.
            server.system_identifier = Some(identifier.cast_unsigned());
            // That of the last checkpoint: after a promotion the WAL's own name knows better.
            server.timeline = server.timeline.or(u32::try_from(timeline).ok());
        }
    }
    Ok(server)
}

fn from_row(row: &Row) -> Result<Server, tokio_postgres::Error> {
    let number = |column| -> Result<u32, tokio_postgres::Error> {
        Ok(row.try_get::<_, i32>(column)?.unsigned_abs())
    };
    let wal_keep: Option<i64> = row.try_get("max_slot_wal_keep_mb")?;
    let idle: Option<i64> = row.try_get("idle_slot_timeout_s")?;
    let timeline: Option<&str> = row.try_get("timeline")?;
    Ok(Server {
        version_num: number("version_num")?,
        system_identifier: None,
        timeline: timeline.and_then(|digits| u32::from_str_radix(digits, 16).ok()),
        postmaster_start_us: row.try_get("postmaster_start_us")?,
        database: row.try_get("database")?,
        encoding: row.try_get("encoding")?,
        wal_level: row.try_get("wal_level")?,
        max_slot_wal_keep_bytes: wal_keep
            .and_then(|mb| u64::try_from(mb).ok())
            .map(|mb| mb.saturating_mul(1 << 20)),
        max_replication_slots: number("max_replication_slots")?,
        max_wal_senders: number("max_wal_senders")?,
        idle_slot_timeout_s: idle.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0),
        in_recovery: row.try_get("in_recovery")?,
        flush_lsn: lsn(row, "flush_lsn")?.unwrap_or_default(),
    })
}
