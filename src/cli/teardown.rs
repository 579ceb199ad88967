//! `walhook teardown`: drops the slot and the publications that are ours.

use clap::Args;

use super::Exit;
use super::database::{told, with_client};
use super::printed::{say, tell};
use crate::config::Config;
use crate::daemon::publication_names;
use crate::postgres::{catalog, publication, slot};
use crate::store::{StateFiles, StateLock, Store};

#[derive(Debug, Args)]
pub struct TeardownArguments {
    /// Only say what would be dropped
    #[arg(long)]
    pub dry_run: bool,
}

pub fn run(arguments: &TeardownArguments, config: &Config) -> anyhow::Result<Exit> {
    // The lock keeps a daemon from running, or starting, meanwhile.
    let lock = StateLock::acquire(&config.state)?;
    with_client(&config.source.conninfo, async |client| {
        let names = publication_names(config);
        let server = catalog::server(&client).await.map_err(told)?;
        let found = slot::slot(&client, &names.slot).await.map_err(told)?;
        if let Some(pid) = found.as_ref().and_then(|slot| slot.active_pid) {
            tell(format_args!(
                "walhook: replication slot \"{}\" is active for pid {pid}: stop what reads from it first",
                names.slot
            ));
            return Ok(Exit::Definite);
        }
        if arguments.dry_run {
            say(format_args!(
                "would drop replication slot \"{}\"{} and publications \"{}\" and \"{}\", as far as they are walhook's",
                names.slot,
                if found.is_some() {
                    ""
                } else {
                    " (which does not exist)"
                },
                names.all,
                names.insert
            ));
            say(format_args!(
                "changes that were not delivered are lost with it"
            ));
            return Ok(Exit::Done);
        }
        let dropped = match &found {
            Some(_) => slot::drop_slot(&client, &names.slot).await.map_err(told)?,
            None => false,
        };
        say(format_args!(
            "replication slot \"{}\": {}",
            names.slot,
            if dropped { "dropped" } else { "was not there" }
        ));
        let publications = publication::drop(&client, &names, server.major())
            .await
            .map_err(told)?;
        for publication in &publications {
            say(format_args!("publication \"{publication}\": dropped"));
        }
        if StateFiles::at(&config.state)?.state().exists() {
            Store::open(lock)?.remove_slot(&names.slot)?;
            say(format_args!(
                "the slot's place is removed from the state file"
            ));
        }
        Ok(Exit::Done)
    })
}
