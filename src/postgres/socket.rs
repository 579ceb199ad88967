//! The socket to a server: TCP, a unix socket, or TLS over TCP.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use postgres_protocol::message::frontend;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use super::conninfo::{ConnInfo, Host, SslMode};
use super::failure::ConnectError;
use super::login_guard::LoginGuard;
use super::tls;

/// A connection's bytes, whatever carries them.
#[derive(Debug)]
pub enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    /// TCP on which a library logs in that would answer any question.
    Guarded(TcpStream, LoginGuard),
}

impl Transport {
    /// Connects to one host and negotiates TLS as the connection string asks.
    pub async fn connect(info: &ConnInfo, host: &Host) -> Result<Self, ConnectError> {
        match tokio::time::timeout(info.connect_timeout, connect(info, host)).await {
            Ok(connected) => connected,
            Err(_) => Err(ConnectError::io(
                host,
                io::Error::new(io::ErrorKind::TimedOut, "connection timed out"),
            )),
        }
    }

    pub fn is_encrypted(&self) -> bool {
        matches!(self, Transport::Tls(_))
    }

    /// From now on reading fails when the server asks for the password in clear text
    /// where others could read it.
    pub fn guarded(self) -> Self {
        match self {
            Transport::Tcp(stream) => Transport::Guarded(stream, LoginGuard::default()),
            unread => unread,
        }
    }

    /// Data for SCRAM's `tls-server-end-point`, over TLS.
    pub fn end_point(&self) -> Option<Vec<u8>> {
        match self {
            Transport::Tls(stream) => tls::end_point(stream.get_ref().1),
            Transport::Tcp(_) | Transport::Unix(_) | Transport::Guarded(..) => None,
        }
    }
}

async fn connect(info: &ConnInfo, host: &Host) -> Result<Transport, ConnectError> {
    let (name, address, port) = match host {
        Host::Unix { directory, port } => {
            let path = directory.join(format!(".s.PGSQL.{port}"));
            let stream = UnixStream::connect(path)
                .await
                .map_err(|error| ConnectError::io(host, error))?;
            return Ok(Transport::Unix(stream));
        }
        Host::Tcp {
            name,
            address,
            port,
        } => (name, address.as_ref().unwrap_or(name), *port),
    };
    // Tries every address that the name resolves to.
    let mut stream = TcpStream::connect((address.as_str(), port))
        .await
        .map_err(|error| ConnectError::io(host, error))?;
    configure(info, &stream).map_err(|error| ConnectError::io(host, error))?;
    if info.sslmode <= SslMode::Allow {
        return Ok(Transport::Tcp(stream));
    }
    if !asks_for_tls(&mut stream)
        .await
        .map_err(|error| ConnectError::io(host, error))?
    {
        return if info.sslmode == SslMode::Prefer {
            Ok(Transport::Tcp(stream))
        } else {
            Err(ConnectError::NoTls {
                host: host.to_string(),
            })
        };
    }
    let connector = tls::connector(info)?;
    let server_name = tls::server_name(name, address)?;
    match connector.connect(server_name, stream).await {
        Ok(stream) => Ok(Transport::Tls(Box::new(stream))),
        Err(error) => Err(ConnectError::tls(host, error)),
    }
}

fn configure(info: &ConnInfo, stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    if info.keepalives {
        let keepalive = TcpKeepalive::new()
            .with_time(info.keepalives_idle)
            .with_interval(Duration::from_secs(10))
            .with_retries(3);
        socket.set_tcp_keepalive(&keepalive)?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(
        info.tcp_user_timeout.unwrap_or(Duration::from_secs(60)),
    ))?;
    Ok(())
}

/// SSLRequest. Exactly one byte is read, so that nothing sent before the handshake
/// can be taken for something sent within it.
/// <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL>
async fn asks_for_tls(stream: &mut TcpStream) -> io::Result<bool> {
    let mut request = bytes::BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await?;
    match stream.read_u8().await? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the answer to SSLRequest is neither yes nor no: is this a PostgreSQL server?",
        )),
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::Guarded(stream, guard) => {
                let before = buffer.filled().len();
                ready!(Pin::new(stream).poll_read(context, buffer))?;
                let new = buffer.filled().get(before..).unwrap_or_default();
                Poll::Ready(guard.read(new).map_err(io::Error::other))
            }
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Tcp(stream) | Transport::Guarded(stream, _) => {
                Pin::new(stream).poll_write(context, bytes)
            }
            Transport::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Tcp(stream) | Transport::Guarded(stream, _) => {
                Pin::new(stream).poll_flush(context)
            }
            Transport::Unix(stream) => Pin::new(stream).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Tcp(stream) | Transport::Guarded(stream, _) => {
                Pin::new(stream).poll_shutdown(context)
            }
            Transport::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl TlsStream for Transport {
    fn channel_binding(&self) -> ChannelBinding {
        match self.end_point() {
            Some(data) => ChannelBinding::tls_server_end_point(data),
            None => ChannelBinding::none(),
        }
    }
}
