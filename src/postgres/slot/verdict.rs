//! What the slot that was found means, given what the state file remembers. Pure.

use std::fmt;

use super::facts::SlotFacts;
use super::fault::SlotFault;
use crate::lsn::Lsn;

/// What the state file remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub slot: String,
    pub checkpoint: Option<Marked>,
    /// What was read of the WAL, which may be more than the checkpoint.
    pub reached: Lsn,
    /// Written before the slot was created.
    pub intention: Option<Marked>,
}

/// A position in the WAL of one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    pub system_identifier: u64,
    pub lsn: Lsn,
}

/// WAL that would be skipped: from where we were to where the slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub from: Lsn,
    pub to: Lsn,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.from, self.to)
    }
}

/// What is to be done about the slot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotVerdict {
    #[error("there is neither a slot nor a checkpoint")]
    Fresh,
    #[error("the slot is at or behind the checkpoint")]
    Ours,
    /// The daemon ended between creating the slot and its first checkpoint.
    #[error("the slot was created by walhook and nothing was read from it yet")]
    OursByIntention,
    #[error("replication slot \"{slot}\" is still being created{}", by(*.pid))]
    InCreation { slot: String, pid: Option<i32> },
    #[error(
        "replication slot \"{slot}\" does not exist, but there is a checkpoint at {}: \
         what was committed since, the WAL {gap} so far, can no longer be read", .gap.from
    )]
    Missing { slot: String, gap: Gap },
    #[error(
        "replication slot \"{slot}\" is ahead of the checkpoint: \
         it was recreated or moved, or the state file is an older copy, and the WAL {gap} would \
         be skipped"
    )]
    Ahead { slot: String, gap: Gap },
    #[error(
        "replication slot \"{slot}\" exists, but nothing in the state file says that walhook \
         created it{}", by(*.pid)
    )]
    NotOurs {
        slot: String,
        pid: Option<i32>,
        confirmed: Lsn,
    },
    #[error("replication slot \"{slot}\" {fault}")]
    Unusable {
        slot: String,
        fault: SlotFault,
        /// What is lost with the slot so far; `None` without a checkpoint.
        gap: Option<Gap>,
    },
    #[error(
        "the database belongs to another cluster: its system identifier is {found}, \
         the state file's is {expected}"
    )]
    OtherCluster {
        expected: u64,
        found: u64,
        /// Where the expected one was left.
        left_at: Lsn,
    },
    #[error(
        "the cluster was restored to an earlier state: its WAL ends at {flush}, \
         but it was read up to {reached}"
    )]
    RestoredCluster { flush: Lsn, reached: Lsn },
}

/// What the slot and the cluster are found to be, against what is `expected`.
/// `system_identifier` is the server's, `flush` the end of its WAL.
pub fn compare(
    expected: &Expected,
    slot: Option<&SlotFacts>,
    database: &str,
    system_identifier: u64,
    flush: Lsn,
) -> SlotVerdict {
    let name = expected.slot.clone();
    let checkpoint = expected.checkpoint.map(|marked| marked.lsn);
    // The cluster first: about a slot of another one there is nothing to say.
    let remembered = expected.checkpoint.or(expected.intention);
    if let Some(marked) = remembered.filter(|m| m.system_identifier != system_identifier) {
        return SlotVerdict::OtherCluster {
            expected: marked.system_identifier,
            found: system_identifier,
            left_at: marked.lsn,
        };
    }
    let reached = expected.reached.max(checkpoint.unwrap_or_default());
    if flush < reached {
        return SlotVerdict::RestoredCluster { flush, reached };
    }
    let lost = checkpoint.map(|from| Gap { from, to: flush });
    let Some(slot) = slot else {
        return match lost {
            Some(gap) => SlotVerdict::Missing { slot: name, gap },
            None => SlotVerdict::Fresh,
        };
    };
    if let Some(fault) = slot.fault(database) {
        return SlotVerdict::Unusable {
            slot: name,
            fault,
            gap: lost,
        };
    }
    let pid = slot.active_pid;
    let Some(confirmed) = slot.confirmed_flush else {
        return SlotVerdict::InCreation { slot: name, pid };
    };
    match (checkpoint, expected.intention) {
        (Some(checkpoint), _) if confirmed > checkpoint => SlotVerdict::Ahead {
            slot: name,
            gap: Gap {
                from: checkpoint,
                to: confirmed,
            },
        },
        (Some(_), _) => SlotVerdict::Ours,
        // One that was there before we wanted to create it is not ours.
        (None, Some(intention)) if confirmed >= intention.lsn => SlotVerdict::OursByIntention,
        (None, _) => SlotVerdict::NotOurs {
            slot: name,
            pid,
            confirmed,
        },
    }
}

