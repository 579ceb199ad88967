//! A throwaway PostgreSQL cluster: a directory for its owner alone, no TCP port.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, anyhow, bail};
use tempfile::TempDir;

/// A socket's path may have 103 bytes on some systems, and `/.s.PGSQL.5432` is its end.
const DIRECTORY_BYTES_MAX: usize = 60;
/// Where distributions put the programs, beside `PATH`; the highest major first.
const PLACES: [&str; 7] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/local/pgsql*/bin",
];
/// Postgres refuses root: it runs as the first of these then.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// Stopped, and its directory removed, when dropped.
#[derive(Debug)]
pub struct Cluster {
    directory: TempDir,
    programs: PathBuf,
    owner: Option<(u32, u32)>,
    running: bool,
}

impl Cluster {
    /// Makes and starts one with `wal_level = logical`; takes a second or two.
    pub fn start(programs: Option<&Path>) -> anyhow::Result<Self> {
        let programs = match programs {
            Some(directory) if !directory.join("initdb").is_file() => {
                bail!("there is no initdb in {}", directory.display())
            }
            Some(directory) => directory.to_owned(),
            None => find().ok_or_else(|| {
                anyhow!(
                    "found no PostgreSQL server programs (initdb, pg_ctl)\n\
                     install them (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; \
                     Homebrew: brew install postgresql@17), or name their directory with --pg-bin"
                )
            })?,
        };
        let directory = directory()?;
        let owner = owner(directory.path())?;
        if let Some((user, group)) = owner {
            chown(directory.path(), Some(user), Some(group))?;
        }
        let mut cluster = Cluster {
            directory,
            programs,
            owner,
            running: false,
        };
        let data = cluster.data();
        let arguments = [
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
            "-D",
        ];
        let mut initdb = cluster.program("initdb");
        initdb.args(arguments).arg(&data);
        ran(initdb, "initdb")?;
        cluster.configure()?;
        let mut start = cluster.program("pg_ctl");
        start.args(["-w", "-t", "60", "-D"]).arg(&data).arg("-l");
        start.arg(cluster.path().join("postgres.log")).arg("start");
        // It may be up although pg_ctl did not see it.
        cluster.running = true;
        ran(start, "pg_ctl start")?;
        Ok(cluster)
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn conninfo(&self, database: &str) -> String {
        format!(
            "host='{}' user=postgres dbname={database}",
            self.path().display()
        )
    }

    /// Stops it as an operator would, and removes its directory.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.end("fast")?;
        let directory = self.path().to_owned();
        fs::remove_dir_all(&directory)
            .with_context(|| format!("failed to remove {}", directory.display()))
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    fn configure(&self) -> anyhow::Result<()> {
        let file = self.data().join("postgresql.conf");
        let mut file = fs::OpenOptions::new().append(true).open(file)?;
        writeln!(
            file,
            "listen_addresses = ''\nunix_socket_directories = '{}'\nwal_level = logical\n\
             fsync = off\nmax_wal_senders = 4\nmax_replication_slots = 4",
            self.path().display()
        )?;
        Ok(())
    }

    fn end(&mut self, mode: &str) -> anyhow::Result<()> {
        if !self.running {
            return Ok(());
        }
        self.running = false;
        let mut stop = self.program("pg_ctl");
        stop.args(["-w", "-t", "15", "-m", mode, "-D"])
            .arg(self.data());
        stop.arg("stop");
        ran(stop, "pg_ctl stop")
    }

    fn program(&self, name: &str) -> Command {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(self.programs.join(name));
        command.env("LC_ALL", "C").current_dir("/");
        // Ctrl-C is for the demo alone, which ends things in their order.
        command.process_group(0);
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.end("immediate");
    }
}

fn directory() -> anyhow::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("walhook-demo-");
    let within = |parent: &Path| {
        builder
            .tempdir_in(parent)
            .with_context(|| format!("failed to make a directory in {}", parent.display()))
    };
    let usual = within(&std::env::temp_dir())?;
    let text = usual.path().to_str();
    if text.is_some_and(|text| text.len() <= DIRECTORY_BYTES_MAX && !text.contains(['\'', '\\'])) {
        Ok(usual)
    } else {
        within(Path::new("/tmp"))
    }
}

/// Who is to own the cluster, when we are root.
fn owner(directory: &Path) -> anyhow::Result<Option<(u32, u32)>> {
    if fs::metadata(directory)?.uid() != 0 {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd").context("failed to read /etc/passwd")?;
    let account = USERS.iter().find_map(|user| account(&accounts, user));
    account.map(Some).ok_or_else(|| {
        anyhow!("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody: start the demo as an ordinary user")
    })
}

/// `name:password:uid:gid:...`, passwd(5)
fn account(accounts: &str, user: &str) -> Option<(u32, u32)> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(user) {
            return None;
        }
        let user = fields.nth(1)?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        Some((user, group))
    })
}

/// The directory with initdb: of `PATH` first.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_programs = |directory: &PathBuf| {
        directory.join("initdb").is_file() && directory.join("pg_ctl").is_file()
    };
    std::env::split_paths(&path).find(has_programs).or_else(|| {
        PLACES
            .iter()
            .flat_map(|place| expand(place))
            .find(has_programs)
    })
}

/// The directories that a place with one star stands for, the highest number first.
fn expand(place: &str) -> Vec<PathBuf> {
    let Some((before, after)) = place.split_once('*') else {
        return vec![PathBuf::from(place)];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let after = after.trim_start_matches('/');
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?;
            let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
            Some((digits.parse().unwrap_or(0), entry.path().join(after)))
        })
        .collect();
    found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    found.into_iter().map(|(_, directory)| directory).collect()
}

fn ran(mut command: Command, name: &str) -> anyhow::Result<()> {
    command.stdin(Stdio::null());
    // pg_ctl's server would keep a pipe open for ever.
    let told = tempfile::tempfile()?;
    command.stdout(told.try_clone()?).stderr(told.try_clone()?);
    let status = command
        .status()
        .with_context(|| format!("failed to start {}", OsStr::display(command.get_program())))?;
    if status.success() {
        return Ok(());
    }
    use std::io::{Read, Seek};
    let mut told = told;
    let mut text = String::new();
    told.rewind()?;
    told.read_to_string(&mut text)?;
    bail!("{name} ended with {status}:\n{}", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_as_passwd_writes_them() {
        let accounts =
            "root:x:0:0:root:/root:/bin/sh\npostgres:x:103:110:,,,:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(account(accounts, "postgres"), Some((103, 110)));
        assert_eq!(account(accounts, "nobody"), None);
    }

    #[test]
    fn the_highest_major_comes_first() {
        let root = tempfile::tempdir().unwrap();
        for name in ["9", "15", "17", "other"] {
            fs::create_dir_all(root.path().join(name).join("bin")).unwrap();
        }
        let found = expand(&format!("{}/*/bin", root.path().display()));
        let majors: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(root.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(majors, ["17/bin", "15/bin", "9/bin", "other/bin"]);
    }
}
