//! What is wrong: with the words for the log and the pages, and a kind for the metric. Pure.

use std::fmt::Write as _;

use crate::postgres::preflight::Problem;
use crate::postgres::slot::{Holder, OpenTransaction, SlotFacts, WalStatus};
use crate::postgres::watch::Observed;

/// So much WAL that is confirmed is kept before an open transaction is named.
pub const HELD_BYTES: u64 = 64 << 20;
/// So much WAL that is not confirmed is told.
const BEHIND_BYTES: u64 = 1 << 30;
/// The server notes every 15 s which transactions are open: one that is younger need not
/// be what keeps WAL.
const HELD_SECONDS: u64 = 15;

/// Something that a person should mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub kind: &'static str,
    /// The same while it lasts, whatever its numbers do.
    pub key: String,
    /// What it is, a hint, and the SQL that mends it.
    pub text: String,
}

impl Trouble {
    pub fn of(problem: &Problem) -> Self {
        Trouble {
            kind: problem.found.kind(),
            key: problem.to_string(),
            text: problem.full(),
        }
    }

    /// `key` and `text` begin alike.
    pub fn new(kind: &'static str, key: String, hint: &str, sql: &[String]) -> Self {
        let mut text = format!("{key}\n  hint: {hint}");
        for statement in sql {
            let _ = write!(text, "\n  {statement}");
        }
        Trouble { kind, key, text }
    }

    /// The first line.
    pub fn headline(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }
}

/// The server may soon remove WAL that the slot needs.
pub fn wal_at_risk(observed: &Observed) -> Option<Trouble> {
    let slot = observed.slot.as_ref()?;
    let name = &slot.name;
    let keep = observed.wal_keep_bytes?;
    let safe = slot.safe_wal_bytes.unwrap_or(i64::MAX);
    let is_short = safe < i64::try_from(keep / 4).unwrap_or(i64::MAX);
    let what = match slot.wal_status {
        Some(WalStatus::Unreserved) => {
            "the next checkpoint may remove WAL that it needs (wal_status unreserved)".to_owned()
        }
        Some(WalStatus::Lost) | None => return None,
        Some(WalStatus::Reserved | WalStatus::Extended | WalStatus::Other) if is_short => format!(
            "less than a quarter of max_slot_wal_keep_size is left, {} MiB",
            safe.max(0) >> 20
        ),
        Some(WalStatus::Reserved | WalStatus::Extended | WalStatus::Other) => return None,
    };
    let twice_mb = (keep >> 20).saturating_mul(2).max(1024);
    let sql = [
        format!("ALTER SYSTEM SET max_slot_wal_keep_size = '{twice_mb}MB';"),
        "SELECT pg_reload_conf();".to_owned(),
    ];
    let trouble = Trouble::new(
        "wal_at_risk",
        format!("replication slot \"{name}\" may be lost: {what}"),
        "`walhook status` says what waits; mend that, or let the server keep more",
        &sql,
    );
    Some(Trouble {
        key: format!("{name} {:?}", slot.wal_status),
        ..trouble
    })
}

/// An open transaction keeps WAL that is confirmed long since.
pub fn wal_held(observed: &Observed, open: &OpenTransaction, age_s: u64) -> Option<Trouble> {
    let slot = observed.slot.as_ref()?;
    let held = held_bytes(slot)?;
    if held < HELD_BYTES || age_s < HELD_SECONDS {
        return None;
    }
    let name = &slot.name;
    let restart = slot.restart_lsn?;
    let (key, sql) = end(open);
    let trouble = Trouble::new(
        "open_transaction",
        format!(
            "the server keeps {} MiB of WAL for slot \"{name}\" that is confirmed, from {restart} \
             on: an open transaction may need it, {open}",
            held >> 20
        ),
        "end it, if nobody waits for it; walhook itself is not behind",
        &sql,
    );
    Some(Trouble { key, ..trouble })
}

/// Much WAL is not confirmed.
pub fn wal_behind(observed: &Observed) -> Option<Trouble> {
    let slot = observed.slot.as_ref()?;
    let behind = observed.flush_lsn.bytes_since(slot.confirmed_flush?);
    if behind < BEHIND_BYTES {
        return None;
    }
    let name = &slot.name;
    let trouble = Trouble::new(
        "wal_behind",
        format!("slot \"{name}\" is {} MiB of WAL behind", behind >> 20),
        "`walhook status` says what waits, and for which endpoint",
        &[],
    );
    let key = "behind".to_owned();
    Some(Trouble { key, ..trouble })
}