impl SlotVerdict {
    /// It stops the daemon until a person has decided (exit code 69).
    pub fn is_definite(&self) -> bool {
        match self {
            SlotVerdict::Fresh
            | SlotVerdict::Ours
            | SlotVerdict::OursByIntention
            | SlotVerdict::InCreation { .. } => false,
            SlotVerdict::Missing { .. }
            | SlotVerdict::Ahead { .. }
            | SlotVerdict::NotOurs { .. }
            | SlotVerdict::Unusable { .. }
            | SlotVerdict::OtherCluster { .. }
            | SlotVerdict::RestoredCluster { .. } => true,
        }
    }

    /// What a person can do about it; `None` when there is nothing to do.
    pub fn remedy(&self) -> Option<String> {
        let adopt = "`walhook adopt`";
        Some(match self {
            SlotVerdict::Fresh | SlotVerdict::Ours | SlotVerdict::OursByIntention => return None,
            SlotVerdict::InCreation { .. } => {
                "wait; creating a slot waits for every open write transaction".to_owned()
            }
            SlotVerdict::Missing { .. } => format!(
                "after a failover, see whether the old primary still has the slot; else {adopt} \
                 creates it anew and records the gap"
            ),
            SlotVerdict::Ahead { gap, .. } => format!(
                "find out who moved it, or bring the newer state file back; {adopt} goes on from \
                 {} and records the gap",
                gap.to
            ),
            SlotVerdict::NotOurs {
                slot, pid: Some(_), ..
            } => format!(
                "another walhook or another consumer reads from it: give this one a slot of its \
                 own (source.slot); if \"{slot}\" is yours, stop the other and run {adopt}"
            ),
            SlotVerdict::NotOurs {
                pid: None,
                confirmed,
                ..
            } => format!(
                "if the state file was lost or moved, bring it back; {adopt} goes on from the \
                 slot's position, {confirmed}, all before which was delivered or is lost with the \
                 file; else give walhook a slot of its own (source.slot)"
            ),
            SlotVerdict::Unusable { slot, fault, gap } => fault.remedy(slot, *gap),
            SlotVerdict::OtherCluster { left_at, .. } => format!(
                "check source.url; a copy of a database must not send the original's webhooks. \
                 After pg_upgrade, or to leave the old cluster for this one, {adopt}; what was \
                 committed there from {left_at} on is then not sent"
            ),
            SlotVerdict::RestoredCluster { flush, reached } => format!(
                "webhooks for transactions in [{flush}, {reached}) may have been sent, and these \
                 are gone; tell the receivers, then {adopt} goes on from the restored state"
            ),
        })
    }
}

