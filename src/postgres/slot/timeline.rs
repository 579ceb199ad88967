//! Timelines: a promoted standby and a restore to a point in time begin a new one, which
//! has of the old one's WAL only what lies before the switch.
//!
//! ```text
//! 1 ------------+------ reached     what was read behind the switch is gone
//!               `--- 2 ------->
//! ```
//!
//! <https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-TIMELINES>

use std::fmt;

use super::verdict::Gap;
use crate::lsn::Lsn;
use crate::postgres::failure::ReplicationError;
use crate::postgres::replication::ReplicationConnection;
use crate::progress::tracker::{ReadKind, ReadTransaction};

/// So many transactions that are gone are named.
const NAMED_MAX: usize = 20;

/// Where a timeline was left for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    pub timeline: u32,
    pub at: Lsn,
}

/// A timeline's history file: a line per ancestor, its number and where it was left.
/// `None` when it has another form.
pub fn parse_history(content: &str) -> Option<Vec<Switch>> {
    content
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut fields = line.split_whitespace();
            Some(Switch {
                timeline: fields.next()?.parse().ok()?,
                at: fields.next()?.parse().ok()?,
            })
        })
        .collect()
}

/// What the server's timeline means.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimelineVerdict {
    #[error("the timeline is the one that was read")]
    Same,
    #[error("timeline {ours} went on as timeline {found} at {at}, behind all that was read")]
    Continued { ours: u32, found: u32, at: Lsn },
    #[error(
        "the server is on timeline {found}, which left timeline {ours} at {}: the WAL {gone} was \
         read and no longer exists{transactions}", .gone.from
    )]
    Branched {
        ours: u32,
        found: u32,
        gone: Gap,
        transactions: Gone,
    },
    #[error(
        "the server is on timeline {found}, and timeline {ours} was read already: it is an old \
         primary or an earlier backup"
    )]
    Older { ours: u32, found: u32 },
    #[error("the server is on timeline {found}, which does not come from timeline {ours}")]
    Unrelated { ours: u32, found: u32 },
    #[error("the history of timeline {found} cannot be read: {reason}")]
    Unreadable { found: u32, reason: String },
}

/// Transactions that the journal knows and the server no longer has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone(pub Vec<u32>);

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<String> = self.0.iter().take(NAMED_MAX).map(u32::to_string).collect();
        match self.0.len() {
            0 => Ok(()),
            all if all > NAMED_MAX => {
                write!(f, ", with transactions {} and others", named.join(", "))
            }
            _ => write!(f, ", with transactions {}", named.join(", ")),
        }
    }
}

/// What was read so far: on this timeline, to here, lately these.
#[derive(Clone, Copy, Debug)]
pub struct Reached<'a> {
    pub timeline: u32,
    pub lsn: Lsn,
    pub journal: &'a [ReadTransaction],
}

/// `history` is that of the timeline that was `found`.
pub fn compare_timelines(reached: Reached<'_>, found: u32, history: &[Switch]) -> TimelineVerdict {
    let ours = reached.timeline;
    if found == ours {
        return TimelineVerdict::Same;
    }
    if found < ours {
        return TimelineVerdict::Older { ours, found };
    }
    match history.iter().find(|switch| switch.timeline == ours) {
        None => TimelineVerdict::Unrelated { ours, found },
        Some(switch) if switch.at < reached.lsn => TimelineVerdict::Branched {
            ours,
            found,
            gone: Gap {
                from: switch.at,
                to: reached.lsn,
            },
            transactions: Gone(
                reached
                    .journal
                    .iter()
                    // A commit record that begins at the switch is not before it.
                    .filter(|known| {
                        known.kind == ReadKind::Transaction && !known.is_below(switch.at)
                    })
                    .map(|known| known.xid)
                    .collect(),
            ),
        },
        Some(switch) => TimelineVerdict::Continued {
            ours,
            found,
            at: switch.at,
        },
    }
}

/// Asks the server what its timeline `found` comes from, if it is another one.
pub async fn timeline(
    replication: &mut ReplicationConnection,
    reached: Reached<'_>,
    found: u32,
) -> Result<TimelineVerdict, ReplicationError> {
    if found <= reached.timeline {
        return Ok(compare_timelines(reached, found, &[]));
    }
    let unreadable = |reason| Ok(TimelineVerdict::Unreadable { found, reason });
    match replication.timeline_history(found).await {
        Ok(content) => match parse_history(&content) {
            Some(history) => Ok(compare_timelines(reached, found, &history)),
            None => unreadable("it has another form than PostgreSQL's".to_owned()),
        },
        // Its file is gone.
        Err(ReplicationError::Server(error)) => unreadable(error.to_string()),
        Err(error) => Err(error),
    }
}

