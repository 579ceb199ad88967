//! `walhook demo` and `examples/demo.sh`: what a newcomer sees first, and what it leaves behind.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::installation;
use crate::harness::process::Process;

const PATIENCE: Duration = Duration::from_secs(60);

struct Demo {
    process: Process,
    /// Where it makes its directory; its path stands in the command lines of all it starts.
    temporary: TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> Demo {
        let temporary = tempfile::Builder::new()
            .prefix("wh-")
            .tempdir()
            .expect("a directory");
        // The cluster runs as another user when this is root.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(temporary.path(), open).expect("permissions");
        let mut command = Command::new(env!("CARGO_BIN_EXE_walhook"));
        command.arg("demo").args(arguments);
        command.env("TMPDIR", temporary.path());
        // What is set for another database must not get in.
        command
            .env("PGHOST", "nowhere.invalid")
            .env("WALHOOK_STATE", "/nowhere");
        if std::env::var_os("WALHOOK_TEST_PG_BIN").is_some() {
            command.env("WALHOOK_DEMO_PG_BIN", installation::programs());
        }
        let process = Process::spawn(command, Some(temporary.path()));
        Demo { process, temporary }
    }

    fn output(&self) -> String {
        self.process.output().text()
    }

    #[track_caller]
    fn assert_nothing_is_left(&self) {
        let left: Vec<_> = std::fs::read_dir(self.temporary.path())
            .expect("the directory")
            .collect();
        assert!(left.is_empty(), "{left:?}\n{}", self.output());
        let path = self.temporary.path().display().to_string();
        let processes = Command::new("ps")
            .args(["-eo", "args"])
            .output()
            .expect("ps");
        let processes = String::from_utf8_lossy(&processes.stdout).into_owned();
        // The harness' own watchdog names the directory too.
        let alive = processes
            .lines()
            .filter(|line| line.contains(&path) && line.contains("walhook-demo-"));
        assert_eq!(alive.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}

#[tokio::test]
async fn the_demo_kills_its_daemon_and_loses_nothing() {
    let demo = Demo::start(&["--for", "5s", "--rate", "20"]);
    let exited = demo.process.exited(PATIENCE).await;
    let output = demo.output();
    assert_eq!(exited.and_then(|status| status.code()), Some(0), "{output}");
    for said in [
        "crm answers 503",
        "crm is back",
        "crm has caught up",
        "kill -9",
        "it streams again",
        "nothing was lost",
        "Nothing was lost, nothing overtook, every webhook verified.",
    ] {
        assert!(output.contains(said), "{said:?} is missing:\n{output}");
    }
    for seen in [
        "order.created",
        "order.paid",
        "order.shipped",
        "503 to attempt ",
    ] {
        assert!(output.contains(seen), "{seen:?} is missing:\n{output}");
    }
    assert!(!output.contains("card_number"), "{output}");
    assert!(
        !output.contains('\u{1b}'),
        "colours without a terminal:\n{output}"
    );
    let row = |name: &str| -> Vec<usize> {
        let head = output
            .lines()
            .position(|line| line.starts_with("endpoint "))
            .expect("a table");
        let row = output
            .lines()
            .skip(head)
            .find(|line| line.starts_with(name));
        let cells = row.expect("a row").split_whitespace().skip(1);
        cells.filter_map(|cell| cell.parse().ok()).take(5).collect()
    };
    for endpoint in ["billing", "crm", "chat"] {
        let [committed, received, missing, _, overtaken] = row(endpoint)[..] else {
            panic!("five numbers of {endpoint}:\n{output}");
        };
        assert!(
            committed > 0 && committed == received,
            "{endpoint}\n{output}"
        );
        assert_eq!((missing, overtaken), (0, 0), "{endpoint}\n{output}");
    }
    demo.assert_nothing_is_left();
}

#[tokio::test]
async fn in_a_terminal_of_eighty_columns_no_line_is_longer_and_the_colours_are_a_choice() {
    for (no_color, coloured) in [("", true), ("1", false)] {
        let temporary = TempDir::new_in("/tmp").expect("a directory");
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(temporary.path(), open).expect("permissions");
        let demo = format!(
            "stty cols 80 && exec {} demo --for 5s",
            env!("CARGO_BIN_EXE_walhook")
        );
        // script(1) gives it a terminal.
        let mut command = Command::new("script");
        command.args(["-qec", &demo, "/dev/null"]);
        command
            .env("TMPDIR", temporary.path())
            .env("TERM", "xterm-256color")
            .env("NO_COLOR", no_color);
        if std::env::var_os("WALHOOK_TEST_PG_BIN").is_some() {
            command.env("WALHOOK_DEMO_PG_BIN", installation::programs());
        }
        let process = Process::spawn(command, Some(temporary.path()));
        let exited = process.exited(PATIENCE).await;
        let output = process.output().text();
        assert_eq!(exited.and_then(|status| status.code()), Some(0), "{output}");
        assert_eq!(output.contains('\u{1b}'), coloured, "{output}");
        let lines = output.lines().map(without_colours);
        let long: Vec<String> = lines.filter(|line| line.chars().count() > 80).collect();
        assert_eq!(long, Vec::<String>::new(), "{output}");
    }
}

/// Without escape sequences of the form `ESC [ ... m`.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    text
}

#[tokio::test]
async fn a_demo_that_is_interrupted_leaves_nothing_behind() {
    for signal in ["INT", "TERM", "HUP"] {
        let demo = Demo::start(&["--for", "60s"]);
        demo.process
            .output()
            .line_with("the shop opens", PATIENCE)
            .await;
        demo.process.signal(signal);
        let exited = demo.process.exited(PATIENCE).await;
        let code = exited.and_then(|status| status.code());
        assert_eq!(code, Some(1), "SIG{signal}\n{}", demo.output());
        demo.assert_nothing_is_left();
    }
}

#[tokio::test]
async fn without_postgres_it_says_what_to_install() {
    let demo = Demo::start(&["--pg-bin", "/nowhere"]);
    let exited = demo.process.exited(PATIENCE).await;
    assert_eq!(exited.and_then(|status| status.code()), Some(1));
    let output = demo.output();
    assert!(
        output.contains("there is no initdb in /nowhere"),
        "{output}"
    );
    demo.assert_nothing_is_left();
}

/// `examples/demo.sh` with a cargo that builds nothing.
fn script(cargo_version: &str) -> String {
    let directory = TempDir::new().expect("a directory");
    let cargo = directory.path().join("cargo");
    let text = format!(
        "#!/bin/sh\ncase $1 in\n--version) echo 'cargo {cargo_version} (x)' ;;\nrun) echo started with \"$@\" ;;\nesac\n"
    );
    std::fs::write(&cargo, text).expect("written");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&cargo, executable).expect("permissions");
    let path = std::env::var("PATH").expect("PATH");
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo.sh"))
        .args(["--for", "60s", "--rate", "2"])
        .env("PATH", format!("{}:{path}", directory.path().display()))
        .env("WALHOOK_DEMO_PG_BIN", "/nowhere")
        .output()
        .expect("demo.sh");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn the_script_hands_its_arguments_on_and_names_the_toolchain_that_it_needs() {
    for good in ["1.89.0", "1.100.1-nightly", "2.0.0"] {
        let said = script(good);
        assert!(
            said.contains(" -- demo --for 60s --rate 2"),
            "{good}: {said}"
        );
    }
    for old in ["1.63.0", "1.88.9", "0.66.0"] {
        let said = script(old);
        let wanted = format!("cargo {old} is here, 1.89 or later is needed: rustup update");
        assert!(said.contains(&wanted), "{old}: {said}");
        assert!(!said.contains("started"), "{old}: {said}");
    }
}