fn by(pid: Option<i32>) -> String {
    match pid {
        Some(pid) => format!(" (active for pid {pid})"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::WalStatus;
    use super::*;

    const HERE: u64 = 7_000_000_000_000_000_001;

    fn facts() -> SlotFacts {
        SlotFacts {
            name: "walhook".into(),
            plugin: Some("pgoutput".into()),
            database: Some("app".into()),
            active_pid: None,
            active_application: None,
            confirmed_flush: Some(Lsn(0x200)),
            restart_lsn: Some(Lsn(0x180)),
            wal_status: Some(WalStatus::Reserved),
            safe_wal_bytes: None,
            invalidation_reason: None,
            is_temporary: false,
            is_two_phase: false,
            retained_bytes: Some(0),
            catalog_xmin_age: Some(1),
        }
    }

    fn marked(lsn: u64) -> Option<Marked> {
        Some(Marked {
            system_identifier: HERE,
            lsn: Lsn(lsn),
        })
    }

    fn verdict(
        checkpoint: Option<Marked>,
        intention: Option<Marked>,
        slot: Option<&SlotFacts>,
    ) -> SlotVerdict {
        let expected = Expected {
            slot: "walhook".into(),
            checkpoint,
            reached: Lsn::ZERO,
            intention,
        };
        compare(&expected, slot, "app", HERE, Lsn(0x1000))
    }

    #[test]
    fn a_slot_is_ours_at_or_behind_the_checkpoint() {
        let slot = facts();
        assert_eq!(verdict(None, None, None), SlotVerdict::Fresh);
        assert_eq!(verdict(None, marked(0x100), None), SlotVerdict::Fresh);
        assert_eq!(verdict(marked(0x200), None, Some(&slot)), SlotVerdict::Ours);
        assert_eq!(verdict(marked(0x300), None, Some(&slot)), SlotVerdict::Ours);
        let intended = verdict(None, marked(0x200), Some(&slot));
        assert_eq!(intended, SlotVerdict::OursByIntention);
        let creating = SlotFacts {
            confirmed_flush: None,
            active_pid: Some(7),
            ..facts()
        };
        let creating = verdict(None, marked(0x200), Some(&creating));
        assert!(!creating.is_definite(), "{creating}");
    }

    #[test]
    fn a_slot_older_than_the_intention_is_not_ours() {
        let not_ours = SlotVerdict::NotOurs {
            slot: "walhook".into(),
            pid: None,
            confirmed: Lsn(0x200),
        };
        assert_eq!(verdict(None, marked(0x201), Some(&facts())), not_ours);
        assert_eq!(verdict(None, None, Some(&facts())), not_ours);
    }

    #[test]
    fn each_definite_verdict_has_its_own_words() {
        let lost = SlotFacts {
            wal_status: Some(WalStatus::Lost),
            restart_lsn: None,
            ..facts()
        };
        let idle = SlotFacts {
            invalidation_reason: Some("idle_timeout".into()),
            ..facts()
        };
        let removed = SlotFacts {
            invalidation_reason: Some("rows_removed".into()),
            ..facts()
        };
        let plugin = |plugin: Option<&str>| SlotFacts {
            plugin: plugin.map(str::to_owned),
            ..facts()
        };
        let database = SlotFacts {
            database: Some("shop".into()),
            ..facts()
        };
        let temporary = SlotFacts {
            is_temporary: true,
            ..facts()
        };
        let two_phase = SlotFacts {
            is_two_phase: true,
            ..facts()
        };
        let active = SlotFacts {
            active_pid: Some(4711),
            ..facts()
        };
        let elsewhere = Some(Marked {
            system_identifier: 6_000_000_000_000_000_009,
            lsn: Lsn(0x100),
        });
        let verdicts = [
            verdict(marked(0x300), None, None),
            verdict(marked(0x100), None, Some(&facts())),
            verdict(None, None, Some(&facts())),
            verdict(None, None, Some(&active)),
            verdict(elsewhere, None, Some(&facts())),
            verdict(None, elsewhere, None),
            verdict(marked(0x2000), None, Some(&facts())),
            compare(
                &Expected {
                    slot: "walhook".into(),
                    checkpoint: marked(0x200),
                    reached: Lsn(0x1008),
                    intention: None,
                },
                Some(&facts()),
                "app",
                HERE,
                Lsn(0x1000),
            ),
            verdict(marked(0x200), None, Some(&lost)),
            verdict(None, None, Some(&idle)),
            verdict(marked(0x200), None, Some(&idle)),
            verdict(marked(0x200), None, Some(&removed)),
            verdict(None, None, Some(&plugin(Some("wal2json")))),
            verdict(None, None, Some(&plugin(None))),
            verdict(marked(0x200), None, Some(&database)),
            verdict(None, None, Some(&temporary)),
            verdict(None, None, Some(&two_phase)),
        ];
        let texts: Vec<String> = verdicts
            .iter()
            .map(|verdict| {
                assert!(verdict.is_definite());
                format!("{verdict}\n  {}", verdict.remedy().unwrap_or_default())
            })
            .collect();
        insta::assert_snapshot!(texts.join("\n"), @r#"
replication slot "walhook" does not exist, but there is a checkpoint at 0/300: what was committed since, the WAL [0/300, 0/1000) so far, can no longer be read
  after a failover, see whether the old primary still has the slot; else `walhook adopt` creates it anew and records the gap
replication slot "walhook" is ahead of the checkpoint: it was recreated or moved, or the state file is an older copy, and the WAL [0/100, 0/200) would be skipped
  find out who moved it, or bring the newer state file back; `walhook adopt` goes on from 0/200 and records the gap
replication slot "walhook" exists, but nothing in the state file says that walhook created it
  if the state file was lost or moved, bring it back; `walhook adopt` goes on from the slot's position, 0/200, all before which was delivered or is lost with the file; else give walhook a slot of its own (source.slot)
replication slot "walhook" exists, but nothing in the state file says that walhook created it (active for pid 4711)
  another walhook or another consumer reads from it: give this one a slot of its own (source.slot); if "walhook" is yours, stop the other and run `walhook adopt`
the database belongs to another cluster: its system identifier is 7000000000000000001, the state file's is 6000000000000000009
  check source.url; a copy of a database must not send the original's webhooks. After pg_upgrade, or to leave the old cluster for this one, `walhook adopt`; what was committed there from 0/100 on is then not sent
the database belongs to another cluster: its system identifier is 7000000000000000001, the state file's is 6000000000000000009
  check source.url; a copy of a database must not send the original's webhooks. After pg_upgrade, or to leave the old cluster for this one, `walhook adopt`; what was committed there from 0/100 on is then not sent
the cluster was restored to an earlier state: its WAL ends at 0/1000, but it was read up to 0/2000
  webhooks for transactions in [0/1000, 0/2000) may have been sent, and these are gone; tell the receivers, then `walhook adopt` goes on from the restored state
the cluster was restored to an earlier state: its WAL ends at 0/1000, but it was read up to 0/1008
  webhooks for transactions in [0/1000, 0/1008) may have been sent, and these are gone; tell the receivers, then `walhook adopt` goes on from the restored state
replication slot "walhook" was invalidated (wal_removed): WAL or catalog rows that it needs are gone
  `walhook adopt` drops slot "walhook", creates it anew and records the gap, [0/200, 0/1000) so far; a larger max_slot_wal_keep_size keeps it from happening again
replication slot "walhook" was invalidated (idle_timeout): WAL or catalog rows that it needs are gone
  drop the slot; walhook creates it anew
replication slot "walhook" was invalidated (idle_timeout): WAL or catalog rows that it needs are gone
  `walhook adopt` drops slot "walhook", creates it anew and records the gap, [0/200, 0/1000) so far; a longer idle_replication_slot_timeout keeps it from happening again
replication slot "walhook" was invalidated (rows_removed): WAL or catalog rows that it needs are gone
  `walhook adopt` drops slot "walhook", creates it anew and records the gap, [0/200, 0/1000) so far; hot_standby_feedback on the standby keeps it from happening again
replication slot "walhook" uses output plugin "wal2json", expected "pgoutput"
  give walhook a slot of its own: change source.slot
replication slot "walhook" is a physical slot
  give walhook a slot of its own: change source.slot
replication slot "walhook" belongs to database "shop", not to "app"
  it is not the one that walhook had. When nobody needs it, SELECT pg_drop_replication_slot('walhook'), then `walhook adopt` creates it anew and records the gap, [0/200, 0/1000) so far; else give walhook a slot of its own (source.slot), which begins from now
replication slot "walhook" is a temporary slot of another session
  give walhook a slot of its own: change source.slot
replication slot "walhook" was created with two_phase, which walhook does not read
  drop the slot and let walhook create it, or change source.slot
"#);
    }
}
