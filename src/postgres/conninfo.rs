//! Connection strings: what libpq takes, with its variables.
//!
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::keywords;
use crate::secret::Secret;

const PORT: u16 = 5432;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Where Debian, Fedora and a build of one's own put the socket.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// How TLS is used. Ordered by strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// `target_session_attrs`, as far as it matters to who reads a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Any,
    /// A host that is a standby is passed over.
    Primary,
}

/// Whether SCRAM must be bound to the TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

/// Which certificate authorities are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootCert {
    /// `~/.postgresql/root.crt`, when it is there.
    Default(Option<PathBuf>),
    /// The operating system's.
    System,
    File(PathBuf),
}

/// One address to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// `address`, when given, is connected to; `name` is what the certificate must say.
    Tcp {
        name: String,
        address: Option<String>,
        port: u16,
    },
    /// A directory with a socket `.s.PGSQL.<port>`.
    Unix { directory: PathBuf, port: u16 },
}

impl Host {
    /// A loopback address or a socket: no one can listen in between.
    pub fn is_local(&self) -> bool {
        match self {
            Host::Unix { .. } => true,
            Host::Tcp { name, address, .. } => {
                let target = address.as_ref().unwrap_or(name);
                target == "localhost"
                    || target
                        .parse::<std::net::IpAddr>()
                        .is_ok_and(|ip| ip.is_loopback())
            }
        }
    }

    pub fn port(&self) -> u16 {
        match self {
            Host::Tcp { port, .. } | Host::Unix { port, .. } => *port,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Tcp { name, port, .. } if name.contains(':') => write!(f, "[{name}]:{port}"),
            Host::Tcp { name, port, .. } => write!(f, "{name}:{port}"),
            Host::Unix { directory, port } => {
                write!(f, "{}/.s.PGSQL.{port}", directory.display())
            }
        }
    }
}

/// A database to connect to. `Debug` and `Display` never show the password.
#[derive(Clone)]
pub struct ConnInfo {
    /// Tried in order. Never empty.
    pub hosts: Vec<Host>,
    pub user: String,
    pub dbname: String,
    pub password: Option<Secret>,
    pub passfile: Option<PathBuf>,
    pub sslmode: SslMode,
    pub sslrootcert: RootCert,
    /// Client certificate and key, when the files are named or in their default place.
    pub sslcert: Option<PathBuf>,
    pub sslkey: Option<PathBuf>,
    pub channel_binding: ChannelBinding,
    pub target: Target,
    pub connect_timeout: Duration,
    pub application_name: String,
    /// Command-line options for the server, before those that walhook pins.
    pub options: Option<String>,
    pub keepalives: bool,
    pub keepalives_idle: Duration,
    pub tcp_user_timeout: Option<Duration>,
}

impl fmt::Display for ConnInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@", self.user)?;
        for (place, host) in self.hosts.iter().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            fmt::Display::fmt(host, f)?;
        }
        write!(f, "/{}", self.dbname)
    }
}

impl fmt::Debug for ConnInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnInfo({self}, sslmode {:?})", self.sslmode)
    }
}

/// What is wrong with a connection string; shows no value of it but keywords.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConnInfoError(pub String);

