//! Checks of the server, the role and the names.

use tokio_postgres::{Client, Row};

use super::problem::{Found, Problem};
use crate::postgres::catalog::{QueryError, Server, read};
use crate::postgres::publication::PublicationNames;

/// Postgres cuts longer names off (NAMEDATALEN).
const NAME_BYTES_MAX: usize = 63;

/// The role of the control connection, and what is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub name: String,
    pub may_replicate: bool,
    pub is_rds: bool,
    /// CREATE on the database.
    pub may_create: bool,
    pub slots_used: u32,
    pub senders_used: u32,
}

const ROLE: &str = "
SELECT r.rolname::text AS name,
       r.rolsuper OR r.rolreplication OR coalesce(pg_has_role(rds.oid, 'MEMBER'), false)
         AS may_replicate,
       rds.oid IS NOT NULL AS is_rds,
       has_database_privilege(current_database(), 'CREATE') AS may_create,
       (SELECT count(*) FROM pg_replication_slots)::int AS slots_used,
       (SELECT count(*) FROM pg_stat_replication)::int AS senders_used
FROM pg_roles r
LEFT JOIN pg_roles rds ON rds.rolname = 'rds_replication'
WHERE r.rolname = current_user";

pub(super) async fn role(client: &Client) -> Result<Option<Role>, QueryError> {
    let mut roles = read(client, "read the role's rights", ROLE, &[], from_row).await?;
    Ok(roles.pop())
}

fn from_row(row: &Row) -> Result<Role, tokio_postgres::Error> {
    Ok(Role {
        name: row.try_get("name")?,
        may_replicate: row.try_get("may_replicate")?,
        is_rds: row.try_get("is_rds")?,
        may_create: row.try_get("may_create")?,
        slots_used: row.try_get::<_, i32>("slots_used")?.unsigned_abs(),
        senders_used: row.try_get::<_, i32>("senders_used")?.unsigned_abs(),
    })
}

/// Whether the slot is there already, and somebody streams from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotState {
    Absent,
    Idle,
    Active,
}

pub(super) fn check_server(server: &Server, role: &Role, slot: SlotState) -> Vec<Problem> {
    let mut found = Vec::new();
    let major = server.major();
    if major < 14 {
        found.push(Found::ServerTooOld { major });
    }
    if server.in_recovery {
        found.push(Found::Standby);
    }
    if server.wal_level != "logical" {
        found.push(Found::WalLevel {
            found: server.wal_level.clone(),
        });
    }
    if !role.may_replicate {
        found.push(Found::RoleMayNotReplicate {
            role: role.name.clone(),
            is_rds: role.is_rds,
        });
    }
    let max = server.max_replication_slots;
    if slot == SlotState::Absent && role.slots_used >= max {
        found.push(Found::NoSlotLeft { max });
    }
    // An active slot already has its WAL sender.
    let max = server.max_wal_senders;
    if slot != SlotState::Active && role.senders_used >= max {
        found.push(Found::NoSenderLeft { max });
    }
    at("source.url", found)
}

pub(super) fn check_names(names: &PublicationNames) -> Vec<Problem> {
    let slot = slot_name_fault(&names.slot).map(|why| Found::SlotName {
        name: names.slot.clone(),
        why,
    });
    let too_long = names.insert.len() > NAME_BYTES_MAX;
    let publication = too_long.then(|| Found::PublicationName {
        name: names.all.clone(),
        why: "with \"_insert\" after it, it is longer than 63 bytes",
    });
    let mut problems = at("source.slot", slot);
    problems.extend(at("source.publication", publication));
    problems
}

/// <https://www.postgresql.org/docs/current/warm-standby.html#STREAMING-REPLICATION-SLOTS-MANIPULATION>
fn slot_name_fault(name: &str) -> Option<&'static str> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > NAME_BYTES_MAX {
        Some("it is longer than 63 bytes")
    } else if !name.bytes().all(is_plain) {
        Some("it has characters that Postgres does not take in it")
    } else if name == "pg_conflict_detection" {
        Some("it is reserved (PostgreSQL 19)")
    } else if name.starts_with("pg_") && name.contains("_sync_") {
        Some("it is a name that subscriptions give their own slots")
    } else {
        None
    }
}

pub(super) fn at(place: &str, found: impl IntoIterator<Item = Found>) -> Vec<Problem> {
    let problem = |found| Problem {
        place: place.to_owned(),
        found,
    };
    found.into_iter().map(problem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;

    #[test]
    fn a_server_that_allows_nothing_says_so_at_once() {
        let server = Server {
            version_num: 130_022,
            system_identifier: None,
            timeline: None,
            postmaster_start_us: 0,
            database: "app".into(),
            encoding: "UTF8".into(),
            wal_level: "replica".into(),
            max_slot_wal_keep_bytes: None,
            max_replication_slots: 10,
            max_wal_senders: 10,
            idle_slot_timeout_s: None,
            in_recovery: true,
            flush_lsn: Lsn::ZERO,
        };
        let role = Role {
            name: "app user".into(),
            may_replicate: false,
            is_rds: false,
            may_create: false,
            slots_used: 10,
            senders_used: 10,
        };
        let problems = check_server(&server, &role, SlotState::Absent);
        let texts: Vec<String> = problems
            .iter()
            .map(|problem| {
                let hint = problem.found.hint().unwrap_or_default();
                format!("{problem}\n  {hint}\n  {}", problem.found.sql().join(" "))
            })
            .collect();
        insta::assert_snapshot!(texts.join("\n"), @r#"
source.url: the server is PostgreSQL 13, which is older than 14
  use PostgreSQL 14 or later
  
source.url: the server is a standby
  connect to the primary
  
source.url: wal_level is replica, not logical
  then restart the server; on a managed service set its parameter for logical replication
  ALTER SYSTEM SET wal_level = 'logical';
source.url: role "app user" may not replicate
  
  ALTER ROLE "app user" REPLICATION;
source.url: all 10 replication slots are in use (max_replication_slots)
  drop a slot that nobody reads (pg_replication_slots), or raise max_replication_slots and restart the server
  
source.url: all 10 WAL senders are in use (max_wal_senders)
  raise max_wal_senders and restart the server
"#);
    }

    #[test]
    fn names_that_postgres_would_refuse_or_cut_off() {
        for name in ["walhook", "a_1", &"x".repeat(63)] {
            assert_eq!(slot_name_fault(name), None, "{name}");
        }
        let long = "x".repeat(64);
        for name in ["", "Walhook", "a-b", "ä", &long, "pg_conflict_detection"] {
            assert!(slot_name_fault(name).is_some(), "{name}");
        }
        assert!(check_names(&PublicationNames::new(&"p".repeat(56), "s")).is_empty());
        assert_eq!(
            check_names(&PublicationNames::new(&"p".repeat(57), "S")).len(),
            2
        );
    }
}
