//! The password file: `host:port:database:user:password`, the first line that fits.
//!
//! <https://www.postgresql.org/docs/current/libpq-pgpass.html>

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tracing::warn;

use super::conninfo::{ConnInfo, Host};
use crate::secret::Secret;

/// The password for this host: from the connection string, else from the file,
/// which is read anew each time.
pub(super) fn password(info: &ConnInfo, host: &Host) -> Option<Secret> {
    if let Some(password) = &info.password {
        return Some(password.clone());
    }
    let path = info.passfile.as_ref()?;
    let text = read(path)?;
    let name = match host {
        Host::Tcp { name, .. } => name.as_str(),
        // libpq: a socket in the default directory is looked up as localhost.
        Host::Unix { directory, .. } if is_default(directory) => "localhost",
        Host::Unix { directory, .. } => directory.to_str()?,
    };
    let port = host.port().to_string();
    find(&text, [name, &port, &info.dbname, &info.user]).map(Secret::new)
}

fn is_default(directory: &Path) -> bool {
    directory == Path::new("/var/run/postgresql") || directory == Path::new("/tmp")
}

/// As libpq does, a file that others may read is not used.
fn read(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode();
    if mode & 0o077 != 0 {
        warn!(path = %path.display(), "password file is ignored: others may read it; chmod 0600");
        return None;
    }
    fs::read_to_string(path).ok()
}

fn find(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut rest = line;
            for wanted in wanted {
                let field;
                (field, rest) = split(rest)?;
                if field != "*" && unescape(field) != wanted {
                    return None;
                }
            }
            Some(unescape(rest))
        })
}

/// Cuts at the first colon without a backslash before it.
fn split(line: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (place, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ':' => return Some((line.get(..place)?, line.get(place + 1..)?)),
            _ => {}
        }
    }
    None
}

fn unescape(field: &str) -> String {
    let mut characters = field.chars();
    let mut text = String::with_capacity(field.len());
    while let Some(c) = characters.next() {
        match c {
            '\\' => text.extend(characters.next()),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_with_stars_and_escapes() {
        let text = "# comment\nother:*:*:*:no\ndb:5432:app:bob:p\\:w\n*:*:*:*:any";
        assert_eq!(
            find(text, ["db", "5432", "app", "bob"]).as_deref(),
            Some("p:w")
        );
        assert_eq!(
            find(text, ["db", "1", "app", "bob"]).as_deref(),
            Some("any")
        );
        assert_eq!(find("a:b\n", ["a", "b", "c", "d"]), None);
    }
}
