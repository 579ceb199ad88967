//! The PostgreSQL that is tested with: its programs, and the user that its servers run as.
//!
//! `WALHOOK_TEST_PG_BIN`, else Debian's newest, else what the PATH has. A packaged server may
//! come without client programs: those of another installation do as well.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// The directory of the programs under test, where the servers' user can read them.
pub fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let found = named().or_else(|| {
            let has_server = |bin: &PathBuf| {
                let has = |name| bin.join(name).exists();
                has("initdb") && has("postgres")
            };
            installed().into_iter().find(has_server)
        });
        let found = found.expect("PostgreSQL's initdb and postgres; tests/run.sh installs them");
        if server_user().is_none() || is_open_to_all(&found) {
            return found;
        }
        // Below root's home, for example: it must not be opened, so its content moves.
        let directory = tempfile::Builder::new()
            .prefix("walhook-programs-")
            .tempdir();
        let directory = directory.expect("a temporary directory").keep();
        sweep_at_the_end(&directory);
        let copied = Command::new("cp")
            .arg("-a")
            .arg(found.parent().expect("bin has a parent"))
            .arg(directory.join("postgresql"))
            .status();
        assert!(copied.is_ok_and(|status| status.success()), "cp -a failed");
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o755)).expect("chmod");
        directory.join("postgresql/bin")
    })
}

/// A program of the server under test.
pub fn server_program(name: &str) -> PathBuf {
    programs().join(name)
}

/// `psql`, `pgbench` and the like.
pub fn client_program(name: &str) -> PathBuf {
    let mut places = vec![programs().to_owned()];
    places.extend(installed());
    let found = places.iter().map(|bin| bin.join(name)).find(|p| p.exists());
    found.unwrap_or_else(|| panic!("no {name} in any of {places:?}"))
}

/// 15 of `initdb (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
pub fn major() -> u32 {
    static MAJOR: OnceLock<u32> = OnceLock::new();
    *MAJOR.get_or_init(|| {
        let said = Command::new(server_program("initdb"))
            .arg("--version")
            .output();
        let said = String::from_utf8(said.expect("initdb --version").stdout).expect("UTF-8");
        let version = said.split(' ').nth(2).expect("a version");
        let digits = version.split(|c: char| !c.is_ascii_digit()).next();
        digits
            .and_then(|d| d.parse().ok())
            .expect("a major version")
    })
}

fn named() -> Option<PathBuf> {
    let named = PathBuf::from(std::env::var_os("WALHOOK_TEST_PG_BIN")?);
    Some(std::path::absolute(named).expect("a current directory"))
}

/// Debian's, the newest first, then those of the PATH.
fn installed() -> Vec<PathBuf> {
    let major =
        |path: &PathBuf| -> Option<u32> { path.parent()?.file_name()?.to_str()?.parse().ok() };
    let mut places: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    places.sort_by_key(major);
    places.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    places.extend(std::env::split_paths(&path));
    places
}

/// Everybody may search every directory above.
fn is_open_to_all(directory: &Path) -> bool {
    let searchable = |path: &Path| {
        let metadata = std::fs::metadata(path).expect("the programs' directory");
        metadata.mode() & 0o001 != 0
    };
    directory.ancestors().all(searchable)
}

/// The user that a server runs as when this process' owner is root.
pub fn server_user() -> Option<(u32, u32)> {
    static USER: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    *USER.get_or_init(|| {
        let probe = tempfile::tempfile().expect("a temporary file");
        if probe.metadata().expect("its metadata").uid() != 0 {
            return None;
        }
        let passwd = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
        let entry = |user: &str| {
            let mut lines = passwd
                .lines()
                .map(|line| line.split(':').collect::<Vec<_>>());
            let fields = lines.find(|fields| fields[0] == user)?;
            Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
        };
        let user = entry("postgres").or_else(|| entry("nobody"));
        Some(user.expect("a user postgres or nobody, as Postgres does not run as root"))
    })
}

pub fn as_server_user(command: &mut Command) -> &mut Command {
    match server_user() {
        Some((user, group)) => command.uid(user).gid(group).current_dir("/"),
        None => command.current_dir("/"),
    }
}

/// A static is never dropped: a shell removes the directory when this process is gone.
pub fn sweep_at_the_end(directory: &Path) {
    static SWEEPERS: Mutex<Vec<Child>> = Mutex::new(Vec::new());
    let sweeper = Command::new("sh")
        .args(["-c", r#"read -r _; rm -rf "$0""#])
        .arg(directory)
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut sweepers = SWEEPERS.lock().expect("the sweepers");
    sweepers.push(sweeper.expect("sh"));
}
