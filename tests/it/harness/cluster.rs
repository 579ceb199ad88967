//! A Postgres of our own: never the one that the distribution may have started.
//!
//! `initdb` runs once a test process; each cluster is a copy of its result. The server is
//! our direct child (no `pg_ctl`, which detaches), with `fsync` off and everything under one
//! temporary directory. Run by root, it belongs to the user `postgres` or `nobody`.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls};

use super::database::Database;
use super::installation::{as_server_user, server_program, server_user, sweep_at_the_end};
use super::process::{Process, signal};
use super::runtime;

/// What every cluster starts with; a later line wins over an earlier one.
const SETTINGS: &[(&str, &str)] = &[
    ("wal_level", "logical"),
    ("max_replication_slots", "100"),
    ("max_wal_senders", "100"),
    ("max_connections", "300"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("autovacuum", "off"),
    ("track_commit_timestamp", "on"),
    ("shared_buffers", "64MB"),
    ("max_wal_size", "4GB"),
    ("listen_addresses", "'127.0.0.1'"),
    ("log_min_messages", "log"),
    ("log_line_prefix", "'%m %a '"),
];

/// Members of the role `by_password` give one, all others are trusted.
const HBA: &str = "\
local all all                       trust
host  all +by_password 127.0.0.1/32 scram-sha-256
host  all all          127.0.0.1/32 trust
";

pub struct Cluster {
    directory: TempDir,
    pub port: u16,
    settings: Mutex<Vec<(String, String)>>,
    server: Mutex<Option<Process>>,
    databases: AtomicUsize,
}

/// A cluster that a test may stop, break or set up in its own way.
#[derive(Default)]
pub struct Own {
    settings: Vec<(String, String)>,
    fresh_identity: bool,
    /// Its data directory is made already.
    copied: Option<TempDir>,
    port: Option<u16>,
}

impl Own {
    pub fn setting(mut self, name: &str, value: &str) -> Own {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Its own `initdb`: clusters copied from the template share one system identifier.
    pub fn fresh_identity(mut self) -> Own {
        self.fresh_identity = true;
        self
    }

    /// In the place of a server that was stopped.
    pub fn at_port(mut self, port: u16) -> Own {
        self.port = Some(port);
        self
    }

    /// As a standby that is promoted: it goes on on a timeline of its own.
    pub fn promoted(self) -> Own {
        let directory = self.copied.as_ref().expect("a copy of a cluster");
        std::fs::write(directory.path().join("data/recovery.signal"), "").expect("a signal file");
        self.setting("restore_command", "'false'")
    }

    pub async fn start(self) -> Arc<Cluster> {
        let is_copy = self.copied.is_some();
        let directory = self.copied.unwrap_or_else(|| {
            let directory = directory("walhook-pg-");
            if self.fresh_identity {
                initdb(directory.path());
            } else {
                copy_data(&template().join("data"), directory.path());
            }
            directory
        });
        let mut settings: Vec<_> = SETTINGS
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        settings.extend(self.settings);
        let cluster = Arc::new(Cluster {
            directory,
            port: self.port.unwrap_or_else(free_port),
            settings: Mutex::new(settings),
            server: Mutex::new(None),
            databases: AtomicUsize::new(0),
        });
        cluster.start().await;
        if !is_copy {
            cluster.admin("CREATE ROLE by_password NOLOGIN").await;
        }
        cluster
    }
}

impl Cluster {
    /// The cluster that tests share as long as one of them holds it.
    pub async fn shared() -> Arc<Cluster> {
        static SHARED: tokio::sync::Mutex<Weak<Cluster>> =
            tokio::sync::Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(cluster) = shared.upgrade() {
            return cluster;
        }
        let cluster = Cluster::own().start().await;
        *shared = Arc::downgrade(&cluster);
        cluster
    }

    pub fn own() -> Own {
        Own::default()
    }

    /// A snapshot of its disk. The server must be stopped.
    pub fn copy(&self) -> Own {
        assert!(
            self.server.lock().expect("server").is_none(),
            "the server runs"
        );
        let directory = directory("walhook-pg-");
        copy_data(&self.data_directory(), directory.path());
        Own {
            copied: Some(directory),
            ..Own::default()
        }
    }

    /// A new database, with a slot name that no other has.
    pub async fn database(self: &Arc<Self>) -> Database {
        self.database_in("UTF8").await
    }

    pub async fn database_in(self: &Arc<Self>, encoding: &str) -> Database {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        Database::create(Arc::clone(self), number, encoding).await
    }

    /// Sets a parameter of postgresql.conf; it holds from the next start on.
    pub fn set(&self, name: &str, value: &str) {
        let mut settings = self.settings.lock().expect("settings");
        settings.push((name.to_owned(), value.to_owned()));
    }

    /// Starts the server and waits until it takes connections: those of a standby read
    /// only, those of any other write.
    pub async fn start(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let process = self.launch();
            while process.is_running() && Instant::now() < deadline {
                if let Ok(client) = self.connect("postgres").await
                    && (self.is_standby() || writes(&client).await)
                {
                    *self.server.lock().expect("server") = Some(process);
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // After a kill -9 its shared memory may be in use for a moment longer.
            let text = process.output().text();
            let again = text.contains("pre-existing shared memory") || text.contains("lock file");
            assert!(
                again && Instant::now() < deadline,
                "postgres did not start:\n{text}"
            );
        }
    }

    fn is_standby(&self) -> bool {
        self.data_directory().join("standby.signal").exists()
    }

    /// Starts the server without waiting for it; what it says is in the result.
    pub fn launch(&self) -> Process {
        let mut conf = String::new();
        for (name, value) in self.settings.lock().expect("settings").iter() {
            conf.push_str(&format!("{name} = {value}\n"));
        }
        conf.push_str(&format!("port = {}\n", self.port));
        conf.push_str(&format!(
            "unix_socket_directories = '{}'\n",
            self.socket_directory().display()
        ));
        let data = self.data_directory();
        std::fs::write(data.join("postgresql.conf"), conf).expect("postgresql.conf");
        std::fs::write(data.join("pg_hba.conf"), HBA).expect("pg_hba.conf");
        let mut command = Command::new(server_program("postgres"));
        as_server_user(&mut command).arg("-D").arg(&data);
        Process::spawn(command, Some(self.directory.path()))
    }

    /// `pg_ctl stop -m fast`. Says whether it was over in time; if not it goes on stopping.
    pub async fn stop_fast(&self, within: Duration) -> bool {
        self.end_by("INT", within).await
    }

    /// `pg_ctl stop -m immediate`: as a crash, with an orderly end of the processes.
    pub async fn stop_immediate(&self) {
        assert!(self.end_by("QUIT", Duration::from_secs(20)).await);
    }

    /// `kill -9` of the postmaster.
    pub async fn kill_9(&self) {
        assert!(self.end_by("KILL", Duration::from_secs(20)).await);
    }

    async fn end_by(&self, signal_name: &str, within: Duration) -> bool {
        let server = self.server.lock().expect("server").take();
        let process = server.expect("a running server");
        signal(process.pid, signal_name);
        let stopped = process.exited(within).await.is_some();
        if !stopped {
            *self.server.lock().expect("server") = Some(process);
        }
        stopped
    }

    /// Runs SQL in the database `postgres` as the superuser.
    pub async fn admin(&self, sql: &str) {
        let client = self.connect("postgres").await.expect("a connection");
        if let Err(error) = client.batch_execute(sql).await {
            panic!("{sql}: {error:?}");
        }
    }

    /// A connection as the superuser, driven by the harness's runtime.
    pub async fn connect(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(self.socket_directory())
            .port(self.port)
            .user("postgres")
            .application_name("walhook tests")
            .dbname(database);
        let connecting = async move {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(connection);
            Ok(client)
        };
        runtime().spawn(connecting).await.expect("no panic")
    }

    pub fn socket_directory(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    pub fn data_directory(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// What the server logged since it was started.
    pub fn log(&self) -> String {
        let server = self.server.lock().expect("server");
        server
            .as_ref()
            .map_or_else(String::new, |s| s.output().text())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let server = self.server.get_mut();
        if let Some(server) = server.unwrap_or_else(PoisonError::into_inner) {
            server.end("QUIT", Duration::from_secs(5));
        }
    }
}

/// A directory that the server's user owns, short enough for a unix socket's path.
fn directory(prefix: &str) -> TempDir {
    let base = std::env::temp_dir();
    let base = if base.as_os_str().len() < 50 {
        base
    } else {
        PathBuf::from("/tmp")
    };
    let made = tempfile::Builder::new().prefix(prefix).tempdir_in(base);
    let directory = made.expect("a temporary directory");
    std::fs::create_dir(directory.path().join("socket")).expect("a directory for the socket");
    let own = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("chmod");
        if let Some((user, group)) = server_user() {
            chown(path, Some(user), Some(group)).expect("chown");
        }
    };
    own(&directory.path().join("socket"), 0o755);
    own(directory.path(), 0o755);
    directory
}

/// A data directory fresh from `initdb`, made once.
fn template() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let directory = directory("walhook-template-");
        initdb(directory.path());
        let path = directory.keep();
        sweep_at_the_end(&path);
        path
    })
}

/// Not in recovery, or no longer.
async fn writes(client: &Client) -> bool {
    let row = client
        .query_one("SELECT NOT pg_is_in_recovery()", &[])
        .await;
    row.is_ok_and(|row| row.get(0))
}

fn copy_data(from: &Path, directory: &Path) {
    let copied = as_server_user(&mut Command::new("cp"))
        .arg("-a")
        .arg(from)
        .arg(directory.join("data"))
        .status();
    assert!(copied.is_ok_and(|status| status.success()), "cp -a failed");
}

fn initdb(directory: &Path) {
    let output = as_server_user(&mut Command::new(server_program("initdb")))
        .arg("-D")
        .arg(directory.join("data"))
        .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"])
        .args(["--no-sync", "--no-instructions"])
        .output()
        .expect("initdb");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "initdb failed: {said}");
}

/// A port of 127.0.0.1 that nobody listens on at the moment. It is none that the system gives to
/// connections (`ip_local_port_range`, from 32768 on): one of those could have it by the time that
/// a server starts, or starts again.
pub fn free_port() -> u16 {
    let ports = std::iter::repeat_with(|| fastrand::u16(15_000..32_000));
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.take(1000).find(free).expect("a free port")
}
