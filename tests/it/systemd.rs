//! As a service: what systemd is told, and the units that are shipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixDatagram;

use crate::harness::{ALL_EVENTS, Cluster, Daemon, ORDERS, Receiver, SOON};

/// systemd's side of the notification socket.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    _directory: TempDir,
}

impl Manager {
    fn new() -> Manager {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("notify");
        Manager {
            socket: UnixDatagram::bind(&path).expect("a socket"),
            path,
            _directory: directory,
        }
    }

    fn path(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }

    /// The messages up to the first with this line.
    async fn until(&self, wanted: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut message = [0; 4096];
        let search = async {
            loop {
                let length = self.socket.recv(&mut message).await.expect("a message");
                let text = String::from_utf8_lossy(&message[..length]).into_owned();
                lines.extend(text.lines().map(str::to_owned));
                if lines.iter().any(|line| line.contains(wanted)) {
                    break;
                }
            }
        };
        let found = tokio::time::timeout(SOON, search).await;
        assert!(found.is_ok(), "no {wanted:?} in {lines:?}");
        lines
    }
}

#[tokio::test]
async fn systemd_hears_ready_once_it_streams_and_what_it_waits_for() {
    let cluster = Cluster::own().start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    assert!(cluster.stop_fast(SOON).await);
    let manager = Manager::new();
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint("r", &receiver)
        .table("public.orders", ALL_EVENTS)
        .env("NOTIFY_SOCKET", manager.path())
        .env("WATCHDOG_USEC", "4000000");
    let mut daemon = daemon.launch();
    let before = manager.until("STATUS=").await;
    assert!(!before.iter().any(|line| line == "READY=1"), "{before:?}");
    // Its own clock beats also while it waits for the database.
    manager.until("WATCHDOG=1").await;
    cluster.start().await;
    let ready = manager.until("READY=1").await;
    assert!(
        ready.iter().any(|line| line == "STATUS=streaming"),
        "{ready:?}"
    );
    manager.until("WATCHDOG=1").await;
    daemon.signal("TERM");
    manager.until("STOPPING=1").await;
    assert_eq!(daemon.exit_code().await, 0);
}

#[tokio::test]
async fn logs_are_json_when_asked_for_and_another_format_is_an_error() {
    let receiver = Receiver::start().await;
    let daemon = |format: &str| {
        Daemon::without_database()
            .endpoint("r", &receiver)
            .table("public.orders", ALL_EVENTS)
            .env("WALHOOK_LOG_FORMAT", format)
            .launch()
    };
    let json = daemon("json");
    let line = json.lines().line_with("not streaming", SOON).await;
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["level"], "WARN");
    assert!(
        line["reason"].is_string() && line["timestamp"].is_string(),
        "{line}"
    );
    let mut wrong = daemon("xml");
    assert_eq!(wrong.exit_code().await, 1);
    assert!(
        wrong.output().contains("WALHOOK_LOG_FORMAT is \"xml\""),
        "{}",
        wrong.output()
    );
}

#[test]
fn in_the_journal_lines_have_priorities_and_no_second_time() {
    let daemon = Daemon::without_database().prepare();
    daemon.set_config(
        "source: {url: postgres://nobody@127.0.0.1:1/nowhere}\nstate: ./s.db\nadmin: {listen: off}\n\
         endpoints: {r: {url: http://127.0.0.1:1/, secret: whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD}}\n\
         tables: {public.orders: {to: r, events: {insert: a}}}\n",
    );
    // Its standard error is what JOURNAL_STREAM names, as under systemd.
    let script =
        r#"JOURNAL_STREAM=$(stat -L -c %d:%i /dev/stderr) exec timeout 2 "$0" run --config "$1""#;
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_walhook")])
        .arg(daemon.config_path())
        .output()
        .expect("sh");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find(|line| line.contains("not streaming"));
    assert!(
        line.is_some_and(|line| line.starts_with("<4>not streaming")),
        "{text}"
    );
}

/// The unit as it is shipped, but for the place of the binary.
fn unit(name: &str, directory: &Path, as_name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging/systemd")
        .join(name);
    let text = std::fs::read_to_string(source).expect("a unit");
    assert!(text.contains("/usr/bin/walhook"), "{text}");
    let text = text.replace("/usr/bin/walhook", env!("CARGO_BIN_EXE_walhook"));
    let path = directory.join(as_name);
    std::fs::write(&path, text).expect("written");
    path
}

#[test]
fn the_units_are_right_and_hardened() {
    let directory = TempDir::new().expect("a directory");
    for (name, as_name) in [
        ("walhook.service", "walhook.service"),
        ("walhook@.service", "walhook@orders.service"),
    ] {
        let unit = unit(name, directory.path(), as_name);
        let run = |arguments: &[&str]| {
            let output = Command::new("systemd-analyze")
                .args(arguments)
                .arg(&unit)
                .output()
                .expect("systemd-analyze");
            let text = [output.stdout, output.stderr].concat();
            (
                output.status.success(),
                String::from_utf8_lossy(&text).into_owned(),
            )
        };
        let (verified, text) = run(&["verify", "--man=no", "--recursive-errors=no"]);
        assert!(verified, "{as_name}: {text}");
        assert!(!text.contains(as_name), "{as_name}: {text}");
        // In tenths: an exposure of 2.0.
        let (hardened, text) = run(&["security", "--offline=true", "--threshold=20", "--no-pager"]);
        assert!(hardened, "{as_name}: {text}");
    }
}

#[test]
fn the_unit_gives_a_stop_its_time() {
    let directory = TempDir::new().expect("a directory");
    let unit = unit("walhook.service", directory.path(), "walhook.service");
    let text = std::fs::read_to_string(unit).expect("a unit");
    let seconds = text
        .lines()
        .find_map(|line| line.strip_prefix("TimeoutStopSec="));
    let seconds: u64 = seconds.expect("a timeout").parse().expect("seconds");
    assert!(Duration::from_secs(seconds) > Duration::from_secs(20));
}
