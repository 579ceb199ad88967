//! Connecting: the settings that are pinned, the control connection, and the
//! login of the replication connection.
//!
//! Both connections pin their settings in the startup packet, where they win over
//! those of the role and the database, so that nobody's ALTER ROLE changes the JSON.

use std::error::Error as _;
use std::future::Future;

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding as SaslBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use tokio_postgres::Client;
use tokio_postgres::config::{ChannelBinding as TokioBinding, SslMode as TokioSsl, SslNegotiation};
use tokio_postgres::tls::TlsConnect;

use super::catalog::QueryError;
use super::conninfo::{ChannelBinding, ConnInfo, Host, SslMode, Target};
use super::failure::{ConnectError, PgError};
use super::login_guard::ClearTextAsked;
use super::messages::Messages;
use super::passfile;
use super::replication::ReplicationConnection;
use super::socket::Transport;
use super::tls;
use crate::secret::Secret;

/// What the values' text depends on, and what could end a connection that waits.
/// Queries of the catalog are short, and their costs are guessed high: to compile them takes
/// a hundred times as long as to run them.
const PINNED: [(&str, &str); 16] = [
    ("datestyle", "ISO"),
    ("intervalstyle", "postgres"),
    ("timezone", "UTC"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("search_path", "pg_catalog"),
    ("quote_all_identifiers", "off"),
    ("lc_monetary", "C"),
    ("xmloption", "content"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("default_transaction_read_only", "off"),
    ("jit", "off"),
    // With `debug5` the server tells of each keepalive.
    ("client_min_messages", "notice"),
];

/// Since 17, and no server before knows the name: so not in the startup packet. It would end
/// a walsender in the middle of a transaction that is long to decode, or to send.
pub(super) const NO_TRANSACTION_TIMEOUT: &str = "SELECT pg_catalog.set_config(name, '0', false) \
     FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'";

/// The connection for plain queries.
#[derive(Debug)]
pub struct Control {
    pub client: Client,
    /// Anybody between us and the server could pose as it.
    pub unverified: bool,
}

/// Opens the control connection. The future drives it, and ends with why it ended;
/// it must be polled for the client to work.
pub async fn control(
    info: &ConnInfo,
) -> Result<(Control, impl Future<Output = String> + Send + 'static), ConnectError> {
    let (control, connection) = over_hosts(info, control_at).await?;
    let driven = async move {
        match connection.await {
            Ok(()) => "control connection was closed".to_owned(),
            Err(error) => super::failure::chain(&error),
        }
    };
    Ok((control, driven))
}

/// The library asks for UTF-8, as which a database in SQL_ASCII refuses to send what is none.
const BYTES_AS_THEY_ARE: &str = "SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false) \
     WHERE pg_catalog.getdatabaseencoding() = 'SQL_ASCII'";

/// What the startup packet cannot pin. The connection must be driven.
pub async fn pin(client: &Client) -> Result<(), QueryError> {
    let both = format!("{NO_TRANSACTION_TIMEOUT}; {BYTES_AS_THEY_ARE}");
    let pinned = client.batch_execute(&both).await;
    pinned.map_err(QueryError::when(
        "set transaction_timeout and client_encoding",
    ))
}

type ControlConnection = tokio_postgres::Connection<Transport, Transport>;

async fn control_at(
    info: &ConnInfo,
    host: &Host,
) -> Result<(Control, ControlConnection), ConnectError> {
    let transport = Transport::connect(info, host).await?;
    let encrypted = transport.is_encrypted();
    let mut config = tokio_postgres::Config::new();
    config
        .user(&info.user)
        .dbname(&info.dbname)
        .application_name(&info.application_name)
        .options(options(info))
        // TLS is established already: "direct" makes the library use it as it is.
        .ssl_negotiation(SslNegotiation::Direct)
        .ssl_mode(if encrypted {
            TokioSsl::Require
        } else {
            TokioSsl::Disable
        })
        .channel_binding(match info.channel_binding {
            ChannelBinding::Disable => TokioBinding::Disable,
            ChannelBinding::Prefer => TokioBinding::Prefer,
            ChannelBinding::Require => TokioBinding::Require,
        });
    if let Some(password) = passfile::password(info, host) {
        config.password(password.expose());
    }
    let (client, connection) = config
        .connect_raw(transport.guarded(), Established)
        .await
        .map_err(not_logged_in)?;
    not_a_standby(info, host, connection.parameter(STANDBY))?;
    let control = Control {
        client,
        unverified: !(host.is_local() || encrypted && tls::is_verified(info)),
    };
    Ok((control, connection))
}

/// What every server since 14 reports when it lets somebody in.
const STANDBY: &str = "in_hot_standby";

fn not_a_standby(info: &ConnInfo, host: &Host, reported: Option<&str>) -> Result<(), ConnectError> {
    match (info.target, reported) {
        (Target::Primary, Some("on")) => Err(ConnectError::Standby {
            host: host.to_string(),
        }),
        _ => Ok(()),
    }
}

fn not_logged_in(error: tokio_postgres::Error) -> ConnectError {
    let broken = error.source().and_then(|cause| cause.downcast_ref());
    match broken.and_then(std::io::Error::get_ref) {
        Some(cause) if cause.is::<ClearTextAsked>() => {
            ConnectError::Authentication(cause.to_string())
        }
        _ => ConnectError::Control(error),
    }
}

/// Gives the library a stream whose handshake is done.
struct Established;

impl TlsConnect<Transport> for Established {
    type Stream = Transport;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Transport, Self::Error>>;

    fn connect(self, stream: Transport) -> Self::Future {
        std::future::ready(Ok(stream))
    }
}

/// The first host that lets us in; else the error of the last one. `allow` is tried
/// without TLS first, then, where the server refuses that, with it: as libpq does.
async fn over_hosts<T>(
    info: &ConnInfo,
    connect: impl AsyncFn(&ConnInfo, &Host) -> Result<T, ConnectError>,
) -> Result<T, ConnectError> {
    let with_tls = ConnInfo {
        sslmode: SslMode::Require,
        ..info.clone()
    };
    let mut last = None;
    for host in &info.hosts {
        let mut connected = connect(info, host).await;
        let refused = connected.as_ref().is_err_and(ConnectError::is_refusal);
        if refused && info.sslmode == SslMode::Allow {
            connected = connect(&with_tls, host).await;
        }
        match connected {
            Ok(connected) => return Ok(connected),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| ConnectError::setup("no host is given".to_owned())))
}

/// The pinned settings as command-line options, which win over earlier ones.
fn options(info: &ConnInfo) -> String {
    let mut options = info.options.clone().unwrap_or_default();
    for (name, value) in PINNED {
        options.push_str(&format!(" -c {name}={value}"));
    }
    options
}

/// Opens a replication connection and logs in. A cleartext password is given over
/// TLS or a unix socket alone.
pub async fn replication(info: &ConnInfo) -> Result<ReplicationConnection, ConnectError> {
    over_hosts(info, replication_at).await
}

async fn replication_at(
    info: &ConnInfo,
    host: &Host,
) -> Result<ReplicationConnection, ConnectError> {
    let transport = Transport::connect(info, host).await?;
    let login = login(info, host, Messages::new(transport));
    let messages = match tokio::time::timeout(info.connect_timeout, login).await {
        Ok(messages) => messages?,
        Err(_) => {
            return Err(ConnectError::io(
                host,
                std::io::Error::new(std::io::ErrorKind::TimedOut, "login timed out"),
            ));
        }
    };
    Ok(ReplicationConnection::new(messages))
}

async fn login(
    info: &ConnInfo,
    host: &Host,
    mut messages: Messages,
) -> Result<Messages, ConnectError> {
    let options = options(info);
    let parameters = [
        ("user", info.user.as_str()),
        ("database", &info.dbname),
        ("replication", "database"),
        ("application_name", &info.application_name),
        ("client_encoding", "UTF8"),
        ("options", &options),
    ];
    let mut startup = BytesMut::new();
    frontend::startup_message(parameters, &mut startup).map_err(ConnectError::Protocol)?;
    messages
        .send(&startup)
        .await
        .map_err(ConnectError::Protocol)?;
    let password = passfile::password(info, host);
    authenticate(info, host, &mut messages, password.as_ref()).await?;
    loop {
        match messages.next().await.map_err(ConnectError::Protocol)? {
            Message::ReadyForQuery(_) => return Ok(messages),
            Message::ErrorResponse(body) => return Err(refused(&body)),
            Message::ParameterStatus(body) if body.name().is_ok_and(|name| name == STANDBY) => {
                let reported = body.value().map_err(ConnectError::Protocol)?;
                not_a_standby(info, host, Some(reported))?;
            }
            // BackendKeyData, NoticeResponse.
            _ => {}
        }
    }
}

fn refused(body: &postgres_protocol::message::backend::ErrorResponseBody) -> ConnectError {
    match PgError::from_fields(body.fields()) {
        Ok(error) => ConnectError::Refused(error),
        Err(error) => ConnectError::Protocol(error),
    }
}

async fn authenticate(
    info: &ConnInfo,
    host: &Host,
    messages: &mut Messages,
    password: Option<&Secret>,
) -> Result<(), ConnectError> {
    let needed = || {
        password.ok_or_else(|| {
            ConnectError::Authentication(
                "the server asks for a password, and none is given: \
                 set it in source.url, PGPASSWORD or a password file"
                    .to_owned(),
            )
        })
    };
    let unbound = || {
        if info.channel_binding == ChannelBinding::Require {
            Err(ConnectError::Authentication(
                "channel_binding=require, but the server did not use SCRAM over TLS".to_owned(),
            ))
        } else {
            Ok(())
        }
    };
    loop {
        let mut answer = BytesMut::new();
        match messages.next().await.map_err(ConnectError::Protocol)? {
            Message::AuthenticationOk => return unbound(),
            Message::AuthenticationCleartextPassword => {
                unbound()?;
                let local = matches!(host, Host::Unix { .. });
                if !messages.is_encrypted() && !local {
                    return Err(ConnectError::Authentication(ClearTextAsked.to_string()));
                }
                frontend::password_message(needed()?.expose(), &mut answer)
                    .map_err(ConnectError::Protocol)?;
            }
            Message::AuthenticationMd5Password(body) => {
                unbound()?;
                let hash = md5_hash(info.user.as_bytes(), needed()?.expose(), body.salt());
                frontend::password_message(hash.as_bytes(), &mut answer)
                    .map_err(ConnectError::Protocol)?;
            }
            Message::AuthenticationSasl(body) => {
                return scram(info, messages, needed()?, &body).await;
            }
            Message::ErrorResponse(body) => return Err(refused(&body)),
            Message::NoticeResponse(_) => continue,
            _ => {
                return Err(ConnectError::Authentication(
                    "the server asks for a way to log in that is not supported \
                     (GSSAPI, SSPI): use scram-sha-256 or a client certificate"
                        .to_owned(),
                ));
            }
        }
        messages
            .send(&answer)
            .await
            .map_err(ConnectError::Protocol)?;
    }
}

/// SCRAM-SHA-256, bound to the TLS connection where both sides can.
/// <https://www.postgresql.org/docs/current/sasl-authentication.html>
async fn scram(
    info: &ConnInfo,
    messages: &mut Messages,
    password: &Secret,
    offered: &postgres_protocol::message::backend::AuthenticationSaslBody,
) -> Result<(), ConnectError> {
    let (mut plain, mut plus) = (false, false);
    let mut mechanisms = offered.mechanisms();
    while let Some(mechanism) = fallible_iterator::FallibleIterator::next(&mut mechanisms)
        .map_err(ConnectError::Protocol)?
    {
        plain |= mechanism == SCRAM_SHA_256;
        plus |= mechanism == SCRAM_SHA_256_PLUS;
    }
    let end_point = messages
        .end_point()
        .filter(|_| info.channel_binding != ChannelBinding::Disable);
    let (mechanism, binding) = match end_point {
        Some(data) if plus => (SCRAM_SHA_256_PLUS, SaslBinding::tls_server_end_point(data)),
        _ if info.channel_binding == ChannelBinding::Require => {
            return Err(ConnectError::Authentication(
                "channel_binding=require, but the connection cannot be bound: \
                 TLS on both sides is needed"
                    .to_owned(),
            ));
        }
        Some(_) if plain => (SCRAM_SHA_256, SaslBinding::unrequested()),
        None if plain => (SCRAM_SHA_256, SaslBinding::unsupported()),
        _ => {
            return Err(ConnectError::Authentication(
                "the server offers no SASL mechanism that is supported".to_owned(),
            ));
        }
    };
    let mut scram = ScramSha256::new(password.expose(), binding);
    let mut answer = BytesMut::new();
    frontend::sasl_initial_response(mechanism, scram.message(), &mut answer)
        .map_err(ConnectError::Protocol)?;
    messages
        .send(&answer)
        .await
        .map_err(ConnectError::Protocol)?;
    loop {
        match messages.next().await.map_err(ConnectError::Protocol)? {
            Message::AuthenticationSaslContinue(body) => {
                scram.update(body.data()).map_err(ConnectError::Protocol)?;
                let mut answer = BytesMut::new();
                frontend::sasl_response(scram.message(), &mut answer)
                    .map_err(ConnectError::Protocol)?;
                messages
                    .send(&answer)
                    .await
                    .map_err(ConnectError::Protocol)?;
            }
            Message::AuthenticationSaslFinal(body) => {
                scram.finish(body.data()).map_err(ConnectError::Protocol)?;
            }
            Message::AuthenticationOk => return Ok(()),
            Message::ErrorResponse(body) => return Err(refused(&body)),
            _ => {
                return Err(ConnectError::Authentication(
                    "the server broke off SCRAM".to_owned(),
                ));
            }
        }
    }
}
