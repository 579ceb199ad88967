//! `walhook demo`: all of it with nothing prepared.
//!
//! A throwaway cluster, a shop whose application knows nothing of webhooks, a receiver
//! that verifies, and the daemon as a process of its own, which is killed on the way.

mod books;
mod cluster;
mod daemon;
mod setting;
mod shop;
mod show;
mod summary;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Exit;

const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(3600);

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// How long the shop has traffic: 5s to 1h
    #[arg(long = "for", default_value = "20s", value_name = "DURATION", value_parser = length)]
    length: Duration,
    /// Commits a second
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=200))]
    rate: u32,
    /// The directory of initdb and pg_ctl [default: searched for]
    #[arg(long, value_name = "DIRECTORY", env = "WALHOOK_DEMO_PG_BIN")]
    pg_bin: Option<PathBuf>,
}

fn length(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (SHORTEST..=LONGEST).contains(&length) {
        Ok(length)
    } else {
        Err("expected 5s to 1h".to_owned())
    }
}

pub fn run(arguments: &DemoArguments) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(show::run(arguments))
}

fn say(text: &str) -> std::io::Result<()> {
    super::printed::print_styled(&format!("{text}\n"))
}
