//! TLS in front of a receiver.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::receiver::Receiver;
use super::runtime;

/// Terminates TLS with one of the certificates of `tests/fixtures/tls` and passes on to a receiver.
pub struct TlsFront {
    address: SocketAddr,
    _stop: DropGuard,
}

/// A file of `tests/fixtures/tls`. `ca.pem` signed `good`, `wrong_host` and `expired`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/tls")
        .join(name)
}

impl TlsFront {
    pub async fn before(receiver: &Receiver, certificate: &str) -> TlsFront {
        TlsFront::new(receiver, certificate, false).await
    }

    /// The same, for those alone who show a certificate too.
    pub async fn for_known_clients(receiver: &Receiver) -> TlsFront {
        TlsFront::new(receiver, "good", true).await
    }

    async fn new(receiver: &Receiver, certificate: &str, asks: bool) -> TlsFront {
        let chain = CertificateDer::from_pem_file(fixture(&format!("{certificate}.pem")));
        let key = PrivateKeyDer::from_pem_file(fixture(&format!("{certificate}.key")));
        let provider = Arc::new(ring::default_provider());
        let clients = if asks {
            let ca = CertificateDer::from_pem_file(fixture("client_ca.pem"));
            let mut roots = RootCertStore::empty();
            roots.add(ca.expect("a certificate")).expect("a root");
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .expect("a verifier")
        } else {
            WebPkiClientVerifier::no_client_auth()
        };
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![chain.expect("a certificate")], key.expect("a key"))
            .expect("a key that fits its certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let behind = receiver.address();
        let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = runtime()
            .spawn(listening)
            .await
            .expect("no panic")
            .expect("a free port");
        let address = listener.local_addr().expect("its address");
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        runtime().spawn(stopped.run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A refused certificate ends here; the test sees that nothing arrives.
                    if let Ok(mut stream) = acceptor.accept(stream).await
                        && let Ok(mut onward) = TcpStream::connect(behind).await
                    {
                        tokio::io::copy_bidirectional(&mut stream, &mut onward)
                            .await
                            .ok();
                    }
                });
            }
        }));
        TlsFront {
            address,
            _stop: stop.drop_guard(),
        }
    }

    pub fn url(&self) -> String {
        format!("https://{}/hooks", self.address)
    }
}
