//! Connection strings: what libpq takes, with its variables and its password file.

use std::fmt;

/// A database to connect to. `Debug` and `Display` show user, host, port and
/// database, never the password.
#[derive(Clone)]
pub struct ConnInfo;

impl fmt::Debug for ConnInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnInfo")
    }
}

/// What is wrong with a connection string; shows no value of it but the keyword.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConnInfoError(pub String);

impl ConnInfo {
    /// A URL (`postgres://`, `postgresql://`) or keywords (`host=... dbname=...`).
    /// What it leaves out is taken from `env` (`PGHOST`, `PGPORT`, ...), then from
    /// libpq's defaults. The password file is read at each connect, not here.
    pub fn parse(
        _text: &str,
        _env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConnInfoError> {
        todo!()
    }
}
