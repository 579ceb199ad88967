//! The daemon as an operator has it: a config file, a process, an admin port, commands.

use std::net::{Ipv4Addr, SocketAddr};
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;
use tokio::time::Instant;

use super::cluster::free_port;
use super::database::Database;
use super::metrics::Metrics;
use super::process::{Output, Process};
use super::receiver::Receiver;
use super::{SOON, http, runtime};

const BINARY: &str = env!("CARGO_BIN_EXE_walhook");

/// Defaults of the tests' endpoints: what would take long is short.
const QUICK: [(&str, &str); 2] = [("timeout", "3s"), ("retry", "{ max: 200ms }")];

/// What goes into the config file.
pub struct Builder {
    url: String,
    source: String,
    state: Option<PathBuf>,
    top: String,
    endpoints: String,
    tables: String,
    env: Vec<(String, String)>,
}

pub struct Daemon {
    directory: TempDir,
    state: PathBuf,
    admin: SocketAddr,
    env: Vec<(String, String)>,
    process: Option<Process>,
    /// What earlier processes printed.
    printed: Vec<String>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A line of `walhook dead list --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct DeadLetter {
    pub id: i64,
    pub event_id: String,
    state: String,
}

impl DeadLetter {
    /// As the commands take it.
    pub fn number(&self) -> String {
        self.id.to_string()
    }
}

impl Ran {
    /// Both outputs.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    #[track_caller]
    pub fn expect_code(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "{}", self.text());
        self
    }
}

impl Builder {
    /// An endpoint at the receiver, with its secret (from a variable) and short times.
    pub fn endpoint(self, name: &str, receiver: &Receiver) -> Builder {
        self.endpoint_with(name, receiver, "")
    }

    /// The same with further options, lines of YAML.
    pub fn endpoint_with(mut self, name: &str, receiver: &Receiver, options: &str) -> Builder {
        let variable = format!("{}_SECRET", name.to_uppercase());
        let mut lines = format!("url: {}\n", receiver.url());
        if !options.lines().any(|line| line.starts_with("secret:")) {
            lines.push_str(&format!("secret: ${{{variable}}}\n"));
        }
        for (option, value) in QUICK {
            let given = format!("{option}:");
            if !options.lines().any(|line| line.starts_with(&given)) {
                lines.push_str(&format!("{option}: {value}\n"));
            }
        }
        lines.push_str(options);
        self.env.push((variable, receiver.secret()));
        self.endpoint_as_written(name, &lines)
    }

    /// An endpoint from its YAML alone.
    pub fn endpoint_as_written(mut self, name: &str, yaml: &str) -> Builder {
        self.endpoints.push_str(&entry(name, yaml));
        self
    }

    /// An entry of `tables`, lines of YAML.
    pub fn table(mut self, name: &str, yaml: &str) -> Builder {
        self.tables.push_str(&entry(name, yaml));
        self
    }

    /// Lines of YAML at the top level.
    pub fn top(mut self, yaml: &str) -> Builder {
        self.top.push_str(yaml);
        self.top.push('\n');
        self
    }

    /// Another connection string, URL or keywords.
    pub fn url(mut self, url: &str) -> Builder {
        url.clone_into(&mut self.url);
        self
    }

    /// In place of `slot: <the database's>`.
    pub fn source(mut self, yaml: &str) -> Builder {
        yaml.clone_into(&mut self.source);
        self
    }

