//! A child process that ends with its owner: on drop, on a panic, and when the test process is killed.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::panic::Location;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// A running program: its exit, and every line that it printed.
pub struct Process {
    pub pid: u32,
    exit: watch::Receiver<Option<ExitStatus>>,
    output: Output,
    watchdog: Child,
}

/// The lines of stdout and stderr in the order of their arrival.
#[derive(Clone)]
pub struct Output {
    lines: Arc<Mutex<Vec<String>>>,
    count: Arc<watch::Sender<usize>>,
}

/// Waits until its stdin closes, which it does at the latest when the test process is gone.
const WATCHDOG: &str = r#"
read -r _
kill -QUIT "$0" 2>/dev/null
sleep 2
kill -KILL "$0" 2>/dev/null
[ -z "$1" ] || rm -rf "$1"
"#;

impl Process {
    /// Starts `command`. Should the test process be killed, the watchdog ends
    /// the child and removes `leftovers`.
    pub fn spawn(mut command: Command, leftovers: Option<&Path>) -> Process {
        let program = command.get_program().to_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        let pid = child.id();
        let watchdog = Command::new("sh")
            .arg("-c")
            .arg(WATCHDOG)
            .arg(pid.to_string())
            .args(leftovers)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh");

        let output = Output::new();
        let readers = [
            output.follow(child.stdout.take().expect("stdout is piped")),
            output.follow(child.stderr.take().expect("stderr is piped")),
        ];
        let (ended, exit) = watch::channel(None);
        std::thread::spawn(move || {
            let status = child.wait().expect("a child to wait for");
            // A grandchild may hold the pipes open: the last lines get a moment, not for ever.
            let deadline = Instant::now() + Duration::from_millis(500);
            while readers.iter().any(|reader| !reader.is_finished()) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
            ended.send_replace(Some(status));
        });
        Process {
            pid,
            exit,
            output,
            watchdog,
        }
    }

    /// Sends the signal of this name (`TERM`), unless the process has ended.
    pub fn signal(&self, name: &str) {
        if self.exit.borrow().is_none() {
            signal(self.pid, name);
        }
    }

    pub fn is_running(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// How it ended, or `None` when it still runs after this long.
    pub async fn exited(&self, within: Duration) -> Option<ExitStatus> {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some);
        let status = tokio::time::timeout(within, ended).await.ok()?;
        *status.expect("the thread that waits for the child")
    }

    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Ends it by `first` and, if that takes longer than `patience`, by SIGKILL. Blocks.
    pub fn end(&mut self, first: &str, patience: Duration) {
        self.signal(first);
        let deadline = Instant::now() + patience;
        while self.is_running() {
            if Instant::now() > deadline {
                self.signal("KILL");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end("KILL", Duration::from_secs(5));
        self.watchdog.kill().ok();
        self.watchdog.wait().ok();
    }
}

impl Output {
    fn new() -> Output {
        Output {
            lines: Arc::default(),
            count: Arc::new(watch::channel(0).0),
        }
    }

    fn follow(&self, from: impl Read + Send + 'static) -> std::thread::JoinHandle<()> {
        let output = self.clone();
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                output.lines.lock().expect("lines").push(text);
                output.count.send_modify(|count| *count += 1);
                line.clear();
            }
        })
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("lines").clone()
    }

    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// Waits for a line that holds `part` and returns it.
    #[track_caller]
    pub fn line_with(&self, part: &str, within: Duration) -> impl Future<Output = String> {
        let caller = Location::caller();
        let mut changed = self.count.subscribe();
        async move {
            let search = async {
                let mut from = 0;
                loop {
                    changed.borrow_and_update();
                    let lines = self.lines();
                    if let Some(line) = lines[from..].iter().find(|line| line.contains(part)) {
                        return line.clone();
                    }
                    from = lines.len();
                    changed
                        .changed()
                        .await
                        .expect("the output outlives its reader");
                }
            };
            match tokio::time::timeout(within, search).await {
                Ok(line) => line,
                Err(_) => panic!(
                    "{caller}: no line with {part:?} within {within:?}, only:\n{}",
                    self.text()
                ),
            }
        }
    }
}

/// Sends a signal by name. By the shell's own `kill`, as std has none and unsafe code is forbidden.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("sh")
        .args(["-c", r#"kill -"$0" "$1""#, name, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
    // It is sent in drops too, and a second panic would end the whole test process.
    if !std::thread::panicking() {
        sent.expect("sh");
    }
}
