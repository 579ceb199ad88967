//! Any file with any variables is a config or has problems, each with its place, all of them
//! told without a value that came from a variable.

#![no_main]

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use walhook::config::problem::{Place, Problem};
use walhook::config::{Environment, load, load_outline};
use walhook_fuzz::{Input, catch_panics};

/// Every value of a variable holds it.
const CANARY: &str = "CANARY";
const SECRET: &str = "whsec_CANARYQIhrscChlQIMV+b5sSYspob7oD";

const BASES: [&str; 7] = [
    include_str!("../../config.yaml"),
    include_str!("../../examples/chat/config.yaml"),
    include_str!("../../examples/ci-cd/config.yaml"),
    include_str!("../../examples/marketing/config.yaml"),
    include_str!("../../examples/payments/config.yaml"),
    include_str!("../../examples/project-management/config.yaml"),
    "source: {url: 'host=/tmp dbname=app user=walhook'}\nendpoints:\n  billing:\n    \
     url: https://a.example.com/\n    secret: ${BILLING_SECRET}\ntables:\n  public.t:\n    \
     to: billing\n    events: {insert: t.made}\n",
];

const VARIABLES: [&str; 14] = [
    "DATABASE_URL",
    "CRM_SECRET",
    "WALHOOK_SOURCE__URL",
    "WALHOOK_SOURCE__SLOT",
    "WALHOOK_STATE",
    "WALHOOK_SPOOL__MAX_BYTES",
    "WALHOOK_ADMIN__LISTEN",
    "WALHOOK_ENDPOINTS__BILLING__URL",
    "WALHOOK_ENDPOINTS__BILLING__RETRY__MAX",
    "WALHOOK_ENDPOINTS__BILLING__HEADERS__X_TEAM",
    "WALHOOK_ENDPOINTS__OTHER__ORDER",
    "WALHOOK_TABLES__PUBLIC.ORDERS__TO",
    "WALHOOK_ENDPOINTS",
    "WALHOOK_",
];

thread_local! {
    static PLACE: OnceCell<(tempfile::TempDir, PathBuf)> = const { OnceCell::new() };
}

fuzz_target!(
    init: { catch_panics(); },
    |data: &[u8]| {
        PLACE.with(|cell| {
            let (_, path) = cell.get_or_init(|| {
                let directory = tempfile::tempdir().expect("a directory");
                let path = directory.path().join("config.yaml");
                (directory, path)
            });
            try_one(path, &mut Input(data));
        });
    }
);

fn try_one(path: &Path, input: &mut Input<'_>) {
    let env = environment(input);
    let text = match input.byte() {
        0..32 => input.rest().to_vec(),
        kind => input.edited(BASES[usize::from(kind) % BASES.len()].as_bytes()),
    };
    std::fs::write(path, &text).expect("a file");
    if let Err(problems) = load(path, &env) {
        assert!(!problems.problems.is_empty(), "no config, and no problem");
        let told = problems.to_string();
        let is_written = String::from_utf8_lossy(&text).contains(CANARY);
        assert!(
            is_written || !told.contains(CANARY),
            "it shows a value:\n{told}"
        );
        for problem in problems.problems.iter().chain(&problems.warnings) {
            has_a_place(problem, &text, &env);
        }
    }
    if let Err(problems) = load_outline(path, &env) {
        assert!(!problems.problems.is_empty(), "no path, and no problem");
    }
}

fn environment(input: &mut Input<'_>) -> Environment {
    let count = input.byte() % 4;
    let given = (0..count).map(|_| {
        let name = (*input.pick(&VARIABLES)).to_owned();
        let value = match input.byte() {
            0..128 => format!("{CANARY}{}", String::from_utf8_lossy(input.short())),
            _ => format!("{}{CANARY}", String::from_utf8_lossy(input.short())),
        };
        (name, value)
    });
    let given: Vec<(String, String)> = given.collect();
    let secret = ("BILLING_SECRET".to_owned(), SECRET.to_owned());
    std::iter::once(secret).chain(given).collect()
}

fn has_a_place(problem: &Problem, text: &[u8], env: &Environment) {
    assert!(!problem.found.is_empty(), "a problem without words");
    assert!(
        !problem.found.contains("went untold"),
        "a reason that went untold"
    );
    match &problem.place {
        Place::File => {}
        Place::Mark(mark) => {
            let lines = 1 + text
                .iter()
                .filter(|byte| matches!(byte, b'\n' | b'\r'))
                .count();
            assert!(
                (1..=lines + 1).contains(&mark.line),
                "line {} of {lines}",
                mark.line
            );
            assert!(
                (1..=text.len() + 1).contains(&mark.column),
                "column {}",
                mark.column
            );
        }
        Place::Variable(name) => assert!(env.get(name).is_some(), "variable {name} is not set"),
    }
}
