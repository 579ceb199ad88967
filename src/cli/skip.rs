//! `walhook skip`: goes past a transaction with a change that the server cannot decode,
//! on a person's word.
//!
//! Where it stands the server is asked: the slot is read once more, and nothing of it is
//! confirmed. BEGIN comes before the change that fails and names the commit's LSN, so that
//! transaction alone is left out: the next start is right behind the first byte of its
//! commit record, which the server takes for "committed before".

use anyhow::{anyhow, bail};
use clap::Args;

use super::Exit;
use super::database::{told, with_client};
use super::printed::{say, tell};
use crate::config::Config;
use crate::daemon::{expected, publication_names, wanted};
use crate::lane::clock::unix_us;
use crate::lsn::Lsn;
use crate::postgres::connect;
use crate::postgres::preflight::{self, Report};
use crate::postgres::probe::{Poison, Probe, Probed, probe};
use crate::postgres::replication::{ReplicationConnection, System};
use crate::postgres::slot::{self, Reached, SlotVerdict};
use crate::store::{Checkpoint, Gap, GapReason, History, SlotState, StateLock, Store};

#[derive(Debug, Args)]
pub struct SkipArguments {
    /// Where walhook is stuck, as the log, /readyz and `walhook status` say
    #[arg(long, value_name = "LSN")]
    pub lsn: Lsn,
    /// Go on at this LSN, when the server does not say which transaction it is. Every
    /// transaction that commits before is skipped
    #[arg(long, value_name = "LSN")]
    pub to: Option<Lsn>,
    /// Only say what would be lost
    #[arg(long)]
    pub dry_run: bool,
}

pub fn run(arguments: &SkipArguments, config: &Config) -> anyhow::Result<Exit> {
    // The lock keeps a daemon from running meanwhile.
    let lock = StateLock::acquire(&config.state)?;
    let mut store = Store::open(lock)?;
    with_client(&config.source.conninfo, async |client| {
        let slot_name = &config.source.slot;
        let state = store.load(slot_name)?;
        let Some(checkpoint) = state.checkpoint else {
            bail!(
                "there is no checkpoint for slot \"{slot_name}\" yet: start the daemon, and stop it \
                 once it says that it is stuck"
            );
        };
        let names = publication_names(config);
        let report = preflight::inspect(&client, &names, &wanted(config))
            .await
            .map_err(told)?;
        let mut replication = connect::replication(&config.source.conninfo)
            .await
            .map_err(told)?;
        let system = replication.identify_system().await.map_err(told)?;
        if let Some(refused) =
            refusal(&state, &report, &mut replication, &system, slot_name).await?
        {
            tell(format_args!("walhook: {refused}"));
            return Ok(Exit::Definite);
        }
        let poison = poison(replication, slot_name, &state, &report).await?;
        let flush = report.server.flush_lsn;
        let skipped = skipped(arguments, &poison, checkpoint.lsn, flush)?;
        say(format_args!("{}", explained(&poison, skipped)));
        if arguments.dry_run {
            return Ok(Exit::Done);
        }
        go_on(&mut store, slot_name, &system, skipped)?;
        say(format_args!(
            "the gap is recorded; \"walhook run\" goes on from {}",
            skipped.to
        ));
        Ok(Exit::Done)
    })
}

/// What the server fails on now.
async fn poison(
    mut replication: ReplicationConnection,
    slot_name: &str,
    state: &SlotState,
    report: &Report,
) -> anyhow::Result<Poison> {
    if report.server.encoding == "SQL_ASCII" {
        replication.read_bytes_as_they_are().await.map_err(told)?;
    }
    let end = report.server.flush_lsn;
    let what = Probe {
        slot: slot_name,
        publications: report.publications(),
        start: state.start.unwrap_or_default(),
        checkpoint: state.checkpoint.map_or(Lsn::ZERO, |found| found.lsn),
        end,
    };
    match probe(replication, what).await.map_err(told)? {
        Probed::Stuck(poison) => Ok(*poison),
        Probed::Clear => {
            bail!("the server can decode all changes up to {end}: there is nothing to skip")
        }
    }
}

