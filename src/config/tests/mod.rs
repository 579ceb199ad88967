//! The config, from texts of files and variables of the tests' own.

mod discreet;
mod file;
mod good;
mod harm;
mod messages;
mod reference;
mod slips;
mod together;
mod values;
mod variables;
mod wrong;

use std::path::PathBuf;

use super::load::config_of;
use super::{Config, Environment};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Every value that must not be shown holds the word.
const CANARY: &str = "CANARY";

fn problems_with(text: &str, env: &Environment) -> String {
    let (config, findings) = config_of(text, PathBuf::new(), env);
    let problems = findings.into_problems("config.yaml");
    assert!(config.is_none() || !problems.problems.is_empty());
    problems.to_string()
}

fn problems(text: &str) -> String {
    problems_with(text, &Environment::default())
}

/// A config that is right but for what a test puts in.
fn config_with(endpoint: &str, table: &str) -> String {
    format!(
        "source: {{ url: 'host=/tmp dbname=app user=walhook' }}\n\
         endpoints:\n  a:\n    url: https://a.example.com/\n    secret: {SECRET}\n{endpoint}\n\
         tables:\n  public.t:\n    to: a\n{table}\n"
    )
}

fn endpoint(lines: &str) -> String {
    problems(&config_with(lines, "    events: { insert: t.made }"))
}

fn table(lines: &str) -> String {
    problems(&config_with("", lines))
}

fn loaded(text: &str, env: &Environment) -> Config {
    let (config, findings) = config_of(text, PathBuf::new(), env);
    let problems = findings.into_problems("config.yaml");
    assert!(problems.problems.is_empty(), "{problems}");
    config.unwrap_or_else(|| panic!("{problems}"))
}
