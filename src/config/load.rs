//! From the path of a file to a config that is ready to use.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::key_path::KeyPath;
use super::layers;
use super::problem::{Findings, Place, Problem, Problems};
use super::ready::Config;
use super::source::tree::{Node, Value};
use super::source::{marks, substitute};
use super::walk::{Walk, reason};

const FILE_BYTES_MAX: u64 = 4 << 20;

/// A config, and what the operator should look at in it all the same.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// A text each.
    pub warnings: Vec<String>,
}

/// Reads the file and the variables; the error has all problems at once.
pub fn load(path: &Path, env: &Environment) -> Result<Loaded, Problems> {
    let file = path.display().to_string();
    let mut findings = Findings::default();
    let Some(text) = read(path, &mut findings) else {
        return Err(findings.into_problems(&file));
    };
    let (config, findings) = config_of(&text, directory(path), env);
    let problems = findings.into_problems(&file);
    match config {
        Some(config) if problems.problems.is_empty() => Ok(Loaded {
            config,
            warnings: problems.warning_texts(),
        }),
        Some(_) | None => Err(problems),
    }
}

/// What the commands beside `run` need of a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    pub state: PathBuf,
    /// Names of the endpoints, as far as they can be read.
    pub endpoints: Vec<String>,
}

/// The path of the state file is all that must be right: an unset secret or a broken part
/// elsewhere stops no command.
pub fn load_outline(path: &Path, env: &Environment) -> Result<Outline, Problems> {
    let file = path.display().to_string();
    let mut findings = Findings::default();
    let mut endpoints = Vec::new();
    let state = read(path, &mut findings)
        .and_then(|text| marks::parse(&text, &mut findings))
        .and_then(|tree| {
            // What was wrong so far is wrong elsewhere.
            let tree = layers::merge(tree, env, &mut Findings::default());
            let named = tree.get("endpoints").map(Node::entries).unwrap_or_default();
            endpoints.extend(named.iter().map(|entry| entry.key.clone()));
            let tree = only_state(tree, env, &mut findings);
            let mut walk = Walk::new(env, directory(path), Findings::default());
            let state = walk.state(&tree);
            findings.problems.extend(walk.into_findings().problems);
            state
        });
    match state {
        // Two of them, and who is to say which?
        Some(state)
            if findings
                .problems
                .iter()
                .all(|problem| problem.key != "state") =>
        {
            Ok(Outline { state, endpoints })
        }
        Some(_) | None => Err(findings.into_problems(&file)),
    }
}

/// Pure but for secrets that stand in files of their own.
pub(super) fn config_of(
    text: &str,
    directory: PathBuf,
    env: &Environment,
) -> (Option<Config>, Findings) {
    let mut findings = Findings::default();
    let Some(tree) = marks::parse(text, &mut findings) else {
        return (None, findings);
    };
    let mut tree = layers::merge(tree, env, &mut findings);
    substitute::fill(&mut tree, &KeyPath::root(), env, &mut findings);
    let mut walk = Walk::new(env, directory, findings);
    let config = walk.config(&tree);
    let mut findings = walk.into_findings();
    if config.is_none() && findings.problems.is_empty() {
        // A walk that gives nothing has told why. Should it not have: better than to go on.
        findings.problem(Problem::new(
            Place::File,
            "",
            "the config cannot be used, for a reason that went untold",
        ));
    }
    (config, findings)
}

fn only_state(mut tree: Node, env: &Environment, findings: &mut Findings) -> Node {
    if let Value::Map(entries) = &mut tree.value {
        entries.retain(|entry| entry.key == "state");
        substitute::fill(&mut tree, &KeyPath::root(), env, findings);
    }
    tree
}

fn directory(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

fn read(path: &Path, findings: &mut Findings) -> Option<String> {
    let mut told = |found: &str, detail: String| {
        findings
            .problem(Problem::new(Place::File, "", found))
            .detail(detail);
        None
    };
    let bytes = match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => {
            return told("the file cannot be read", "it is a directory".to_owned());
        }
        Ok(meta) if meta.len() > FILE_BYTES_MAX => {
            let detail = format!("it is longer than {} MiB", FILE_BYTES_MAX >> 20);
            return told("the file cannot be read", detail);
        }
        Ok(_) => std::fs::read(path),
        Err(error) => Err(error),
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) => return told("the file cannot be read", reason(&error)),
    };
    match String::from_utf8(bytes) {
        Ok(text) => Some(match text.strip_prefix('\u{feff}') {
            Some(text) => text.to_owned(),
            None => text,
        }),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let before = &error.as_bytes()[..valid];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            told("the file is not UTF-8", format!("first in line {line}"))
        }
    }
}
