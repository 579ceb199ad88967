//! `walhook teardown`: drops the slot and the publications that are ours.

use clap::Args;

use super::Exit;
use super::database::{told, with_client};
use super::printed::{say, tell};
use crate::config::Config;
use crate::daemon::publication_names;
use crate::postgres::catalog::{Server, quote};
use crate::postgres::publication::PublicationNames;
use crate::postgres::slot::SlotFacts;
use crate::postgres::{Client, catalog, publication, slot};
use crate::store::{SlotState, StateFiles, StateLock, Store};

#[derive(Debug, Args)]
pub struct TeardownArguments {
    /// Only say what would be dropped
    #[arg(long)]
    pub dry_run: bool,
}

pub fn run(arguments: &TeardownArguments, config: &Config) -> anyhow::Result<Exit> {
    // The lock keeps a daemon from running, or starting, meanwhile.
    let lock = StateLock::acquire(&config.state)?;
    let mut store = match StateFiles::at(&config.state)?.state().exists() {
        true => Some(Store::open(lock)?),
        false => None,
    };
    with_client(&config.source.conninfo, async |client| {
        let names = publication_names(config);
        let server = catalog::server(&client).await.map_err(told)?;
        let found = slot::slot(&client, &names.slot).await.map_err(told)?;
        let known = match &mut store {
            Some(store) => Some(store.load(&names.slot)?),
            None => None,
        };
        let marked = publication::existing(&client, &names.both(), server.major())
            .await
            .map_err(told)?
            .iter()
            .any(|publication| names.are_mark_of(publication));
        let objection = found
            .as_ref()
            .and_then(|slot| objection(slot, &server, known.as_ref(), marked));
        if let Some(objection) = objection {
            tell(format_args!("walhook: {objection}"));
            return Ok(Exit::Definite);
        }
        if arguments.dry_run {
            announce(&names, found.as_ref());
            return Ok(Exit::Done);
        }
        take_down(&client, &names, &server, found.as_ref()).await?;
        if let Some(store) = &mut store
            && store.remove_slot(&names.slot)?
        {
            say(format_args!(
                "the slot's place is removed from the state file"
            ));
        }
        Ok(Exit::Done)
    })
}

/// Why the slot is not dropped. It is ours when the state file knows it, or, where that
/// was lost, when a publication's comment names it.
fn objection(
    slot: &SlotFacts,
    server: &Server,
    known: Option<&SlotState>,
    marked: bool,
) -> Option<String> {
    let name = &slot.name;
    if let Some(pid) = slot.active_pid {
        return Some(format!(
            "replication slot \"{name}\" is active for pid {pid}: stop what reads from it first"
        ));
    }
    let cluster = known.and_then(|known| {
        let checkpoint = known.checkpoint.map(|found| found.system_identifier);
        checkpoint.or(known.intention.map(|found| found.system_identifier))
    });
    let why = match (cluster, server.system_identifier) {
        (Some(ours), Some(found)) if ours != found => {
            "the state file's slot of this name is in another cluster"
        }
        (None, _) if !marked => {
            "neither the state file nor a publication's comment says that it is walhook's"
        }
        _ => return None,
    };
    Some(format!(
        "replication slot \"{name}\" is not dropped: {why}\n  hint: check source.url and source.slot; \
         if nobody needs the slot: SELECT pg_drop_replication_slot({});",
        quote::literal(name)
    ))
}

fn announce(names: &PublicationNames, slot: Option<&SlotFacts>) {
    let absent = match slot {
        Some(_) => "",
        None => " (which does not exist)",
    };
    say(format_args!(
        "would drop replication slot \"{}\"{absent} and publications \"{}\" and \"{}\", as far as they are walhook's",
        names.slot, names.all, names.insert
    ));
    say(format_args!(
        "changes that were not delivered are lost with it"
    ));
}

async fn take_down(
    client: &Client,
    names: &PublicationNames,
    server: &Server,
    slot: Option<&SlotFacts>,
) -> anyhow::Result<()> {
    let dropped = match slot {
        Some(_) => slot::drop_slot(client, &names.slot).await.map_err(told)?,
        None => false,
    };
    say(format_args!(
        "replication slot \"{}\": {}",
        names.slot,
        if dropped { "dropped" } else { "was not there" }
    ));
    let publications = publication::drop(client, names, server.major())
        .await
        .map_err(told)?;
    for publication in &publications {
        say(format_args!("publication \"{publication}\": dropped"));
    }
    Ok(())
}
