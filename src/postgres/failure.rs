//! Failure: the one place that decides what a database error means.
//!
//! Transient unless proven otherwise, and proven by SQLSTATE: the session is made
//! anew, for ever. Definite: the daemon stops and says what to do.
//!
//! | SQLSTATE | meaning | kind |
//! |---|---|---|
//! | 57P01 57P02 57P03 | shutdown, crash, starting up; also an invalidation of the slot, which the next connect tells | transient |
//! | 55006 | the slot is in use by another process | transient |
//! | 53300 53400 | no connection, no replication slot left | transient |
//! | 28P01 28000 3D000 | password, pg_hba, database | definite before the first stream, transient after it (a password is being rotated) |
//! | 42501 | the role may not | definite |
//! | 42704 | slot or publication is gone | definite |
//! | 55000 22023 | the slot is lost or of another kind, wal_level | definite |
//! | 22xxx 21xxx 54000 XX000 58P01 while changes are decoded | a change fails every time | stuck, tried again |
//! | 0A000 | the server cannot do it (a pooler, a standby) | definite |
//! | 08P01 "unsupported startup parameter" | a pooler that does not pass replication through | definite |
//! | any other | | transient |
//!
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html>

use std::error::Error as StdError;
use std::fmt;
use std::io;

use postgres_protocol::message::backend::ErrorFields;

use super::conninfo::Host;
use crate::lsn::Lsn;

/// An error or notice of the server. DETAIL and CONTEXT are not kept: they may hold
/// row values; of CONTEXT only the position that it names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PgError {
    pub severity: String,
    /// SQLSTATE.
    pub code: String,
    /// `None` for an error raised while rows are decoded.
    pub message: Option<String>,
    /// `associated LSN` of the change that failed.
    pub at: Option<Lsn>,
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.message, &self.at) {
            (Some(message), _) => write!(f, "{} (SQLSTATE {})", message, self.code),
            (None, Some(at)) => write!(f, "SQLSTATE {} at LSN {at}", self.code),
            (None, None) => write!(f, "SQLSTATE {}", self.code),
        }
    }
}

impl PgError {
    /// While rows are decoded a message may quote a value, so it is dropped as well:
    /// that is when CONTEXT speaks of an output plugin's callback.
    pub(super) fn from_fields(mut fields: ErrorFields<'_>) -> io::Result<Self> {
        use postgres_protocol::message::backend::ErrorField;
        let mut error = PgError {
            severity: String::new(),
            code: String::new(),
            message: None,
            at: None,
        };
        let mut context = String::new();
        let next = |fields: &mut ErrorFields<'_>| -> io::Result<Option<(u8, String)>> {
            use fallible_iterator::FallibleIterator;
            let field: Option<ErrorField<'_>> = fields.next()?;
            Ok(field.map(|field| {
                let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
                (field.type_(), value)
            }))
        };
        while let Some((kind, value)) = next(&mut fields)? {
            match kind {
                b'V' => error.severity = value,
                b'C' => error.code = value,
                b'M' => error.message = Some(value),
                b'W' => context = value,
                _ => {}
            }
        }
        if context.contains("callback") {
            error.message = None;
            error.at = position(&context);
        }
        Ok(error)
    }

    pub(super) fn from_tokio(error: &tokio_postgres::Error) -> Option<Self> {
        let db = error.as_db_error()?;
        Some(PgError {
            severity: db.severity().to_owned(),
            code: db.code().code().to_owned(),
            message: Some(db.message().to_owned()),
            at: None,
        })
    }
}

/// The LSN of `..., associated LSN 0/16B3748`, which no translation changes in form.
///
/// What the plugin called has put its own lines before it, where `1/0` is a division.
fn position(context: &str) -> Option<Lsn> {
    context
        .rsplit(|c: char| !c.is_ascii_hexdigit() && c != '/')
        .find_map(|word| word.parse().ok())
}