/// WAL that is kept although it is confirmed.
pub fn held_bytes(slot: &SlotFacts) -> Option<u64> {
    let (confirmed, restart) = (slot.confirmed_flush?, slot.restart_lsn?);
    Some(confirmed.bytes_since(restart))
}

fn end(open: &OpenTransaction) -> (String, Vec<String>) {
    match &open.holder {
        Holder::Session { pid, .. } => (
            format!("open transaction of {pid}"),
            vec![format!("SELECT pg_terminate_backend({pid});")],
        ),
        Holder::Prepared { gid } => {
            let gid = crate::postgres::catalog::quote::literal(gid);
            (
                format!("prepared transaction {gid}"),
                vec![
                    format!("COMMIT PREPARED {gid};"),
                    format!("-- or: ROLLBACK PREPARED {gid};"),
                ],
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;

    const MIB: u64 = 1 << 20;

    fn observed(status: WalStatus, safe: Option<i64>, held: u64) -> Observed {
        Observed {
            slot: Some(SlotFacts {
                name: "walhook".into(),
                plugin: Some("pgoutput".into()),
                database: Some("app".into()),
                active_pid: Some(1),
                active_application: None,
                confirmed_flush: Some(Lsn(held + 16)),
                restart_lsn: Some(Lsn(16)),
                wal_status: Some(status),
                safe_wal_bytes: safe,
                invalidation_reason: None,
                is_temporary: false,
                is_two_phase: false,
                retained_bytes: Some(held),
                catalog_xmin_age: None,
            }),
            flush_lsn: Lsn(held + 16),
            wal_keep_bytes: safe.map(|_| 1024 * MIB),
            catalog: String::new(),
        }
    }

    #[test]
    fn wal_at_risk_is_told_before_it_is_removed() {
        let risk = |status, safe| wal_at_risk(&observed(status, safe, 0));
        let mib = |n: i64| Some(n << 20);
        assert_eq!(risk(WalStatus::Extended, None), None);
        assert_eq!(risk(WalStatus::Extended, mib(256)), None);
        let short = risk(WalStatus::Extended, mib(255)).unwrap();
        insta::assert_snapshot!(short.text, @r#"
        replication slot "walhook" may be lost: less than a quarter of max_slot_wal_keep_size is left, 255 MiB
          hint: `walhook status` says what waits; mend that, or let the server keep more
          ALTER SYSTEM SET max_slot_wal_keep_size = '2048MB';
          SELECT pg_reload_conf();
        "#);
        assert_eq!(short.key, risk(WalStatus::Extended, mib(100)).unwrap().key);
        let soon = risk(WalStatus::Unreserved, mib(-16)).unwrap();
        assert!(soon.headline().ends_with("(wal_status unreserved)"));
    }

    #[test]
    fn a_slot_far_behind_is_told() {
        let mut observed = observed(WalStatus::Extended, None, 0);
        observed.flush_lsn = Lsn(16 + 1024 * MIB - 1);
        assert_eq!(wal_behind(&observed), None);
        observed.flush_lsn = Lsn(16 + 1024 * MIB);
        let behind = wal_behind(&observed).unwrap();
        assert_eq!(
            behind.headline(),
            "slot \"walhook\" is 1024 MiB of WAL behind"
        );
    }

    #[test]
    fn an_open_transaction_is_named_once_it_keeps_much() {
        let open = OpenTransaction {
            holder: Holder::Prepared { gid: "it's".into() },
            age_s: Some(20),
            xid_age: 3,
        };
        let held = |bytes, age_s| {
            let observed = observed(WalStatus::Reserved, None, bytes);
            wal_held(&observed, &open, age_s)
        };
        assert_eq!(held(64 * MIB - 1, 20), None);
        assert_eq!(held(64 * MIB, 14), None);
        let told = held(64 * MIB, 15).unwrap();
        insta::assert_snapshot!(told.text, @r#"
        the server keeps 64 MiB of WAL for slot "walhook" that is confirmed, from 0/10 on: an open transaction may need it, prepared transaction "it\'s", open for 20 s
          hint: end it, if nobody waits for it; walhook itself is not behind
          COMMIT PREPARED 'it''s';
          -- or: ROLLBACK PREPARED 'it''s';
        "#);
        assert_eq!(told.key, held(65 * MIB, 99).unwrap().key);
    }
}