    pub fn state(mut self, path: &Path) -> Builder {
        self.state = Some(path.to_owned());
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Builder {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes the config and starts nothing.
    pub fn prepare(self) -> Daemon {
        let made = tempfile::Builder::new().prefix("walhook-daemon-").tempdir();
        let directory = made.expect("a temporary directory");
        let state = self
            .state
            .unwrap_or_else(|| directory.path().join("state.db"));
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let tables = match self.tables.as_str() {
            "" => "",
            _ => "tables:\n",
        };
        let config = format!(
            "source:\n  url: {}\n{}state: {}\nadmin: {{ listen: \"{admin}\" }}\n{}endpoints:\n{}{tables}{}",
            quoted(&self.url),
            indented(&self.source, 2),
            quoted(&state.display().to_string()),
            self.top,
            self.endpoints,
            self.tables,
        );
        let daemon = Daemon {
            directory,
            state,
            admin,
            env: self.env,
            process: None,
            printed: Vec::new(),
        };
        daemon.set_config(&config);
        daemon
    }

    /// Starts the daemon and does not wait for it.
    pub fn launch(self) -> Daemon {
        let mut daemon = self.prepare();
        daemon.launch();
        daemon
    }

    /// Starts the daemon and waits until it streams.
    #[track_caller]
    pub fn start(self) -> impl Future<Output = Daemon> {
        let caller = Location::caller();
        async move {
            let daemon = self.launch();
            daemon.streams(caller).await;
            daemon
        }
    }
}

impl Daemon {
    pub fn of(database: &Database) -> Builder {
        Builder {
            url: database.url(),
            source: format!("slot: {}", database.slot),
            ..Daemon::without_database()
        }
    }

    /// A config whose database is nowhere, for what comes before any connection.
    pub fn without_database() -> Builder {
        Builder {
            url: "postgres://nobody@127.0.0.1:1/nowhere".to_owned(),
            source: "slot: none".to_owned(),
            state: None,
            top: String::new(),
            endpoints: String::new(),
            tables: String::new(),
            env: Vec::new(),
        }
    }

    // ---- the process -----------------------------------------------------------------------

    /// Starts it anew on the same config and state.
    pub fn launch(&mut self) {
        assert!(self.process.is_none(), "the daemon runs already");
        let mut command = self.command(&["run"]);
        command.envs(self.env.iter().cloned());
        self.process = Some(Process::spawn(command, Some(self.directory.path())));
    }

    /// The same, with whatever it prints going to a disk that is full.
    pub fn launch_unheard(&mut self) {
        assert!(self.process.is_none(), "the daemon runs already");
        let command = self.unheard(&["run"]);
        self.process = Some(Process::spawn(command, Some(self.directory.path())));
    }

    /// Waits until `/readyz` says 200.
    #[track_caller]
    pub fn ready(&self) -> impl Future<Output = ()> {
        self.streams(Location::caller())
    }

    async fn streams(&self, caller: &'static Location<'static>) {
        let deadline = Instant::now() + SOON;
        loop {
            match http::get(self.admin, "/readyz").await {
                Ok((200, _)) => return,
                answer if !self.running().is_running() || Instant::now() > deadline => {
                    panic!(
                        "{caller}: the daemon is not ready: {answer:?}\n{}",
                        self.output()
                    )
                }
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// SIGTERM; the exit code, which comes within 20 s.
    pub async fn stop(&mut self) -> i32 {
        self.running().signal("TERM");
        self.exit_code().await
    }

    /// SIGKILL, and waits for the end.
    pub async fn kill(&mut self) {
        self.running().signal("KILL");
        let exited = self.running().exited(SOON).await;
        exited.expect("an end by SIGKILL");
        self.forget_process();
    }

    /// A graceful stop and a start; ready when it returns.
    pub async fn restart(&mut self) {
        assert_eq!(self.stop().await, 0, "{}", self.output());
        self.launch();
        self.ready().await;
    }

    /// Waits until it ends by itself, within 20 s.
    #[track_caller]
    pub fn exit_code(&mut self) -> impl Future<Output = i32> {
        let caller = Location::caller();
        async move {
            let exited = self.running().exited(SOON).await;
            let status = exited.unwrap_or_else(|| {
                panic!(
                    "{caller}: the daemon did not end within {SOON:?}\n{}",
                    self.output()
                )
            });
            self.forget_process();
            status.code().unwrap_or_else(|| {
                panic!("{caller}: the daemon ended by {status}\n{}", self.output())
            })
        }
    }

    pub fn pid(&self) -> u32 {
        self.running().pid
    }

    /// The most that the process has had resident, in bytes: `VmHWM` of proc(5).
    pub fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("the process' status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.expect("VmHWM").parse().expect("a number");
        kib * 1024
    }

    pub fn is_running(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_running)
    }

    pub fn signal(&self, name: &str) {
        self.running().signal(name);
    }

    /// Its lines, to wait for one.
    pub fn lines(&self) -> &Output {
        self.running().output()
    }

    /// All that it printed, also before a restart.
    pub fn output(&self) -> String {
        let mut text = self.printed.join("\n");
        if let Some(process) = &self.process {
            text.push_str(&process.output().text());
        }
        text
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("a daemon that was started")
    }

    fn forget_process(&mut self) {
        if let Some(process) = self.process.take() {
            self.printed.extend(process.output().lines());
        }
    }

    /// What `src/failpoint.rs` is to do from the next start on; the empty text: nothing.
    pub fn set_failpoint(&mut self, failpoint: &str) {
        self.env.retain(|(name, _)| name != "WALHOOK_FAILPOINT");
        self.env
            .push(("WALHOOK_FAILPOINT".to_owned(), failpoint.to_owned()));
    }

    /// Waits until it ends by itself, in whatever way.
    pub async fn end(&mut self) -> ExitStatus {
        let exited = self.running().exited(SOON).await;
        let status = exited.unwrap_or_else(|| panic!("the daemon runs on\n{}", self.output()));
        self.forget_process();
        status
    }

    // ---- its files -------------------------------------------------------------------------

    pub fn config(&self) -> String {
        std::fs::read_to_string(self.config_path()).expect("the config")
    }

    pub fn set_config(&self, text: &str) {
        std::fs::write(self.config_path(), text).expect("the config");
    }

    /// Replaces a part of the config that must be there.
    #[track_caller]
    pub fn edit_config(&self, from: &str, to: &str) {
        let config = self.config();
        assert!(config.contains(from), "no {from:?} in\n{config}");
        self.set_config(&config.replace(from, to));
    }

    pub fn config_path(&self) -> PathBuf {
        self.directory.path().join("config.yaml")
    }

    pub fn state_path(&self) -> &Path {
        &self.state
    }

    /// Why events are missing, as the state file has it to be announced. None runs.
    pub fn gaps(&self) -> Vec<String> {
        let file = rusqlite::Connection::open(&self.state).expect("the state file");
        let sql = "SELECT reason FROM gap WHERE announced_at_ms IS NULL AND from_lsn <= to_lsn \
                   ORDER BY reason";
        let mut statement = file.prepare(sql).expect("the gaps");
        let reasons = statement.query_map([], |row| row.get(0)).expect("the gaps");
        reasons.map(|reason| reason.expect("a reason")).collect()
    }

    /// The checkpoint as a crash now would leave it; `None` before the first.
    pub fn durable(&self) -> Option<u64> {
        // Of a copy: opening the file itself would change what the next start finds.
        let copy = tempfile::tempdir().expect("a temporary directory");
        let name = self.state.file_name().expect("a file name");
        for suffix in ["", "-wal"] {
            let with_suffix = |path: &Path| {
                let mut path = path.to_owned().into_os_string();
                path.push(suffix);
                PathBuf::from(path)
            };
            // Before its first start there is none.
            std::fs::copy(
                with_suffix(&self.state),
                with_suffix(&copy.path().join(name)),
            )
            .ok();
        }
        let file = rusqlite::Connection::open(copy.path().join(name)).expect("the state file");
        let lsn = file.query_row("SELECT max(checkpoint_lsn) FROM slot", [], |row| row.get(0));
        lsn.unwrap_or(None).map(i64::cast_unsigned)
    }

    // ---- its admin port and commands -------------------------------------------------------

    /// Status and body of a page of the admin port.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let answer = http::get(self.admin, path).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.output()))
    }

    /// The status of `/readyz`; `None` when the port does not answer.
    pub async fn readiness(&self) -> Option<u16> {
        let answer = http::get(self.admin, "/readyz").await;
        answer.ok().map(|(status, _)| status)
    }

    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    pub async fn metrics(&self) -> Metrics {
        let (status, page) = self.get("/metrics").await;
        assert_eq!(status, 200, "{page}");
        Metrics::parse(&page)
    }

    /// Runs a command with this config and without the secrets, as an operator at a shell does.
    pub async fn cli(&self, arguments: &[&str]) -> Ran {
        ran(self.command(arguments)).await
    }

    /// Runs a command with the daemon's own environment.
    pub async fn cli_with_secrets(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        command.envs(self.env.iter().cloned());
        ran(command).await
    }

    /// The same, with whatever it prints going to a disk that is full; its exit code.
    pub async fn cli_unheard(&self, arguments: &[&str]) -> i32 {
        ran(self.unheard(arguments)).await.code
    }

    /// `walhook status --json`.
    pub async fn status(&self) -> serde_json::Value {
        let ran = self.cli(&["status", "--json"]).await.expect_code(0);
        let parsed = serde_json::from_str(&ran.stdout);
        parsed.unwrap_or_else(|error| panic!("{error}: {}", ran.text()))
    }

    /// The dead letters, in the order of `walhook dead list`, without those being retried.
    pub async fn dead_letters(&self) -> Vec<DeadLetter> {
        let ran = self.cli(&["dead", "list", "--json"]).await.expect_code(0);
        let parse = |line: &str| -> DeadLetter {
            let parsed = serde_json::from_str(line);
            parsed.unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        let letters = ran.stdout.lines().map(parse);
        letters.filter(|letter| letter.state == "dead").collect()
    }

    /// The ids of their events.
    pub async fn dead_events(&self) -> Vec<String> {
        let letters = self.dead_letters().await;
        letters.into_iter().map(|letter| letter.event_id).collect()
    }

    fn unheard(&self, arguments: &[&str]) -> Command {
        let command = self.command(arguments);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "exec \"$0\" \"$@\" >/dev/full 2>&1"])
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(self.directory.path())
            .envs(self.env.iter().cloned());
        for (name, _) in command.get_envs() {
            shell.env_remove(name);
        }
        shell
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(arguments)
            .arg("--config")
            .arg(self.config_path())
            .current_dir(self.directory.path());
        // The tester's own settings are no part of the test.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("PG") || name.starts_with("WALHOOK_") || name == "RUST_LOG" {
                command.env_remove(name.as_ref());
            }
        }
        command
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let config = std::fs::read_to_string(self.config_path()).unwrap_or_default();
            eprintln!("---- the daemon's config\n{config}");
            eprintln!("---- the daemon's output\n{}", self.output());
        }
    }
}

/// The binary alone, without a config.
pub async fn walhook(arguments: &[&str]) -> Ran {
    let mut command = Command::new(BINARY);
    command.args(arguments);
    ran(command).await
}

async fn ran(mut command: Command) -> Ran {
    // On the harness's runtime, as the test's own would wait for a command that hangs.
    let output = runtime().spawn_blocking(move || command.output());
    let output = tokio::time::timeout(Duration::from_secs(60), output).await;
    let output = output.expect("the command to end within 60 s");
    let output = output.expect("no panic").expect("the binary");
    Ran {
        code: output.status.code().expect("an exit code, no signal"),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn entry(name: &str, yaml: &str) -> String {
    format!("  '{name}':\n{}", indented(yaml, 4))
}

fn indented(yaml: &str, by: usize) -> String {
    let indent = " ".repeat(by);
    let lines = yaml.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| format!("{indent}{line}\n")).collect()
}

/// A YAML scalar in single quotes.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
