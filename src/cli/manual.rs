//! `walhook man` and `walhook completions`: what a package installs beside the binary.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::{Arguments, Exit};

#[derive(Debug, Args)]
pub struct CompletionsArguments {
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManArguments {
    /// The directory for walhook.1, walhook-run.1 and so on; it is made
    pub directory: PathBuf,
}

pub fn completions(arguments: &CompletionsArguments) -> anyhow::Result<Exit> {
    let mut command = Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "walhook", &mut io::stdout());
    Ok(Exit::Done)
}

pub fn man(arguments: &ManArguments) -> anyhow::Result<Exit> {
    let directory = &arguments.directory;
    write(directory).with_context(|| {
        format!(
            "failed to write the manual pages to {}",
            directory.display()
        )
    })?;
    Ok(Exit::Done)
}

/// A page for walhook, and one for each of its commands: man-pages(7).
fn write(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let command = Arguments::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command.clone(), directory)?;
    fs::write(directory.join("walhook.1"), main_page(command)?)
}

/// The sections that clap knows, and those that an operator looks for.
fn main_page(mut command: Command) -> io::Result<Vec<u8>> {
    command.build();
    let man = Man::new(command);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    let mut rest = Roff::new();
    for (title, entries) in SECTIONS {
        rest.control("SH", [*title]);
        for (term, text) in *entries {
            rest.control("TP", []);
            rest.text([roman(*term)]);
            rest.text([roman(*text)]);
        }
    }
    rest.control("SH", ["SEE ALSO"]);
    rest.text([roman(
        "systemctl(1), journalctl(1), pg_recvlogical(1); \
         /usr/share/doc/walhook for the reference of the config and of the metrics.",
    )]);
    rest.to_writer(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// Title, and its entries: a term and what it means.
type Section = (&'static str, &'static [(&'static str, &'static str)]);

const SECTIONS: &[Section] = &[
    (
        "FILES",
        &[
            (
                "/etc/walhook/config.yaml",
                "The config, of walhook.service; /etc/walhook/NAME.yaml of walhook@NAME.service. \
                 Found when neither --config nor WALHOOK_CONFIG names one, and ./config.yaml is not there.",
            ),
            (
                "/etc/walhook/walhook.env",
                "Variables of walhook.service, such as DATABASE_URL; NAME.env of walhook@NAME.service.",
            ),
            (
                "/var/lib/walhook/state.db",
                "Checkpoint, positions, dead letters. Without it walhook cannot know what was delivered.",
            ),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            ("WALHOOK_CONFIG", "The config file."),
            (
                "WALHOOK_SOURCE__URL, WALHOOK_STATE, ...",
                "Override a key of the config; two underscores go one level down.",
            ),
            (
                "WALHOOK_LOG",
                "What is logged: debug, info (the default), warn, error.",
            ),
            ("WALHOOK_LOG_FORMAT", "text (the default) or json."),
            ("NO_COLOR", "No colours."),
            (
                "PGPASSFILE, PGHOST, PGUSER, ...",
                "As of libpq, for what the config's source.url leaves out.",
            ),
        ],
    ),
    (
        "EXIT STATUS",
        &[
            ("0", "Done."),
            ("1", "Failed."),
            ("64", "The config is wrong; the text says where."),
            (
                "69",
                "A person must mend the database or the state; the text says how.",
            ),
        ],
    ),
];
