//! `walhook endpoint`: sends to an endpoint again, or forgets one.

use anyhow::bail;
use clap::{Args, Subcommand};

use super::Exit;
use super::ask::{Conversation, unexpected};
use super::printed::{json_line, print, printable};
use crate::config::Outline;
use crate::telemetry::control::{Request, Response};

#[derive(Args, Debug)]
pub struct EndpointArgs {
    #[command(subcommand)]
    command: EndpointCommand,
}

#[derive(Subcommand, Debug)]
enum EndpointCommand {
    /// Send to an endpoint again that was disabled
    Enable {
        /// The endpoint's name in the config
        name: String,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Forget an endpoint that the config no longer has: its waiting events and dead letters
    Drop {
        /// Its name, as `walhook status` shows it
        name: String,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
}

pub fn run(args: &EndpointArgs, config: &Outline) -> anyhow::Result<Exit> {
    let mut conversation = Conversation::with(&config.state)?;
    match &args.command {
        EndpointCommand::Enable { name, json } => enable(&mut conversation, name, *json),
        EndpointCommand::Drop { name, .. } if config.endpoints.contains(name) => {
            bail!(
                "endpoint \"{}\" is in the config\n  hint: take it out, restart the daemon where one runs, then drop it",
                printable(name)
            );
        }
        EndpointCommand::Drop { name, json } => drop(&mut conversation, name, *json),
    }
}

fn enable(conversation: &mut Conversation, name: &str, json: bool) -> anyhow::Result<Exit> {
    let request = Request::EndpointEnable {
        name: name.to_owned(),
    };
    let Response::EndpointEnabled { was_disabled_by } = conversation.ask(&request)? else {
        return Err(unexpected());
    };
    let Some(by) = was_disabled_by else {
        bail!("endpoint \"{}\" is not disabled", printable(name));
    };
    if json {
        print(&json_line(
            &serde_json::json!({ "enabled": name, "was_disabled_by": by }),
        )?)?;
    } else {
        let name = printable(name);
        let by = by.as_str();
        print(&format!(
            "endpoint \"{name}\" enabled, it was disabled by {by}\n"
        ))?;
    }
    Ok(Exit::Done)
}

fn drop(conversation: &mut Conversation, name: &str, json: bool) -> anyhow::Result<Exit> {
    let request = Request::EndpointDrop {
        name: name.to_owned(),
    };
    let Response::EndpointDropped(dropped) = conversation.ask(&request)? else {
        return Err(unexpected());
    };
    if json {
        print(&json_line(
            &serde_json::json!({ "dropped": name, "amounts": dropped }),
        )?)?;
    } else {
        print(&format!(
            "endpoint \"{}\" dropped with {} waiting events and {} dead letters\n",
            printable(name),
            dropped.waiting_events,
            dropped.dead_letters,
        ))?;
    }
    Ok(Exit::Done)
}
