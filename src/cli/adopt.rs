//! `walhook adopt`: goes on with the slot as it is now, after a person decided so.
//!
//! A usable slot is taken at its own position. One that is missing, invalidated, or
//! older than its publication is created anew. What lies between the old checkpoint
//! and the new one is recorded as a gap, and so are transactions that were read and that
//! the server, restored or failed over to, no longer has.

use anyhow::anyhow;
use clap::Args;

use super::Exit;
use super::database::{told, with_client};
use super::printed::{say, tell};
use crate::config::Config;
use crate::daemon::{publication_names, wanted};
use crate::lane::clock::unix_us;
use crate::lsn::Lsn;
use crate::postgres::preflight::{self, Found};
use crate::postgres::replication::{ReplicationConnection, System};
use crate::postgres::slot::{self, Reached, SlotFacts, SlotFault, TimelineVerdict};
use crate::postgres::{Client, connect, publication};
use crate::store::{Checkpoint, Gap, GapReason, History, SlotState, StateLock, Store};

#[derive(Debug, Args)]
pub struct AdoptArguments {
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// Where the slot stands, or that it has to be made.
enum Plan {
    /// At its own position.
    Take(Lsn),
    /// It is not there, or nothing can be read from it: dropped if it is there.
    Create {
        drop: bool,
    },
    Refuse(String),
}

pub fn run(arguments: &AdoptArguments, config: &Config) -> anyhow::Result<Exit> {
    // The lock keeps a daemon from running meanwhile.
    let lock = StateLock::acquire(&config.state)?;
    let mut store = Store::open(lock)?;
    with_client(&config.source.conninfo, async |client| {
        let slot_name = &config.source.slot;
        let names = publication_names(config);
        let report = preflight::inspect(&client, &names, &wanted(config))
            .await
            .map_err(told)?;
        let without_publication = report
            .problems
            .iter()
            .any(|problem| matches!(problem.found, Found::PublicationMissing { .. }));
        let before = store.load(slot_name)?;
        let plan = plan(
            report.slot.as_ref(),
            &report.server.database,
            without_publication,
            before.checkpoint.map(|checkpoint| slot::Gap {
                from: checkpoint.lsn,
                to: report.server.flush_lsn,
            }),
        );
        announce(&plan, slot_name);
        if matches!(plan, Plan::Refuse(_)) {
            return Ok(Exit::Definite);
        }
        if arguments.dry_run {
            return Ok(Exit::Done);
        }
        let mut replication = connect::replication(&config.source.conninfo)
            .await
            .map_err(told)?;
        let system = replication.identify_system().await.map_err(told)?;
        if let Plan::Create { drop: true } = plan {
            slot::drop_slot(&client, slot_name).await.map_err(told)?;
        }
        let found = match plan {
            Plan::Take(lsn) => Some(lsn),
            Plan::Create { .. } => {
                create(config, &client, &mut replication, &mut store, &system).await?
            }
            Plan::Refuse(_) => None,
        };
        let Some(lsn) = found else {
            return Ok(Exit::Definite);
        };
        let now_ms = unix_us().div_euclid(1000);
        let gaps = gaps(&before, &mut replication, &system, lsn, now_ms).await?;
        let checkpoint = Checkpoint {
            system_identifier: system.system_identifier,
            timeline: system.timeline,
            lsn,
            written_at_ms: now_ms,
        };
        store.go_on_at(slot_name, &checkpoint, History::New, &gaps)?;
        explain(before.checkpoint.as_ref(), &system, &gaps);
        say(format_args!("\"walhook run\" goes on from {lsn}"));
        Ok(Exit::Done)
    })
}

fn announce(plan: &Plan, slot_name: &str) {
    match plan {
        Plan::Refuse(reason) => tell(format_args!("walhook: {reason}")),
        Plan::Take(lsn) => {
            say(format_args!(
                "replication slot \"{slot_name}\" is taken at its position, {lsn}"
            ));
        }
        Plan::Create { drop } => say(format_args!(
            "replication slot \"{slot_name}\" is {}created from now",
            if *drop { "dropped and " } else { "" }
        )),
    }
}

/// What is missing between what was read before and `lsn`, where it goes on.
async fn gaps(
    before: &SlotState,
    replication: &mut ReplicationConnection,
    system: &System,
    lsn: Lsn,
    now_ms: i64,
) -> anyhow::Result<Vec<Gap>> {
    let Some(checkpoint) = before.checkpoint else {
        return Ok(Vec::new());
    };
    let gap = |reason, from, to| Gap {
        endpoint: None,
        reason,
        from,
        to,
        events: None,
        recorded_at_ms: now_ms,
    };
    if checkpoint.system_identifier != system.system_identifier {
        // Its LSNs do not compare with those of this cluster: it ends where nobody knows.
        let from = checkpoint.lsn;
        return Ok(vec![gap(GapReason::Adopted, from, from)]);
    }
    let lanes = before.positions.iter().map(|lane| lane.position.lsn);
    let reached = lanes.fold(checkpoint.lsn, Lsn::max);
    let common = common_end(before, checkpoint.timeline, reached, replication, system).await?;
    let mut gaps = Vec::new();
    if common < reached {
        gaps.push(gap(GapReason::Vanished, common, reached));
    }
    let from = common.min(checkpoint.lsn);
    if from < lsn {
        gaps.push(gap(GapReason::Adopted, from, lsn));
    }
    Ok(gaps)
}

/// Up to where the server still has what was read, as far as that is known.
async fn common_end(
    before: &SlotState,
    timeline: u32,
    reached: Lsn,
    replication: &mut ReplicationConnection,
    system: &System,
) -> anyhow::Result<Lsn> {
    let reached_on = Reached {
        timeline,
        lsn: reached,
        journal: &[],
    };
    let verdict = slot::timeline(replication, reached_on, system.timeline)
        .await
        .map_err(told)?;
    let branch = match verdict {
        TimelineVerdict::Branched { gone, .. } => gone.from,
        _ => reached,
    };
    let differs = before.differs.unwrap_or(reached);
    Ok(branch.min(differs).min(system.flush))
}

fn explain(before: Option<&Checkpoint>, system: &System, gaps: &[Gap]) {
    let Some(before) = before else {
        say(format_args!(
            "no earlier checkpoint is known: what was confirmed before is not sent again; events \
             that waited in a state file that is lost, and its dead letters, are lost with it"
        ));
        return;
    };
    if before.system_identifier != system.system_identifier {
        say(format_args!(
            "what was committed from {} on in the cluster with system identifier {} is not sent; \
             the gap is recorded",
            before.lsn, before.system_identifier
        ));
        return;
    }
    for gap in gaps {
        if gap.reason == GapReason::Vanished {
            say(format_args!(
                "recorded: webhooks for transactions that committed from {} to {} may have been \
                 sent, and this server does not have these transactions",
                gap.from, gap.to
            ));
        } else {
            say(format_args!(
                "the gap is recorded: what was committed from {} to {} is not sent",
                gap.from, gap.to
            ));
        }
    }
}

fn plan(
    slot: Option<&SlotFacts>,
    database: &str,
    without_publication: bool,
    gap: Option<slot::Gap>,
) -> Plan {
    let Some(slot) = slot else {
        return Plan::Create { drop: false };
    };
    if let Some(pid) = slot.active_pid {
        return Plan::Refuse(format!(
            "replication slot \"{}\" is active for pid {pid}: stop what reads from it first",
            slot.name
        ));
    }
    match slot.fault(database) {
        Some(SlotFault::Invalidated { .. }) => Plan::Create { drop: true },
        Some(fault) => Plan::Refuse(format!(
            "replication slot \"{}\" {fault}\n  hint: {}",
            slot.name,
            fault.remedy(&slot.name, gap)
        )),
        None if without_publication => Plan::Create { drop: true },
        None => match slot.confirmed_flush {
            Some(lsn) => Plan::Take(lsn),
            None => Plan::Refuse(format!(
                "replication slot \"{}\" is still being created",
                slot.name
            )),
        },
    }
}

/// Publications first, then the slot, as the daemon does. `None`: what is wrong was printed.
async fn create(
    config: &Config,
    client: &Client,
    replication: &mut ReplicationConnection,
    store: &mut Store,
    system: &System,
) -> anyhow::Result<Option<Lsn>> {
    let names = publication_names(config);
    let report = preflight::inspect(client, &names, &wanted(config))
        .await
        .map_err(told)?;
    let Some(plan) = report.plan() else {
        for problem in &report.problems {
            tell(format_args!("{}", problem.full()));
        }
        return Ok(None);
    };
    publication::apply(client, plan).await.map_err(told)?;
    let slot = &config.source.slot;
    store.intend(slot, system.system_identifier, system.flush)?;
    let point = replication
        .create_slot(slot)
        .await
        .map_err(|error| anyhow!("failed to create the slot: {error}"))?;
    Ok(Some(point))
}