/// Keyword, and the variable that is asked when the string leaves it out.
const VARIABLES: [(&str, &str); 17] = [
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("application_name", "PGAPPNAME"),
    ("options", "PGOPTIONS"),
    ("service", "PGSERVICE"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
];

/// Known to libpq, without a counterpart here.
const UNSUPPORTED: [&str; 10] = [
    "service",
    "sslpassword",
    "sslcrl",
    "sslcrldir",
    "requirepeer",
    "krbsrvname",
    "gsslib",
    "require_auth",
    "sslcertmode",
    "sslnegotiation",
];

/// Known to libpq, and without effect here.
const IGNORED: [&str; 10] = [
    "client_encoding",
    "fallback_application_name",
    "sslcompression",
    "sslsni",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "gssencmode",
    "gssdelegation",
    "load_balance_hosts",
    "replication",
];

const SUPPORTED: [&str; 6] = [
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "target_session_attrs",
];

impl ConnInfo {
    /// A URL (`postgres://`, `postgresql://`) or keywords (`host=... dbname=...`).
    /// What it leaves out is taken from `env` (`PGHOST`, `PGPORT`, ...), then from
    /// libpq's defaults. The password file is read at each connect, not here.
    pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConnInfoError> {
        let mut given = keywords::parse(text)?;
        for keyword in given.keys() {
            known(keyword)?;
        }
        for (keyword, variable) in VARIABLES {
            if !given.contains_key(keyword)
                && let Some(value) = env(variable).filter(|value| !value.is_empty())
            {
                if UNSUPPORTED.contains(&keyword) {
                    return Err(ConnInfoError(format!(
                        "variable {variable} is not supported"
                    )));
                }
                given.insert(keyword.to_owned(), value);
            }
        }
        Given {
            values: given,
            home: env("HOME").map(PathBuf::from),
            os_user: env("USER").or_else(|| env("LOGNAME")),
        }
        .conninfo()
    }
}

fn known(keyword: &str) -> Result<(), ConnInfoError> {
    if UNSUPPORTED.contains(&keyword) {
        return Err(ConnInfoError(format!(
            "keyword \"{keyword}\" is not supported"
        )));
    }
    let known = VARIABLES.iter().any(|(known, _)| *known == keyword)
        || IGNORED.contains(&keyword)
        || SUPPORTED.contains(&keyword);
    if known {
        Ok(())
    } else {
        let keyword = keyword.escape_debug();
        Err(ConnInfoError(format!("unknown keyword \"{keyword}\"")))
    }
}

struct Given {
    values: BTreeMap<String, String>,
    home: Option<PathBuf>,
    os_user: Option<String>,
}

impl Given {
    fn conninfo(self) -> Result<ConnInfo, ConnInfoError> {
        let user = self
            .text("user")
            .or_else(|| self.os_user.clone())
            .ok_or_else(|| ConnInfoError("no user is given, and USER is not set".to_owned()))?;
        let sslmode = match self.text("sslmode").as_deref() {
            None | Some("prefer") => SslMode::Prefer,
            Some("disable") => SslMode::Disable,
            Some("allow") => SslMode::Allow,
            Some("require") => SslMode::Require,
            Some("verify-ca") => SslMode::VerifyCa,
            Some("verify-full") => SslMode::VerifyFull,
            Some(_) => {
                return Err(wrong(
                    "sslmode",
                    "disable, allow, prefer, require, verify-ca or verify-full",
                ));
            }
        };
        let sslrootcert = match self.text("sslrootcert").as_deref() {
            None => RootCert::Default(self.in_home("root.crt")),
            Some("system") => RootCert::System,
            Some(path) => RootCert::File(path.into()),
        };
        if sslrootcert == RootCert::System && sslmode < SslMode::VerifyFull {
            return Err(ConnInfoError(
                "weak sslmode with sslrootcert=system: it must be verify-full".to_owned(),
            ));
        }
        let channel_binding = match self.text("channel_binding").as_deref() {
            None | Some("prefer") => ChannelBinding::Prefer,
            Some("disable") => ChannelBinding::Disable,
            Some("require") => ChannelBinding::Require,
            Some(_) => return Err(wrong("channel_binding", "disable, prefer or require")),
        };
        let target = match self.text("target_session_attrs").as_deref() {
            None | Some("any") => Target::Any,
            Some("read-write" | "primary") => Target::Primary,
            Some(_) => return Err(wrong("target_session_attrs", "any, read-write or primary")),
        };
        Ok(ConnInfo {
            hosts: self.hosts()?,
            dbname: self.text("dbname").unwrap_or_else(|| user.clone()),
            user,
            password: self.text("password").map(Secret::new),
            passfile: self
                .text("passfile")
                .map(PathBuf::from)
                .or_else(|| self.home.as_ref().map(|home| home.join(".pgpass"))),
            sslmode,
            sslrootcert,
            sslcert: self
                .text("sslcert")
                .map(PathBuf::from)
                .or_else(|| self.in_home("postgresql.crt")),
            sslkey: self
                .text("sslkey")
                .map(PathBuf::from)
                .or_else(|| self.in_home("postgresql.key")),
            channel_binding,
            target,
            connect_timeout: match self.number("connect_timeout")? {
                None => CONNECT_TIMEOUT,
                // libpq: zero waits for ever, less than two seconds means two.
                Some(0) => Duration::from_secs(3600),
                Some(seconds) => Duration::from_secs(seconds.max(2)),
            },
            application_name: self
                .text("application_name")
                .unwrap_or_else(|| "walhook".to_owned()),
            options: self.text("options"),
            keepalives: self.number("keepalives")? != Some(0),
            keepalives_idle: Duration::from_secs(
                self.number("keepalives_idle")?
                    .filter(|s| *s > 0)
                    .unwrap_or(30),
            ),
            tcp_user_timeout: self
                .number("tcp_user_timeout")?
                .filter(|ms| *ms > 0)
                .map(Duration::from_millis),
        })
    }

    fn text(&self, keyword: &str) -> Option<String> {
        self.values
            .get(keyword)
            .filter(|value| !value.is_empty())
            .cloned()
    }

    fn number(&self, keyword: &'static str) -> Result<Option<u64>, ConnInfoError> {
        self.text(keyword)
            .map(|value| {
                value
                    .trim()
                    .parse()
                    .map_err(|_| wrong(keyword, "a whole number"))
            })
            .transpose()
    }

    /// A file of `~/.postgresql`, when it is there.
    fn in_home(&self, file: &str) -> Option<PathBuf> {
        let path = self.home.as_ref()?.join(".postgresql").join(file);
        path.exists().then_some(path)
    }

    /// Hosts, addresses and ports are lists of the same length; one port serves all.
    fn hosts(&self) -> Result<Vec<Host>, ConnInfoError> {
        let list = |keyword: &str| -> Vec<String> {
            self.values
                .get(keyword)
                .map(|value| {
                    value
                        .split(',')
                        .map(|part| part.trim().to_owned())
                        .collect()
                })
                .unwrap_or_default()
        };
        let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
        let count = names.len().max(addresses.len()).max(1);
        for (keyword, parts) in [("host", &names), ("hostaddr", &addresses)] {
            if !parts.is_empty() && parts.len() != count {
                return Err(ConnInfoError(format!(
                    "keyword \"{keyword}\" names {} hosts, others name {count}",
                    parts.len()
                )));
            }
        }
        if ports.len() > 1 && ports.len() != count {
            return Err(ConnInfoError(format!(
                "{} ports for {count} hosts",
                ports.len()
            )));
        }
        (0..count)
            .map(|place| {
                let part =
                    |parts: &[String]| parts.get(place).filter(|part| !part.is_empty()).cloned();
                let port =
                    part(&ports).or_else(|| ports.first().filter(|_| ports.len() == 1).cloned());
                let port = match port.filter(|port| !port.is_empty()) {
                    None => PORT,
                    Some(port) => port
                        .parse()
                        .ok()
                        .filter(|port| *port != 0)
                        .ok_or_else(|| wrong("port", "a number from 1 to 65535"))?,
                };
                Ok(host(part(&names), part(&addresses), port))
            })
            .collect()
    }
}

fn host(name: Option<String>, address: Option<String>, port: u16) -> Host {
    match (name, address) {
        (Some(name), None) if name.starts_with('/') || name.starts_with('@') => Host::Unix {
            directory: name.into(),
            port,
        },
        (Some(name), address) => Host::Tcp {
            name,
            address,
            port,
        },
        (None, Some(address)) => Host::Tcp {
            name: address.clone(),
            address: Some(address),
            port,
        },
        (None, None) => {
            let socket = |directory: &&&str| {
                PathBuf::from(directory)
                    .join(format!(".s.PGSQL.{port}"))
                    .exists()
            };
            match SOCKET_DIRECTORIES.iter().find(socket) {
                Some(directory) => Host::Unix {
                    directory: directory.into(),
                    port,
                },
                None => Host::Tcp {
                    name: "localhost".to_owned(),
                    address: None,
                    port,
                },
            }
        }
    }
}

fn wrong(keyword: &str, expected: &str) -> ConnInfoError {
    ConnInfoError(format!(
        "invalid value for keyword \"{keyword}\", expected {expected}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConnInfo, String> {
        let env = |name: &str| match name {
            "USER" => Some("ada".to_owned()),
            "PGPASSWORD" => Some("from-env".to_owned()),
            _ => None,
        };
        ConnInfo::parse(text, &env).map_err(|error| error.0)
    }

    #[test]
    fn a_url_with_everything() {
        let info = parse(
            "postgres://bob:s%40crt@db.example:6432/app?sslmode=verify-full&connect_timeout=3",
        )
        .unwrap();
        assert_eq!(info.to_string(), "bob@db.example:6432/app");
        assert_eq!(info.password.unwrap().expose(), b"s@crt");
        assert_eq!(info.sslmode, SslMode::VerifyFull);
        assert_eq!(info.connect_timeout, Duration::from_secs(3));
    }

    #[test]
    fn sockets_ipv6_and_several_hosts() {
        assert_eq!(
            parse("postgresql:///app?host=/run/pg&port=6000")
                .unwrap()
                .to_string(),
            "ada@/run/pg/.s.PGSQL.6000/app"
        );
        assert_eq!(
            parse("postgres://%2Frun%2Fpg/app").unwrap().to_string(),
            "ada@/run/pg/.s.PGSQL.5432/app"
        );
        assert_eq!(
            parse("postgres://[::1]:6000/app").unwrap().to_string(),
            "ada@[::1]:6000/app"
        );
        assert_eq!(
            parse("postgres://a:1,b:2/app").unwrap().to_string(),
            "ada@a:1,b:2/app"
        );
        assert_eq!(
            parse("host=a,b port=7 dbname=x").unwrap().to_string(),
            "ada@a:7,b:7/x"
        );
    }

    #[test]
    fn keywords_with_quotes_and_variables() {
        let info = parse(r"host = localhost user='it\'s' dbname='a b'").unwrap();
        assert_eq!(info.to_string(), "it's@localhost:5432/a b");
        assert_eq!(info.password.unwrap().expose(), b"from-env");
    }

    #[test]
    fn errors_show_keywords_and_no_values() {
        for (text, error) in [
            ("host=x hunter2=1", "unknown keyword \"hunter2\""),
            (
                "host=x sslmode=hunter2",
                "invalid value for keyword \"sslmode\", expected disable, allow, prefer, require, verify-ca or verify-full",
            ),
            (
                "host=x port=hunter2",
                "invalid value for keyword \"port\", expected a number from 1 to 65535",
            ),
            (
                "host=x service=hunter2",
                "keyword \"service\" is not supported",
            ),
            (
                "host=x sslrootcert=system",
                "weak sslmode with sslrootcert=system: it must be verify-full",
            ),
            (
                "host=a,b hostaddr=1.1.1.1",
                "keyword \"hostaddr\" names 1 hosts, others name 2",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), error);
        }
        let info = parse("postgres://bob:hunter2@x/y").unwrap();
        assert!(!format!("{info:?} {info}").contains("hunter2"));
    }
}
