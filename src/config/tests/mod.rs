//! The config as its users meet it.

mod discreet;
mod good;
mod layers;
mod random;
mod reference;
mod wrong;

use std::path::PathBuf;

use super::environment::Environment;
use super::load::config_of;
use super::problem::Problems;
use super::ready::Config;

/// Random bytes, though not secret ones.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

fn read_in(text: &str, env: &Environment) -> (Option<Config>, Problems) {
    let (config, findings) = config_of(text, PathBuf::from("/etc/walhook"), env);
    (config, findings.into_problems("config.yaml"))
}

fn good_with(text: &str, variables: &[(&str, &str)]) -> Config {
    let (config, problems) = read_in(text, &environment(variables));
    match config {
        Some(config) if problems.problems.is_empty() => config,
        _ => panic!("{problems}"),
    }
}

fn good(text: &str) -> Config {
    good_with(text, &[])
}

fn wrong_with(text: &str, variables: &[(&str, &str)]) -> String {
    let (_, problems) = read_in(text, &environment(variables));
    assert!(!problems.problems.is_empty(), "nothing is wrong with it");
    problems.to_string()
}

fn wrong(text: &str) -> String {
    wrong_with(text, &[])
}

/// A good config with this for its endpoint `e` and this for its table `a.b`, both in flow style.
fn config(endpoint: &str, table: &str) -> String {
    format!(
        "source: {{ url: postgres://w@localhost/app }}
endpoints:
  e: {{ url: https://example.com/, secret: {SECRET}{endpoint} }}
  f: {{ url: https://example.com/, secret: {OTHER_SECRET} }}
tables:
  a.b: {table}
  a.c: {{ to: [e, f], events: {{ insert: c.made }} }}
"
    )
}

fn table(table: &str) -> String {
    config("", table)
}

fn endpoint(endpoint: &str) -> String {
    config(endpoint, "{ to: e, events: { insert: b.made } }")
}
