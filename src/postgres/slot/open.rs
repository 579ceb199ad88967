//! Open write transactions: the creation of a slot waits for every one of them,
//! and the oldest one pins the WAL that is kept, however little lag there is.

use std::fmt;

use tokio_postgres::{Client, Row};

use crate::postgres::catalog::{QueryError, read};

/// A transaction that has written and is still open, in any database of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    pub holder: Holder,
    /// `None` where the role may not see it (it is not in `pg_read_all_stats`).
    pub age_s: Option<u64>,
    /// How many transactions have begun since.
    pub xid_age: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    Session {
        pid: i32,
        application_name: String,
        user: Option<String>,
    },
    /// A transaction that was prepared and never committed; no session holds it.
    Prepared { gid: String },
}

impl fmt::Display for OpenTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Holder::Session {
                pid,
                application_name,
                user,
            } => {
                write!(f, "pid {pid}")?;
                if !application_name.is_empty() {
                    write!(f, " of \"{}\"", application_name.escape_debug())?;
                }
                if let Some(user) = user {
                    write!(f, " by user \"{}\"", user.escape_debug())?;
                }
            }
            Holder::Prepared { gid } => {
                write!(f, "prepared transaction \"{}\"", gid.escape_debug())?;
            }
        }
        match self.age_s {
            Some(age) => write!(f, ", open for {age} s"),
            None => Ok(()),
        }
    }
}

/// A writing transaction holds an exclusive lock on its own xid, which all may
/// see; `pg_stat_activity` hides the times of others.
const OPEN: &str = "
SELECT * FROM (
    -- a subtransaction has an xid and a lock of its own
    SELECT DISTINCT ON (l.pid, p.gid)
           l.pid, a.application_name, a.usename::text AS user_name, p.gid,
           extract(epoch FROM clock_timestamp() - coalesce(p.prepared, a.xact_start))::int8
             AS age_s,
           age(l.transactionid) AS xid_age
    FROM pg_locks l
    LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    LEFT JOIN pg_prepared_xacts p ON l.pid IS NULL AND p.transaction = l.transactionid
    WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted
      AND l.pid IS DISTINCT FROM pg_backend_pid()
      AND (l.pid IS NOT NULL OR p.gid IS NOT NULL)
    ORDER BY l.pid, p.gid, age(l.transactionid) DESC
) AS open
ORDER BY xid_age DESC, pid
LIMIT 100";

/// Those transactions, the oldest first, at most a hundred.
pub async fn blockers(client: &Client) -> Result<Vec<OpenTransaction>, QueryError> {
    read(client, "read open transactions", OPEN, &[], from_row).await
}

fn from_row(row: &Row) -> Result<OpenTransaction, tokio_postgres::Error> {
    let name: Option<String> = row.try_get("application_name")?;
    let age: Option<i64> = row.try_get("age_s")?;
    let xid_age: i32 = row.try_get("xid_age")?;
    let holder = match row.try_get::<_, Option<i32>>("pid")? {
        Some(pid) => Holder::Session {
            pid,
            application_name: name.unwrap_or_default(),
            user: row.try_get("user_name")?,
        },
        None => Holder::Prepared {
            gid: row.try_get("gid")?,
        },
    };
    Ok(OpenTransaction {
        holder,
        age_s: age.and_then(|age| u64::try_from(age).ok()),
        xid_age: u32::try_from(xid_age).unwrap_or(0),
    })
}
