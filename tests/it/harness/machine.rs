//! A machine with systemd as its process 1, for packages and units: this one seen through an
//! overlay, so that nothing which is installed or started there stays.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::daemon::Ran;
use super::eventually;
use super::process::{Process, signal};

pub struct Machine {
    /// Of its systemd, as this machine counts.
    init: u32,
    unshare: Process,
    _directory: TempDir,
}

impl Machine {
    /// # Errors
    ///
    /// What this machine lacks for it: root, namespaces, overlays; or that it has a systemd
    /// of its own, whose control groups the tests leave alone.
    pub async fn boot() -> Result<Machine, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("not root".to_owned());
        }
        if Path::new("/run/systemd/system").exists() {
            return Err("systemd runs here already".to_owned());
        }
        let directory = TempDir::new().expect("a directory");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/harness/machine.sh");
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation=private", "--uts", "--ipc"])
            .args(["--pid", "--fork", "--kill-child", "sh"])
            .arg(script)
            .arg(directory.path());
        let unshare = Process::spawn(command, None);
        let mut machine = Machine {
            init: 0,
            unshare,
            _directory: directory,
        };
        eventually("a machine that runs, or none", || {
            machine.init = machine.child().unwrap_or(0);
            let over = !machine.unshare.is_running();
            let up = !over && machine.init != 0 && machine.is_up();
            async move { up || over }
        })
        .await;
        if machine.unshare.is_running() {
            Ok(machine)
        } else {
            Err(machine.unshare.output().text())
        }
    }

    fn child(&self) -> Option<u32> {
        let pid = self.unshare.pid;
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    fn is_up(&self) -> bool {
        // Before systemd is executed the namespace is there, and not yet its root.
        let name = std::fs::read_to_string(format!("/proc/{}/comm", self.init));
        name.is_ok_and(|name| name.trim() == "systemd")
            && self.run(&["systemctl", "is-system-running"]).stdout.trim() == "running"
    }

    /// Runs a program there, as root, to its end.
    pub fn run(&self, command: &[&str]) -> Ran {
        let output = Command::new("nsenter")
            .arg(format!("--target={}", self.init))
            .args(["--mount", "--pid", "--uts", "--ipc", "--root", "--wd"])
            .args(command)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .output()
            .expect("nsenter");
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// A property of a unit: systemctl(1), `show`.
    pub fn property(&self, unit: &str, name: &str) -> String {
        let ran = self.run(&["systemctl", "show", "--value", "--property", name, unit]);
        ran.expect_code(0).stdout.trim().to_owned()
    }

    /// All that the journal has of a unit.
    pub fn journal(&self, unit: &str) -> String {
        self.run(&["journalctl", "--no-pager", "--unit", unit])
            .stdout
    }

    /// Where one of its files is, as this machine sees it.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.init != 0 && self.unshare.is_running() {
            signal(self.init, "KILL");
        }
    }
}