/// Why a slot cannot be read by this state file: that is `adopt`'s to mend.
async fn refusal(
    state: &SlotState,
    report: &Report,
    replication: &mut ReplicationConnection,
    system: &System,
    slot_name: &str,
) -> anyhow::Result<Option<String>> {
    if let Some(pid) = report.slot.as_ref().and_then(|slot| slot.active_pid) {
        return Ok(Some(format!(
            "replication slot \"{slot_name}\" is active for pid {pid}: stop what reads from it first"
        )));
    }
    let lanes = state.positions.iter().map(|lane| lane.position.lsn);
    let reached = lanes.fold(Lsn::ZERO, Lsn::max);
    let verdict = slot::compare(
        &expected(slot_name, state, reached),
        report.slot.as_ref(),
        &report.server.database,
        system.system_identifier,
        report.server.flush_lsn,
    );
    if verdict != SlotVerdict::Ours {
        let remedy = verdict.remedy().unwrap_or_default();
        return Ok(Some(format!("{verdict}\n  hint: {remedy}")));
    }
    let Some(checkpoint) = state.checkpoint else {
        return Ok(None);
    };
    let reached = Reached {
        timeline: checkpoint.timeline,
        lsn: reached.max(checkpoint.lsn),
        journal: &[],
    };
    let timeline = slot::timeline(replication, reached, system.timeline)
        .await
        .map_err(told)?;
    Ok(timeline.is_definite().then(|| {
        let remedy = timeline.remedy().unwrap_or_default();
        format!("{timeline}\n  hint: {remedy}")
    }))
}

/// The interval in which all commits are left out.
fn skipped(
    arguments: &SkipArguments,
    poison: &Poison,
    checkpoint: Lsn,
    flush: Lsn,
) -> anyhow::Result<slot::Gap> {
    let commit = poison.transaction.map(|transaction| transaction.commit_lsn);
    let at = poison.error.at.or(commit);
    if let Some(at) = at
        && ![Some(at), commit].contains(&Some(arguments.lsn))
    {
        bail!(
            "the server is stuck at {at}, not at {}: `walhook skip --lsn {at}` goes past it",
            arguments.lsn
        );
    }
    if let Some(unsettled) = poison.unsettled {
        bail!(
            "{unsettled} comes before it and is not settled yet (the checkpoint is at \
             {checkpoint}): it would be lost as well. Start the daemon, wait until what it has read \
             is delivered, spooled or dead, and stop it"
        );
    }
    match (commit, arguments.to) {
        (Some(commit), None) => Ok(slot::Gap {
            from: commit,
            to: Lsn(commit.0 + 1),
        }),
        (None, None) => Err(anyhow!(
            "the server does not say which transaction fails: give the LSN behind its commit with \
             --to; `pg_waldump --rmgr=Transaction --start={}` on the server lists the commits",
            at.unwrap_or(checkpoint)
        )),
        (_, Some(to)) if to <= at.unwrap_or(checkpoint).max(checkpoint) || to > flush => {
            bail!("--to {to} is not between the change that fails and the end of the WAL, {flush}")
        }
        (_, Some(to)) => Ok(slot::Gap {
            from: commit.unwrap_or(checkpoint),
            to,
        }),
    }
}

/// What is lost.
fn explained(poison: &Poison, skipped: slot::Gap) -> String {
    let code = &poison.error.code;
    let before = poison.changes_before;
    match poison.transaction {
        Some(transaction) if skipped.to == Lsn(transaction.commit_lsn.0 + 1) => format!(
            "transaction {}, which commits at {}, is skipped as a whole: the server cannot decode \
             one of its changes (SQLSTATE {code}). Of the {before} changes before that one events \
             may have been delivered; no others of this transaction are sent",
            transaction.xid, transaction.commit_lsn
        ),
        _ => format!(
            "every transaction that commits from {} to {} is skipped: the server cannot decode a \
             change of one of them (SQLSTATE {code})",
            skipped.from, skipped.to
        ),
    }
}