/// No connection could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("could not connect to {host}")]
    Io {
        host: String,
        #[source]
        source: io::Error,
    },
    #[error("could not connect to {host} over TLS")]
    Tls {
        host: String,
        #[source]
        source: io::Error,
    },
    /// With `target_session_attrs`: after a failover another may be the primary.
    #[error("server {host} is a standby, and target_session_attrs asks for the primary")]
    Standby { host: String },
    #[error("server {host} does not offer TLS, which sslmode asks for")]
    NoTls { host: String },
    /// A certificate, a key or a name cannot be used.
    #[error("{0}")]
    Setup(String),
    #[error("could not log in")]
    Refused(#[source] PgError),
    #[error("{0}")]
    Authentication(String),
    #[error("could not log in")]
    Protocol(#[source] io::Error),
    #[error("could not log in")]
    Control(#[source] tokio_postgres::Error),
}

impl ConnectError {
    /// The server was reached and said no.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            ConnectError::Refused(_) => true,
            ConnectError::Control(error) => error.as_db_error().is_some(),
            _ => false,
        }
    }

    /// The role may log in, but not replicate.
    pub fn is_not_allowed(&self) -> bool {
        matches!(self, ConnectError::Refused(error) if error.code == "42501")
    }

    pub(super) fn io(host: &Host, source: io::Error) -> Self {
        ConnectError::Io {
            host: host.to_string(),
            source,
        }
    }

    pub(super) fn tls(host: &Host, source: io::Error) -> Self {
        ConnectError::Tls {
            host: host.to_string(),
            source,
        }
    }

    pub(super) fn setup(text: String) -> Self {
        ConnectError::Setup(text)
    }
}

/// A replication command or the stream failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationError {
    #[error("the server says: {0}")]
    Server(PgError),
    #[error("replication connection broke")]
    Io(#[from] io::Error),
    #[error("replication connection was closed by the server")]
    Closed,
    #[error("unexpected message \"{}\" on the replication connection", .0.escape_ascii())]
    Unexpected(u8),
    #[error("malformed frame on the replication connection")]
    Frame(#[from] crate::pgoutput::DecodeError),
}

/// Whether a stream has been had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Starting,
    Running,
}

/// What an error means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Try again: the reason, for the log and /readyz.
    Transient(String),
    /// Stop: the reason and what to do, for a person.
    Definite(String),
}

/// Judges an error that could be of any of the kinds above.
pub fn judge(error: &(dyn StdError + 'static), phase: Phase) -> Failure {
    let text = chain(error);
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(pg) = current.downcast_ref::<PgError>() {
            return judge_code(pg, text, phase);
        }
        if let Some(ReplicationError::Server(pg)) = current.downcast_ref() {
            return judge_code(pg, text, phase);
        }
        if let Some(pg) = current
            .downcast_ref::<tokio_postgres::Error>()
            .and_then(PgError::from_tokio)
        {
            return judge_code(&pg, text, phase);
        }
        if let Some(connect) = current.downcast_ref::<ConnectError>() {
            let definite = match connect {
                ConnectError::NoTls { .. }
                | ConnectError::Setup(_)
                | ConnectError::Authentication(_) => true,
                // A certificate that does not verify, not a broken connection.
                ConnectError::Tls { source, .. } => source
                    .get_ref()
                    .is_some_and(|inner| inner.is::<rustls::Error>()),
                _ => false,
            };
            if definite && phase == Phase::Starting {
                return Failure::Definite(text);
            }
        }
        cause = current.source();
    }
    Failure::Transient(text)
}

fn judge_code(error: &PgError, text: String, phase: Phase) -> Failure {
    let hint = match error.code.as_str() {
        "28P01" | "28000" | "3D000" if phase == Phase::Running => return Failure::Transient(text),
        "28P01" => "check the user and the password of source.url",
        "28000" => {
            "the role of source.url must be there, and pg_hba.conf must let it in to the database"
        }
        "3D000" => "check the database's name in source.url",
        "42501" => "see the grants in README.md, \"Operating\"",
        "53400" => "raise max_replication_slots, or drop slots that nobody reads",
        "42704" => {
            "the slot or a publication was dropped: what was committed since cannot be read. \
             Drop the slot, if it is there; `walhook adopt` then creates it anew and records the gap"
        }
        "55000" | "22023" => "the slot cannot be read any more, or wal_level is not logical",
        "0A000" => "connect to the primary, and directly: not through a pooler",
        "08P01" if knows_no_replication(error) => {
            "connect to the server directly: PgBouncer passes replication through since 1.23, other poolers do not"
        }
        _ => return Failure::Transient(text),
    };
    Failure::Definite(format!("{text}\n  hint: {hint}"))
}

/// PgBouncer gives every error of its own the code 08P01, also that it waits for its
/// server; its texts are not translated.
fn knows_no_replication(error: &PgError) -> bool {
    let message = error.message.as_deref().unwrap_or_default();
    message.starts_with("unsupported startup parameter")
}

