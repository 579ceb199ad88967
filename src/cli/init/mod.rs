//! `walhook init`: a commented config from the live database, and a fresh secret.

mod suggestion;
mod text;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;

use super::database::{told, with_client};
use super::printed::{counted, print, printable};
use super::{Exit, secrets};
use crate::mapping::rule::TablePattern;
use crate::postgres::catalog::{self, TableFacts};
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::wanted::{Entry, Wanted};

const SECRET_FILE: &str = "webhooks.secret";

#[derive(Debug, Args)]
pub struct InitArguments {
    /// The database: a URL, or keywords as libpq takes them
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database: String,
    /// The tables, as names or patterns: public.orders, "audit.*" [default: all]
    #[arg(long, value_delimiter = ',', num_args = 1.., value_name = "TABLE")]
    tables: Vec<String>,
    /// The file to write; what is there is not written over
    #[arg(long, short, default_value = "config.yaml", value_name = "FILE")]
    output: PathBuf,
}

pub fn run(
    arguments: &InitArguments,
    env: &dyn Fn(&str) -> Option<String>,
) -> anyhow::Result<Exit> {
    let secret_file = arguments.output.with_file_name(SECRET_FILE);
    for file in [&arguments.output, &secret_file] {
        if file.exists() {
            bail!(
                "{} is there already: name another place with --output",
                file.display()
            );
        }
    }
    let info = ConnInfo::parse(&arguments.database, env)
        .map_err(|error| anyhow!("--database: {error}"))?;
    let wanted = wanted(&arguments.tables)?;
    with_client(&info, async |client| {
        let server = catalog::server(&client).await.map_err(told)?;
        let tables = catalog::tables(&client, &wanted).await.map_err(told)?;
        if tables.found.is_empty() {
            bail!(
                "database \"{}\" has no such table",
                printable(&server.database)
            );
        }
        let row = client
            .query_one("SHOW wal_level", &[])
            .await
            .map_err(told)?;
        let wal_level: String = row.try_get(0).map_err(told)?;
        let slots = client
            .query("SELECT slot_name::text FROM pg_replication_slots", &[])
            .await
            .map_err(told)?;
        let slots: Result<Vec<String>, _> = slots.iter().map(|row| row.try_get(0)).collect();
        let config = text::config(&text::Facts {
            url: url(&arguments.database)?,
            slot: &suggestion::slot(&server.database, &slots.map_err(told)?),
            database: &server.database,
            major: server.major(),
            wal_level: &wal_level,
            tables: &tables.found,
            secret_file: SECRET_FILE,
        });
        write_new(&secret_file, &secrets::fresh()?)?;
        write_new(&arguments.output, &config)?;
        print(&next_steps(arguments, &tables.found, &secret_file)?)?;
        Ok(Exit::Done)
    })
}

fn wanted(patterns: &[String]) -> anyhow::Result<Wanted> {
    let all = ["*.*".to_owned()];
    let patterns = if patterns.is_empty() {
        &all[..]
    } else {
        patterns
    };
    let entries = patterns.iter().map(|text| {
        let pattern = TablePattern::parse(text)
            .map_err(|error| anyhow!("--tables {}: {error}", printable(text)))?;
        Ok(Entry {
            name: text.as_str().into(),
            pattern,
            operations: Vec::new(),
            columns: Vec::new(),
            key: None,
            old: Vec::new(),
            keyed_endpoints: Vec::new(),
        })
    });
    Ok(Wanted {
        entries: entries.collect::<anyhow::Result<_>>()?,
    })
}

/// As it was given, unless it holds a password: that stays out of the file.
fn url(database: &str) -> anyhow::Result<&str> {
    let alone =
        ConnInfo::parse(database, &|_| None).map_err(|error| anyhow!("--database: {error}"))?;
    Ok(if alone.password.is_some() || database.contains("${") {
        "${DATABASE_URL}"
    } else {
        database
    })
}

/// For its owner's eyes alone; never over a file that is there.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("failed to write {}", path.display()))
}

fn next_steps(
    arguments: &InitArguments,
    tables: &[TableFacts],
    secret_file: &Path,
) -> anyhow::Result<String> {
    let faulty = tables
        .iter()
        .filter(|table| !table.identity_faults().is_empty())
        .count();
    let (config, secret) = (arguments.output.display(), secret_file.display());
    let mut text = format!("wrote {config}: {}", counted(tables.len(), "table"));
    if faulty > 0 {
        text.push_str(&format!(
            ", {faulty} of which can only send inserts until altered (the SQL is there)"
        ));
    }
    text.push_str(&format!(
        "\nwrote {secret}: the secret of its endpoint\n\nnow:\n"
    ));
    if url(&arguments.database)?.starts_with("${") {
        text.push_str(
            "  export DATABASE_URL=...          # it holds a password, so it is not in the file\n",
        );
    }
    text.push_str(&format!(
        "  walhook check --config {config}\n  \
         walhook listen --secret \"$(cat {secret})\"    # in another terminal: a receiver on port 8080\n  \
         walhook run --config {config}\n"
    ));
    Ok(text)
}