impl TimelineVerdict {
    /// It stops the daemon until a person has decided (exit code 69).
    pub fn is_definite(&self) -> bool {
        match self {
            TimelineVerdict::Same | TimelineVerdict::Continued { .. } => false,
            TimelineVerdict::Branched { .. }
            | TimelineVerdict::Older { .. }
            | TimelineVerdict::Unrelated { .. }
            | TimelineVerdict::Unreadable { .. } => true,
        }
    }

    /// What a person can do about it; `None` when there is nothing to do.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            TimelineVerdict::Same | TimelineVerdict::Continued { .. } => return None,
            TimelineVerdict::Branched { gone, .. } => format!(
                "webhooks for transactions in {gone} may have been sent: tell the receivers, then \
                 `walhook adopt` goes on from the slot's position on this server and records it"
            ),
            TimelineVerdict::Older { .. } => "check that source.url leads to the primary; \
                 `walhook adopt` goes on from this server's slot"
                .to_owned(),
            TimelineVerdict::Unrelated { .. } => "check that source.url leads to the right \
                 server; `walhook adopt` goes on from this server's slot and records the gap"
                .to_owned(),
            TimelineVerdict::Unreadable { .. } => "bring the history file back into pg_wal, or \
                 `walhook adopt` goes on from this server's slot"
                .to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HISTORY: &str =
        "1\t0/3000158\tno recovery target specified\n\n2\t0/5000000\tafter LSN 0/4FFFFF8\n";

    fn compared(timeline: u32, lsn: u64, found: u32) -> TimelineVerdict {
        let journal = [(0x300_0100, 770), (0x300_0158, 771), (0x300_0200, 772)];
        let journal = journal.map(|(commit_lsn, xid)| ReadTransaction {
            kind: ReadKind::Transaction,
            commit_lsn: Lsn(commit_lsn),
            xid,
            commit_time_us: 0,
        });
        let reached = Reached {
            timeline,
            lsn: Lsn(lsn),
            journal: &journal,
        };
        compare_timelines(reached, found, &parse_history(HISTORY).unwrap())
    }

    #[test]
    fn a_history_file_names_where_each_timeline_was_left() {
        let switch = |timeline, at| Switch {
            timeline,
            at: Lsn(at),
        };
        assert_eq!(
            parse_history(HISTORY).unwrap(),
            [switch(1, 0x300_0158), switch(2, 0x500_0000)]
        );
        assert_eq!(parse_history("# made by hand\n"), Some(vec![]));
        assert_eq!(parse_history("1 here"), None);
        assert_eq!(parse_history("one\t0/1\tx"), None);
    }

    #[test]
    fn a_timeline_that_goes_on_behind_all_that_was_read_is_followed() {
        assert_eq!(compared(3, 0x900_0000, 3), TimelineVerdict::Same);
        assert!(!compared(1, 0x300_0158, 3).is_definite());
        assert!(!compared(2, 0x400_0000, 3).is_definite());
    }

    #[test]
    fn each_definite_verdict_has_its_own_words() {
        let unreadable = TimelineVerdict::Unreadable {
            found: 2,
            reason: "could not open file".into(),
        };
        let verdicts = [
            compared(1, 0x300_0300, 3),
            compared(2, 0x500_0008, 3),
            compared(4, 0x300_0000, 3),
            TimelineVerdict::Unrelated { ours: 2, found: 4 },
            unreadable,
        ];
        assert_eq!(
            compare_timelines(
                Reached {
                    timeline: 2,
                    lsn: Lsn(1),
                    journal: &[]
                },
                4,
                &[]
            ),
            verdicts[3]
        );
        let texts: Vec<String> = verdicts
            .iter()
            .map(|verdict| {
                assert!(verdict.is_definite());
                format!("{verdict}\n  {}", verdict.remedy().unwrap())
            })
            .collect();
        insta::assert_snapshot!(texts.join("\n"), @r"
the server is on timeline 3, which left timeline 1 at 0/3000158: the WAL [0/3000158, 0/3000300) was read and no longer exists, with transactions 771, 772
  webhooks for transactions in [0/3000158, 0/3000300) may have been sent: tell the receivers, then `walhook adopt` goes on from the slot's position on this server and records it
the server is on timeline 3, which left timeline 2 at 0/5000000: the WAL [0/5000000, 0/5000008) was read and no longer exists
  webhooks for transactions in [0/5000000, 0/5000008) may have been sent: tell the receivers, then `walhook adopt` goes on from the slot's position on this server and records it
the server is on timeline 3, and timeline 4 was read already: it is an old primary or an earlier backup
  check that source.url leads to the primary; `walhook adopt` goes on from this server's slot
the server is on timeline 4, which does not come from timeline 2
  check that source.url leads to the right server; `walhook adopt` goes on from this server's slot and records the gap
the history of timeline 2 cannot be read: could not open file
  bring the history file back into pg_wal, or `walhook adopt` goes on from this server's slot
");
    }

    #[test]
    fn of_many_transactions_that_are_gone_the_first_are_named() {
        let text = Gone((1..=21).collect()).to_string();
        assert!(text.ends_with("19, 20 and others"), "{text}");
    }
}
