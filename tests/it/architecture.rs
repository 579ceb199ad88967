//! The house: which part of `src` may know which.
//!
//! Imports run downwards: the words; the pure rooms; the edges, which do not know one
//! another; then what joins them; then daemon and cli, which nobody imports.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const WORDS: &[&str] = &["lsn", "change", "event", "secret", "failpoint"];

/// What a room may import, beside the words and itself.
const ROOMS: &[(&str, &[&str])] = &[
    ("lsn", &[]),
    ("change", &[]),
    ("event", &[]),
    ("secret", &[]),
    ("failpoint", &[]),
    ("pgoutput", &[]),
    ("mapping", &["pgoutput"]),
    ("progress", &[]),
    ("delivery", &["pgoutput", "mapping", "progress"]),
    ("postgres", &["pgoutput", "mapping", "progress"]),
    ("store", &["pgoutput", "mapping", "progress"]),
    ("telemetry", &["progress", "store"]),
    (
        "lane",
        &["mapping", "progress", "delivery", "store", "telemetry"],
    ),
    ("receiver", &["delivery"]),
    (
        "config",
        &[
            "pgoutput",
            "mapping",
            "progress",
            "delivery",
            "postgres",
            "store",
            "lane",
            "telemetry",
        ],
    ),
    (
        "daemon",
        &[
            "pgoutput",
            "mapping",
            "progress",
            "delivery",
            "postgres",
            "store",
            "lane",
            "telemetry",
            "config",
        ],
    ),
    (
        "cli",
        &[
            "pgoutput",
            "mapping",
            "progress",
            "delivery",
            "postgres",
            "store",
            "lane",
            "telemetry",
            "receiver",
            "config",
            "daemon",
        ],
    ),
];

/// No tokio, no clock, no environment: time and chance are arguments.
const PURE: &[&str] = &[
    "lsn",
    "change",
    "event",
    "secret",
    "pgoutput",
    "mapping",
    "progress",
    "lane/state",
    "lane/health",
    "lane/attempt",
    "lane/name",
    "lane/options",
    "delivery/signature",
    "delivery/outcome",
    "delivery/backoff",
];

const IMPURE: &[&str] = &[
    "tokio",
    "Instant::now",
    "SystemTime::now",
    "std::env",
    "std::fs",
    "std::net",
    "fastrand::",
];

/// A library that one room alone knows.
const OWNED: &[(&str, &str)] = &[
    ("reqwest", "delivery"),
    ("rusqlite", "store"),
    ("tokio_postgres", "postgres"),
    ("postgres_protocol", "postgres"),
    ("prometheus_client", "telemetry"),
    ("cel::", "mapping"),
    ("figment", "config"),
    ("saphyr", "config"),
];

struct Source {
    /// Below `src`, without `.rs`: `lane/state`.
    path: String,
    /// Without comments and tests.
    code: String,
}

impl Source {
    fn room(&self) -> &str {
        self.path.split('/').next().expect("a first part")
    }

    /// A file of unit tests: `tests/`, `tests.rs`, `state_tests.rs`.
    fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.any(|part| part == "tests" || part.ends_with("_tests"))
    }

    fn is_in(&self, place: &str) -> bool {
        let rest = self.path.strip_prefix(place);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let read = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).expect("a source file");
        let path = file
            .strip_prefix(&root)
            .expect("below src")
            .with_extension("");
        Source {
            path: path.to_str().expect("UTF-8").to_owned(),
            code: code_of(&text),
        }
    };
    let sources = files.into_iter().map(read);
    sources.filter(|source| !source.is_test()).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory of src") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn code_of(text: &str) -> String {
    let text = text
        .split("#[cfg(test)]\nmod tests")
        .next()
        .expect("a first part");
    let lines = text
        .lines()
        .map(|line| line.split("//").next().expect("a first part"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The rooms behind `crate::`, also those of `use crate::{a, b::c}`.
fn imports(code: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(first_word(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        for (index, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && !c.is_whitespace() => {
                    found.insert(first_word(&list[index..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    found
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

#[test]
fn imports_run_downwards() {
    let mut wrong = Vec::new();
    for source in sources() {
        let room = source.room();
        if room == "main" || room == "lib" {
            continue;
        }
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!(
                "src/{}.rs is in no room that this test knows",
                source.path
            ));
            continue;
        };
        for import in imports(&source.code) {
            if import != room && !allowed.contains(&import) && !WORDS.contains(&import) {
                wrong.push(format!("src/{}.rs imports {import}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_rooms_know_no_tokio_no_clock_and_no_environment() {
    let mut wrong = Vec::new();
    for source in sources() {
        if PURE.iter().any(|place| source.is_in(place)) {
            let found = IMPURE.iter().filter(|word| source.code.contains(**word));
            wrong.extend(found.map(|word| format!("src/{}.rs: {word}", source.path)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_library_has_one_owner() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (library, owner) in OWNED {
            if source.room() != *owner && contains_path(&source.code, library) {
                wrong.push(format!("src/{}.rs knows {library}", source.path));
            }
        }
        if !matches!(source.room(), "daemon" | "cli") && source.code.contains("tokio::spawn(") {
            wrong.push(format!("src/{}.rs spawns", source.path));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// `name` stands there as the beginning of a path, not as the end of a longer word.
fn contains_path(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
    })
}

#[test]
fn this_test_can_read_imports() {
    let code = "use crate::lsn::Lsn;\nuse crate::{change::{Change, Tuple}, event};\nlet x = crate::store::open();";
    let found: Vec<_> = imports(code).into_iter().collect();
    assert_eq!(found, ["change", "event", "lsn", "store"]);
    assert_eq!(
        code_of("a // crate::b\n#[cfg(test)]\nmod tests { crate::c"),
        "a "
    );
    assert!(contains_path("use cel::Program", "cel::"));
    assert!(!contains_path("excel::x", "cel::"));
}