/// Classes of errors that pass, or are of the server as a whole: its connections,
/// serialization, resources, objects not in the needed state, operators, the system.
const NOT_OF_A_CHANGE: [&str; 6] = ["08", "40", "53", "55", "57", "58"];

/// Whether an error that ended the stream will end it each time: a change that the server
/// cannot decode. Where it stands is in the error's `at`, when the server knows it; then it
/// may be anything that the output function of a type can say.
pub fn is_poison(error: &PgError) -> bool {
    let code = error.code.as_str();
    // "Other plugin" and its like, which START says; a publication that is missing.
    if matches!(code, "22023" | "42704") {
        return false;
    }
    let is_in_change =
        error.at.is_some() && !NOT_OF_A_CHANGE.iter().any(|class| code.starts_with(class));
    is_in_change
        || code.starts_with("22")
        || code.starts_with("21")
        || matches!(code, "54000" | "XX000" | "58P01" | "42883")
}

/// The error and its causes, each once.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        let more = match current.downcast_ref::<tokio_postgres::Error>() {
            // Its own text says "db error" and leaves the rest to its source, which
            // prints DETAIL.
            Some(error) => match PgError::from_tokio(error) {
                Some(pg) => {
                    text.push_str(": ");
                    text.push_str(&pg.to_string());
                    return text;
                }
                None => error.to_string(),
            },
            None => current.to_string(),
        };
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = current.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: &str, message: Option<&str>) -> ReplicationError {
        ReplicationError::Server(PgError {
            severity: "ERROR".to_owned(),
            code: code.to_owned(),
            message: message.map(str::to_owned),
            at: Some(Lsn(0x16B_3748)),
        })
    }

    fn is_definite(code: &str, phase: Phase) -> bool {
        matches!(judge(&server(code, Some("m")), phase), Failure::Definite(_))
    }

    #[test]
    fn the_table_of_codes() {
        for code in [
            "57P01", "57P02", "57P03", "55006", "53300", "08006", "40001", "99999",
        ] {
            assert!(!is_definite(code, Phase::Starting), "{code}");
        }
        for code in ["53400", "42501", "42704", "55000", "22023", "0A000"] {
            assert!(is_definite(code, Phase::Starting), "{code}");
            assert!(is_definite(code, Phase::Running), "{code}");
        }
        for code in ["28P01", "28000", "3D000"] {
            assert!(is_definite(code, Phase::Starting), "{code}");
            assert!(!is_definite(code, Phase::Running), "{code}");
        }
    }

    /// PgBouncer gives all that it says itself the same SQLSTATE.
    #[test]
    fn a_pooler_that_knows_no_replication_is_told_from_one_that_waits_for_its_server() {
        let judged = |message| judge(&server("08P01", Some(message)), Phase::Starting);
        let Failure::Definite(text) = judged("unsupported startup parameter: replication") else {
            panic!("transient");
        };
        assert!(
            text.contains("hint: connect") && text.contains("pooler"),
            "{text}"
        );
        let waiting = judged("server login has been failed, try again later (server_login_retry)");
        assert!(matches!(waiting, Failure::Transient(_)), "{waiting:?}");
    }

    #[test]
    fn an_error_while_rows_are_decoded_shows_code_and_position_alone() {
        let ReplicationError::Server(error) = server("22012", None) else {
            panic!("another error");
        };
        assert!(is_poison(&error));
        assert_eq!(error.to_string(), "SQLSTATE 22012 at LSN 0/16B3748");
        // What an output function says; an array that is no int2vector.
        for code in ["42804", "P0001", "42P01", "58P01", "XX000"] {
            let ReplicationError::Server(error) = server(code, None) else {
                panic!("another error");
            };
            assert!(is_poison(&error), "{code}");
        }
        for code in ["57P01", "42704", "55000", "53100", "22023"] {
            let ReplicationError::Server(error) = server(code, None) else {
                panic!("another error");
            };
            assert!(!is_poison(&error), "{code}");
        }
    }

    #[test]
    fn the_position_is_read_from_the_context() {
        let context = "SQL expression \"1/0\"\nslot \"s\", output plugin \"pgoutput\", in the change callback, associated LSN 0/16B3748";
        assert_eq!(position(context), Some(Lsn(0x16B_3748)));
    }

    #[test]
    fn a_broken_connection_is_transient() {
        let error = ReplicationError::Io(io::Error::from(io::ErrorKind::ConnectionReset));
        assert!(matches!(
            judge(&error, Phase::Starting),
            Failure::Transient(_)
        ));
    }
}
