//! The command line: one file a command.

mod ask;
mod check;
pub mod dead;
mod dead_filter;
pub mod endpoint;
pub mod failure;
pub mod printed;
mod run;
pub mod status;
mod teardown;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// How a command ended: the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    Failed,
    /// `EX_USAGE`: the config is wrong. The unit does not restart on it.
    Config,
    /// `EX_UNAVAILABLE`: a person must mend the database or the state.
    Definite,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Config => 64,
            Exit::Definite => 69,
        })
    }
}

/// Turns committed changes of a PostgreSQL database into signed webhooks.
#[derive(Debug, Parser)]
#[command(
    name = "walhook",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 64 the config is wrong, \
                  69 a person must mend the database or the state."
)]
pub struct Arguments {
    /// The config file [default: $WALHOOK_CONFIG, ./config.yaml, /etc/walhook/config.yaml]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stream changes and deliver webhooks, until SIGTERM or SIGINT
    Run,
    /// Find everything that is wrong with the config and the database
    Check(check::CheckArguments),
    /// Drop the slot and the publications: an abandoned slot fills the server's disk
    Teardown(teardown::TeardownArguments),
}