fn go_on(
    store: &mut Store,
    slot_name: &str,
    system: &System,
    skipped: slot::Gap,
) -> anyhow::Result<()> {
    let now_ms = unix_us().div_euclid(1000);
    let gap = Gap {
        endpoint: None,
        reason: GapReason::Skipped,
        from: skipped.from,
        to: skipped.to,
        events: None,
        recorded_at_ms: now_ms,
    };
    let checkpoint = Checkpoint {
        system_identifier: system.system_identifier,
        timeline: system.timeline,
        lsn: skipped.to,
        written_at_ms: now_ms,
    };
    store.go_on_at(slot_name, &checkpoint, History::Same, &[gap])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::failure::PgError;
    use crate::progress::tracker::{ReadKind, ReadTransaction};

    fn transaction(commit_lsn: u64) -> ReadTransaction {
        ReadTransaction {
            kind: ReadKind::Transaction,
            commit_lsn: Lsn(commit_lsn),
            xid: 771,
            commit_time_us: 0,
        }
    }

    fn poison(transaction: Option<ReadTransaction>) -> Poison {
        Poison {
            error: PgError {
                severity: "ERROR".into(),
                code: "22P03".into(),
                message: None,
                at: Some(Lsn(0x200)),
            },
            transaction,
            changes_before: 2,
            unsettled: None,
        }
    }

    /// Of a checkpoint at 0/100 and WAL that ends at 0/1000.
    fn decided(lsn: u64, to: Option<u64>, poison: &Poison) -> Result<(u64, u64), String> {
        let arguments = SkipArguments {
            lsn: Lsn(lsn),
            to: to.map(Lsn),
            dry_run: false,
        };
        skipped(&arguments, poison, Lsn(0x100), Lsn(0x1000))
            .map(|gap| (gap.from.0, gap.to.0))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_transaction_is_named_by_the_change_that_fails_or_by_its_commit() {
        let poison = poison(Some(transaction(0x300)));
        for lsn in [0x200, 0x300] {
            assert_eq!(decided(lsn, None, &poison), Ok((0x300, 0x301)));
        }
        assert_eq!(decided(0x200, Some(0x400), &poison), Ok((0x300, 0x400)));
    }

    #[test]
    fn each_refusal_has_its_own_words() {
        let known = poison(Some(transaction(0x300)));
        let unsettled = Poison {
            unsettled: Some(transaction(0x180)),
            ..known.clone()
        };
        let unknown = poison(None);
        assert_eq!(decided(0x200, Some(0x400), &unknown), Ok((0x100, 0x400)));
        let refusals = [
            decided(0x208, None, &known),
            decided(0x200, None, &unsettled),
            decided(0x200, None, &unknown),
            decided(0x200, Some(0x200), &unknown),
            decided(0x200, Some(0x1001), &unknown),
        ];
        let texts: Vec<String> = refusals.into_iter().map(Result::unwrap_err).collect();
        insta::assert_snapshot!(texts.join("\n"), @r"
the server is stuck at 0/200, not at 0/208: `walhook skip --lsn 0/200` goes past it
transaction 771 that commits at 0/180 comes before it and is not settled yet (the checkpoint is at 0/100): it would be lost as well. Start the daemon, wait until what it has read is delivered, spooled or dead, and stop it
the server does not say which transaction fails: give the LSN behind its commit with --to; `pg_waldump --rmgr=Transaction --start=0/200` on the server lists the commits
--to 0/200 is not between the change that fails and the end of the WAL, 0/1000
--to 0/1001 is not between the change that fails and the end of the WAL, 0/1000
");
    }

    #[test]
    fn what_is_lost_is_said_before() {
        let known = poison(Some(transaction(0x300)));
        let gap = |from, to| slot::Gap {
            from: Lsn(from),
            to: Lsn(to),
        };
        let texts = [
            explained(&known, gap(0x300, 0x301)),
            explained(&poison(None), gap(0x100, 0x400)),
        ];
        insta::assert_snapshot!(texts.join("\n"), @r"
transaction 771, which commits at 0/300, is skipped as a whole: the server cannot decode one of its changes (SQLSTATE 22P03). Of the 2 changes before that one events may have been delivered; no others of this transaction are sent
every transaction that commits from 0/100 to 0/400 is skipped: the server cannot decode a change of one of them (SQLSTATE 22P03)
");
    }
}
