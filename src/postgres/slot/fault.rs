//! What makes a slot unusable, whoever it belongs to. Pure.

use super::facts::{SlotFacts, WalStatus};
use super::verdict::Gap;

/// Why nothing can be read from a slot, whoever it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotFault {
    #[error("is a physical slot")]
    Physical,
    #[error("is a temporary slot of another session")]
    Temporary,
    #[error("uses output plugin \"{found}\", expected \"pgoutput\"")]
    Plugin { found: String },
    #[error("belongs to database \"{found}\", not to \"{expected}\"")]
    Database { found: String, expected: String },
    #[error("was invalidated ({reason}): WAL or catalog rows that it needs are gone")]
    Invalidated { reason: String },
    /// It would send PREPARE before a transaction is known to be committed.
    #[error("was created with two_phase, which walhook does not read")]
    TwoPhase,
}

impl SlotFacts {
    /// Why nothing can be read from it in `database`.
    pub fn fault(&self, database: &str) -> Option<SlotFault> {
        let Some(plugin) = &self.plugin else {
            return Some(SlotFault::Physical);
        };
        if self.is_temporary {
            return Some(SlotFault::Temporary);
        }
        if plugin != "pgoutput" {
            let found = plugin.clone();
            return Some(SlotFault::Plugin { found });
        }
        if let Some(found) = self.database.as_ref().filter(|found| *found != database) {
            return Some(SlotFault::Database {
                found: found.clone(),
                expected: database.to_owned(),
            });
        }
        if let Some(reason) = self.invalidation() {
            return Some(SlotFault::Invalidated { reason });
        }
        self.is_two_phase.then_some(SlotFault::TwoPhase)
    }

    /// Why the slot is lost for good, if it is. Versions before 17 give no reason.
    pub fn invalidation(&self) -> Option<String> {
        let lost = self.wal_status == Some(WalStatus::Lost);
        let reason = self.invalidation_reason.clone();
        reason.or_else(|| lost.then(|| "wal_removed".to_owned()))
    }
}

impl SlotFault {
    /// What a person can do about the slot of that name.
    pub fn remedy(&self, slot: &str, gap: Option<Gap>) -> String {
        match self {
            SlotFault::Physical
            | SlotFault::Temporary
            | SlotFault::Plugin { .. }
            | SlotFault::Database { .. } => match gap {
                // It has taken the name of one that was ours.
                Some(gap) => format!(
                    "it is not the one that walhook had. When nobody needs it, SELECT \
                     pg_drop_replication_slot('{slot}'), then `walhook adopt` creates it anew and \
                     records the gap, {gap} so far; else give walhook a slot of its own \
                     (source.slot), which begins from now"
                ),
                None => "give walhook a slot of its own: change source.slot".to_owned(),
            },
            SlotFault::Invalidated { reason } => match gap {
                Some(gap) => format!(
                    "`walhook adopt` drops slot \"{slot}\", creates it anew and records the gap, \
                     {gap} so far{}",
                    prevention(reason)
                ),
                None => "drop the slot; walhook creates it anew".to_owned(),
            },
            SlotFault::TwoPhase => match gap {
                Some(gap) => format!(
                    "drop the slot; then `walhook adopt` creates it anew and records the gap, \
                     {gap} so far"
                ),
                None => "drop the slot and let walhook create it, or change source.slot".to_owned(),
            },
        }
    }
}

/// What keeps it from happening again, if we know.
fn prevention(reason: &str) -> &'static str {
    match reason {
        "wal_removed" => "; a larger max_slot_wal_keep_size keeps it from happening again",
        "idle_timeout" => "; a longer idle_replication_slot_timeout keeps it from happening again",
        "rows_removed" | "conflict" => {
            "; hot_standby_feedback on the standby keeps it from happening again"
        }
        "wal_level_insufficient" => "; wal_level must stay logical",
        _ => "",
    }
}
