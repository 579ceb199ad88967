//! Opens the state file, or refuses to.
//!
//! ```text
//! no file, no -wal  -> made whole under another name, then renamed
//! header is ours    -> pragmas -> version -> WAL moved into the file -> checked
//! anything else     -> an error that says what to do; the file is not touched
//! ```
//!
//! It never begins anew where a file once was: that would forget waiting events,
//! and the slot would be ahead of a checkpoint that is no more.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::{Fault, StoreError};
use super::files::StateFiles;
use super::schema;

/// Up to this size every page is checked at start, above it the small tables
/// and the length: a spool of 10 GiB would take minutes.
const FULL_CHECK_BYTES_MAX: u64 = 64 << 20;
/// How long a commit waits for another program that holds a lock on the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// What the write-ahead log is cut to once it is no longer needed.
const WAL_BYTES_KEPT: i64 = 16 << 20;
const STATEMENTS_CACHED: usize = 64;

/// <https://www.sqlite.org/fileformat.html#the_database_header>
const HEADER_BYTES: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";
const APPLICATION_ID_AT: usize = 68;

pub(super) fn open(files: &StateFiles) -> Result<Connection, StoreError> {
    match fs::metadata(files.state()) {
        Ok(_) => check_header(files.state())?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(files)?,
        Err(source) => return Err(in_file(files.state(), source)),
    }
    for path in [
        files.state(),
        &files.write_ahead_log(),
        &files.shared_memory(),
    ] {
        match fs::set_permissions(path, Permissions::from_mode(0o600)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(|source| in_file(path, source))?,
        }
    }
    let mut connection = connect(files.state(), files)?;
    upgrade(&mut connection, files)?;
    check(&connection, files)?;
    Ok(connection)
}

/// A file that is there but not ours must not be written to, and SQLite would
/// take an empty one for a new one.
fn check_header(path: &Path) -> Result<(), StoreError> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    File::open(path)
        .and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut header))
        .map_err(|source| in_file(path, source))?;
    if header.is_empty() {
        return Err(StoreError::Empty {
            path: path.to_owned(),
        });
    }
    let application_id = header.get(APPLICATION_ID_AT..APPLICATION_ID_AT + 4);
    if header.starts_with(MAGIC) && application_id == Some(&schema::APPLICATION_ID.to_be_bytes()) {
        Ok(())
    } else {
        Err(StoreError::NotAState {
            path: path.to_owned(),
        })
    }
}

/// The file gets its name when it is whole, so a crash leaves no half of one.
fn create(files: &StateFiles) -> Result<(), StoreError> {
    let orphan = files.write_ahead_log();
    if fs::metadata(&orphan).is_ok_and(|found| found.len() > 0) {
        return Err(StoreError::Orphaned { path: orphan });
    }
    let unfinished = files.unfinished();
    for path in [
        unfinished.clone(),
        with_suffix(&unfinished, "-wal"),
        with_suffix(&unfinished, "-shm"),
    ] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(in_file(&path, error));
            }
            _ => {}
        }
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(|source| in_directory(files, source))?;

    let mut connection = connect(&unfinished, files)?;
    let made = schema::migrate(&mut connection, 0)
        .and_then(|()| connection.close().map_err(|(_, error)| error));
    made.map_err(|error| statement("create tables", files, error))?;

    File::open(&unfinished)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&unfinished, files.state()))
        .and_then(|()| File::open(files.directory()))
        .and_then(|directory| directory.sync_all())
        .map_err(|source| in_directory(files, source))
}

fn connect(path: &Path, files: &StateFiles) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)
        .map_err(|error| statement("open", files, error))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    let journal_mode = prepare(&connection).map_err(|error| statement("open", files, error))?;
    if journal_mode != "wal" {
        return Err(StoreError::NoWriteAheadLog {
            path: files.state().to_owned(),
        });
    }
    Ok(connection)
}

/// Returns the journal mode. `auto_vacuum` and `application_id` count only in a
/// file that has no tables yet.
fn prepare(connection: &Connection) -> rusqlite::Result<String> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    if schema::version(connection)? == 0 {
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
    }
    let journal_mode =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES_KEPT, |_| Ok(()))?;
    Ok(journal_mode)
}

fn upgrade(connection: &mut Connection, files: &StateFiles) -> Result<(), StoreError> {
    let found = schema::version(connection).map_err(|error| statement("open", files, error))?;
    if found > schema::VERSION {
        return Err(StoreError::NewerVersion {
            path: files.state().to_owned(),
            found,
            known: schema::VERSION,
        });
    }
    if found < 1 {
        return Err(corrupt(files, format!("version {found} without tables")));
    }
    schema::migrate(connection, found).map_err(|error| statement("upgrade tables", files, error))
}

fn check(connection: &Connection, files: &StateFiles) -> Result<(), StoreError> {
    let on_error = |error| statement("check", files, error);
    // With the log moved into the file, the file must be as long as it says it is.
    let blocked: i64 = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(on_error)?;
    let length = fs::metadata(files.state())
        .map_err(|source| in_file(files.state(), source))?
        .len();
    let number = |pragma| {
        connection
            .pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
            .map(i64::cast_unsigned)
            .map_err(on_error)
    };
    let expected = number("page_count")?.saturating_mul(number("page_size")?);
    if blocked == 0 && length < expected {
        let detail = format!("{length} bytes long instead of {expected}");
        return Err(corrupt(files, detail));
    }
    if expected <= FULL_CHECK_BYTES_MAX {
        return check_pages(connection, files, "quick_check(1)");
    }
    schema::SMALL_TABLES
        .iter()
        .try_for_each(|table| check_pages(connection, files, &format!("quick_check({table})")))
}

fn check_pages(
    connection: &Connection,
    files: &StateFiles,
    pragma: &str,
) -> Result<(), StoreError> {
    let verdict: String = connection
        .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
        .map_err(|error| statement("check", files, error))?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(corrupt(files, verdict.replace('\n', "; ")))
    }
}

fn with_suffix(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn statement(action: &'static str, files: &StateFiles, error: rusqlite::Error) -> StoreError {
    Fault::Sqlite(error).of_statement(action, files.state().to_owned())
}

fn corrupt(files: &StateFiles, detail: String) -> StoreError {
    StoreError::Corrupt {
        path: files.state().to_owned(),
        detail,
    }
}

fn in_file(path: &Path, source: io::Error) -> StoreError {
    StoreError::File {
        path: path.to_owned(),
        source,
    }
}

fn in_directory(files: &StateFiles, source: io::Error) -> StoreError {
    StoreError::Directory {
        path: files.state().to_owned(),
        source,
    }
}
