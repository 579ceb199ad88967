//! `walhook check`: everything that is wrong with the config and the database, at once.

use clap::Args;

use super::Exit;
use super::database::{told, with_client};
use super::printed::{counted, say, tell};
use crate::config::Config;
use crate::daemon::{publication_names, wanted};
use crate::postgres::preflight;

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Look at the config alone, not at the database
    #[arg(long)]
    pub offline: bool,
}

pub fn run(arguments: &CheckArguments, config: &Config) -> anyhow::Result<Exit> {
    if arguments.offline {
        say(format_args!(
            "the config is right; the database was not looked at"
        ));
        return Ok(Exit::Done);
    }
    with_client(&config.source.conninfo, async |client| {
        let names = publication_names(config);
        let report = preflight::inspect(&client, &names, &wanted(config))
            .await
            .map_err(told)?;
        for warning in &report.warnings {
            tell(format_args!("warning: {warning}"));
        }
        for problem in &report.problems {
            tell(format_args!("{}", problem.full()));
        }
        if !report.problems.is_empty() {
            let problems = counted(report.problems.len(), "problem");
            tell(format_args!("{problems} in the database"));
            return Ok(Exit::Definite);
        }
        let messages = match config.messages.len() {
            0 => String::new(),
            entries => format!(", {} of messages", counted(entries, "kind")),
        };
        say(format_args!(
            "the config is right, and database \"{}\" is ready for it: {}{messages}",
            report.server.database,
            counted(report.tables.len(), "table")
        ));
        if let Some(plan) = report.plan().filter(|plan| !plan.statements.is_empty()) {
            say(format_args!("walhook will run:"));
            for statement in plan.sql() {
                say(format_args!("  {statement}"));
            }
        }
        Ok(Exit::Done)
    })
}
