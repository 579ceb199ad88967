//! The command line: one file a command.

mod adopt;
mod ask;
mod check;
mod database;
mod demo;
pub mod dead;
mod dead_filter;
pub mod endpoint;
pub mod failure;
mod init;
mod listen;
mod manual;
pub mod printed;
mod run;
mod schema;
mod secrets;
mod send;
mod signals;
mod skip;
pub mod status;
mod teardown;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::printed::tell;
use crate::config::{self, Config, Environment, Outline, Problems};
use crate::telemetry;

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
    #[command(
        after_help = "The first signal ends it within 20 s: nothing is lost and nothing repeated. A second \
                      one ends it at once, with exit code 1.\n\nLogs go to standard error. WALHOOK_LOG says \
                      how much (default: info), WALHOOK_LOG_FORMAT is text (the default) or json."
    )]
    Run,
    /// Find everything that is wrong with the config and the database
    Check(check::CheckArguments),
    /// Show the stream, the endpoints and what waits
    Status(status::StatusArgs),
    /// Look at dead letters, send them again, or drop them
    Dead(dead::DeadArgs),
    /// Enable an endpoint that was disabled, or drop one that was taken out of the config
    Endpoint(endpoint::EndpointArgs),
    /// Go on with the slot as it is now, after you decided about a gap
    Adopt(adopt::AdoptArguments),
    /// Go past a transaction with a change that the server cannot decode
    Skip(skip::SkipArguments),
    /// Show all of it with nothing prepared: a throwaway database, traffic, a receiver, a kill
    Demo(demo::DemoArguments),
    /// Write a commented config from a live database, and a fresh secret
    Init(init::InitArguments),
    /// Receive webhooks, verify and print them: to try things
    Listen(listen::ListenArguments),
    /// Print completions for a shell
    Completions(manual::CompletionsArguments),
    /// Write the manual pages, for packages
    #[command(hide = true)]
    Man(manual::ManArguments),
    /// Print the JSON Schema of the config, for editors
    Schema,
    /// Post a signed test event to an endpoint of the config, and show the exchange
    Send(send::SendArguments),
    /// Drop the slot and the publications: an abandoned slot fills the server's disk
    Teardown(teardown::TeardownArguments),
}

impl Arguments {
    /// Runs the command. A wrong config is printed and is an exit code, not an error.
    pub fn run(self) -> anyhow::Result<Exit> {
        let environment = Environment::from_process();
        telemetry::logging::start(telemetry::logging::Options {
            filter: environment.get("WALHOOK_LOG"),
            format: environment.get("WALHOOK_LOG_FORMAT"),
            no_color: environment.get("NO_COLOR").is_some(),
            journal_stream: environment.get("JOURNAL_STREAM"),
        })?;
        let without_config = match &self.command {
            Command::Demo(arguments) => Some(demo::run(arguments)),
            Command::Init(arguments) => Some(init::run(arguments, &|name| {
                environment.get(name).map(str::to_owned)
            })),
            Command::Listen(arguments) => Some(listen::run(arguments)),
            Command::Completions(arguments) => Some(manual::completions(arguments)),
            Command::Man(arguments) => Some(manual::man(arguments)),
            Command::Schema => Some(schema::run()),
            _ => None,
        };
        if let Some(result) = without_config {
            return ended(result);
        }
        let path = match config::locate(self.config.as_deref(), &environment) {
            Ok(path) => path,
            Err(problems) => return Ok(wrong(&problems)),
        };
        let with_config = |command: &dyn Fn(Config) -> anyhow::Result<Exit>| match config::load(
            &path,
            &environment,
        ) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    tell(format_args!("warning: {warning}"));
                }
                command(loaded.config)
            }
            Err(problems) => Ok(wrong(&problems)),
        };
        let with_outline =
            |command: &dyn Fn(&Outline) -> anyhow::Result<Exit>| match config::load_outline(
                &path,
                &environment,
            ) {
                Ok(outline) => command(&outline),
                Err(problems) => Ok(wrong(&problems)),
            };
        let result = match &self.command {
            Command::Run => with_config(&run::run),
            Command::Check(arguments) => with_config(&|config| check::run(arguments, &config)),
            Command::Send(arguments) => with_config(&|config| send::run(arguments, &config)),
            Command::Adopt(arguments) => with_config(&|config| adopt::run(arguments, &config)),
            Command::Skip(arguments) => with_config(&|config| skip::run(arguments, &config)),
            Command::Teardown(arguments) => {
                with_config(&|config| teardown::run(arguments, &config))
            }
            // They have ended above.
            Command::Completions(_)
            | Command::Demo(_)
            | Command::Init(_)
            | Command::Listen(_)
            | Command::Man(_)
            | Command::Schema => Ok(Exit::Done),
            Command::Status(arguments) => {
                with_outline(&|outline| status::run(arguments, &outline.state))
            }
            Command::Dead(arguments) => {
                with_outline(&|outline| dead::run(arguments, &outline.state))
            }
            Command::Endpoint(arguments) => {
                with_outline(&|outline| endpoint::run(arguments, outline))
            }
        };
        ended(result)
    }
}

/// Prints the error, and what helps, once.
fn ended(result: anyhow::Result<Exit>) -> anyhow::Result<Exit> {
    result.or_else(|error| {
        tell(format_args!("walhook: {error:#}"));
        if let Some(hint) = failure::hint(&error) {
            tell(format_args!("  hint: {hint}"));
        }
        Ok(failure::exit(&error))
    })
}

fn wrong(problems: &Problems) -> Exit {
    tell(format_args!("{problems}"));
    Exit::Config
}
