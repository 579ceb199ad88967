//! The daemon, as a process of its own: what is shown can be killed.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

/// The same time as a daemon takes itself, and a little more.
const GRACE: Duration = Duration::from_secs(25);

#[derive(Debug)]
pub struct Daemon {
    config: PathBuf,
    secrets: Vec<(&'static str, String)>,
    log: PathBuf,
    notified: UnixDatagram,
    child: Option<Child>,
}

impl Daemon {
    /// Not started yet. Its log and its notifications go into `directory`.
    pub fn new(
        directory: &Path,
        config: PathBuf,
        secrets: Vec<(&'static str, String)>,
    ) -> anyhow::Result<Self> {
        Ok(Daemon {
            config,
            secrets,
            log: directory.join("walhook.log"),
            notified: UnixDatagram::bind(directory.join("notify"))?,
            child: None,
        })
    }

    pub fn start(&mut self) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("failed to find this program")?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let socket = self.notified.local_addr()?;
        let mut command = Command::new(program);
        command
            .arg("--config")
            .arg(&self.config)
            .arg("run")
            // A PGHOST or WALHOOK_STATE of the caller's is not meant for it.
            .env_clear()
            .envs(self.secrets.iter().map(|(name, value)| (name, value)))
            .env(
                "NOTIFY_SOCKET",
                socket.as_pathname().unwrap_or(Path::new("")),
            )
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true);
        self.child = Some(command.spawn().context("failed to start the daemon")?);
        Ok(())
    }

    /// Comes back when it says that it streams, with an error when it ended instead.
    pub async fn ready_or_ended(&mut self) -> anyhow::Result<()> {
        let Some(child) = &mut self.child else {
            bail!("the daemon does not run");
        };
        tokio::select! {
            ready = ready(&self.notified) => ready,
            status = child.wait() => Err(anyhow!("the daemon ended with {}", status?)),
        }
    }

    /// Comes back when it has ended by itself; never while none runs.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        match &mut self.child {
            Some(child) => Ok(child.wait().await?),
            None => std::future::pending().await,
        }
    }

    /// SIGKILL: it gets no chance to write anything.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// SIGTERM. Whether it ended well, and within its time.
    pub async fn stop(&mut self) -> anyhow::Result<bool> {
        let Some(mut child) = self.child.take() else {
            return Ok(true);
        };
        let pid = child
            .id()
            .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid {
            // An error means that it has ended.
            let _ = kill_process(pid, Signal::TERM);
        }
        match tokio::time::timeout(GRACE, child.wait()).await {
            Ok(status) => Ok(status?.success()),
            Err(_) => {
                child.kill().await?;
                Ok(false)
            }
        }
    }

    /// The end of what it logged.
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(10);
        lines.get(from..).unwrap_or_default().join("\n")
    }
}

/// What systemd would be told.
async fn ready(notified: &UnixDatagram) -> anyhow::Result<()> {
    let mut message = [0; 4096];
    loop {
        let length = notified.recv(&mut message).await?;
        let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default());
        if text.lines().any(|line| line == "READY=1") {
            return Ok(());
        }
    }
}
