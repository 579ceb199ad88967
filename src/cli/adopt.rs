//! `walhook adopt`: goes on with the slot as it is now, after a person decided so.
//!
//! A usable slot is taken at its own position. One that is missing, invalidated, or
//! older than its publication is created anew. What lies between the old checkpoint
//! and the new one is recorded as a gap.

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
use crate::postgres::slot::{self, SlotFacts, SlotFault};
use crate::postgres::{Client, connect, publication};
use crate::store::{Checkpoint, Gap, GapReason, History, StateLock, Store};

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
        let plan = plan(
            report.slot.as_ref(),
            &report.server.database,
            without_publication,
        );
        let before = store.load(slot_name)?.checkpoint;
        match &plan {
            Plan::Refuse(reason) => {
                tell(format_args!("walhook: {reason}"));
                return Ok(Exit::Definite);
            }
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
        if arguments.dry_run {
            return Ok(Exit::Done);
        }
        let mut replication = connect::replication(&config.source.conninfo)
            .await
            .map_err(told)?;
        let system = replication.identify_system().await.map_err(told)?;
        let lsn = match plan {
            Plan::Take(lsn) => lsn,
            Plan::Create { drop } => {
                if drop {
                    slot::drop_slot(&client, slot_name).await.map_err(told)?;
                }
                match create(config, &client, &mut replication, &mut store, &system).await? {
                    Some(lsn) => lsn,
                    None => return Ok(Exit::Definite),
                }
            }
            Plan::Refuse(_) => return Ok(Exit::Definite),
        };
        let now_ms = unix_us().div_euclid(1000);
        let gap = before.filter(|before| before.lsn < lsn).map(|before| Gap {
            endpoint: None,
            reason: GapReason::Adopted,
            from: before.lsn,
            to: lsn,
            events: None,
            recorded_at_ms: now_ms,
        });
        let checkpoint = Checkpoint {
            system_identifier: system.system_identifier,
            timeline: system.timeline,
            lsn,
            written_at_ms: now_ms,
        };
        store.go_on_at(slot_name, &checkpoint, History::New, gap.as_ref())?;
        if let Some(gap) = gap {
            say(format_args!(
                "the gap is recorded: what was committed from {} to {} is not sent",
                gap.from, gap.to
            ));
        }
        say(format_args!("\"walhook run\" goes on from {lsn}"));
        Ok(Exit::Done)
    })
}

fn plan(slot: Option<&SlotFacts>, database: &str, without_publication: bool) -> Plan {
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
            fault.remedy(&slot.name, None)
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
