//! TLS to the server, by rustls: what each sslmode verifies, client certificates,
//! and the data that SCRAM binds to.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio_rustls::TlsConnector;

use super::conninfo::{ConnInfo, RootCert, SslMode};
use super::failure::ConnectError;

/// How much of the server's certificate is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verify {
    Nothing,
    Chain,
    ChainAndName,
}

/// As libpq: a root certificate that is there makes `require` verify the chain.
fn verify(info: &ConnInfo) -> Verify {
    match (info.sslmode, &info.sslrootcert) {
        (SslMode::VerifyFull, _) => Verify::ChainAndName,
        (SslMode::VerifyCa, _) => Verify::Chain,
        (SslMode::Require, RootCert::File(_) | RootCert::Default(Some(_))) => Verify::Chain,
        _ => Verify::Nothing,
    }
}

/// Whether somebody in between could pose as the server without being noticed.
pub fn is_verified(info: &ConnInfo) -> bool {
    verify(info) != Verify::Nothing
}

pub(super) fn connector(info: &ConnInfo) -> Result<TlsConnector, ConnectError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let lenient = |chain| Lenient {
        chain,
        provider: Arc::clone(&provider),
    };
    let verifier: Arc<dyn ServerCertVerifier> = match verify(info) {
        Verify::Nothing => Arc::new(lenient(None)),
        Verify::Chain => Arc::new(lenient(Some(webpki(info, &provider)?))),
        Verify::ChainAndName => webpki(info, &provider)?,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::setup(format!("failed to set up TLS: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match (&info.sslcert, &info.sslkey) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|error| {
                ConnectError::setup(format!(
                    "client certificate \"{}\" and key \"{}\" cannot be used: {error}",
                    cert.display(),
                    key.display()
                ))
            })?,
        (Some(cert), None) => {
            return Err(ConnectError::setup(format!(
                "client certificate \"{}\" is given without its private key: set sslkey",
                cert.display()
            )));
        }
        (None, _) => builder.with_no_client_auth(),
    };
    // Servers since 17 may ask for it, older ones ignore it.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

pub(super) fn server_name(name: &str, address: &str) -> Result<ServerName<'static>, ConnectError> {
    let name = if name.is_empty() { address } else { name };
    ServerName::try_from(name.to_owned()).map_err(|_| {
        ConnectError::setup(format!(
            "host \"{}\" is no name that a certificate can be for",
            name.escape_debug()
        ))
    })
}

fn webpki(
    info: &ConnInfo,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, ConnectError> {
    let mut roots = RootCertStore::empty();
    match &info.sslrootcert {
        RootCert::System => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        RootCert::File(path) | RootCert::Default(Some(path)) => {
            roots.add_parsable_certificates(certificates(path)?);
        }
        RootCert::Default(None) => {
            return Err(ConnectError::setup(
                "sslmode verifies the server, but there is no root certificate: \
                 give sslrootcert a file, or sslrootcert=system"
                    .to_owned(),
            ));
        }
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| {
            ConnectError::setup(format!("the root certificates cannot be used: {error}"))
        })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable("certificate", path, &error))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ConnectError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable("private key", path, &error))
}

fn unreadable(what: &str, path: &Path, error: &rustls::pki_types::pem::Error) -> ConnectError {
    ConnectError::setup(format!(
        "failed to read {what} \"{}\": {error}",
        path.display()
    ))
}

/// Hash of the server's certificate, as RFC 5929 wants it: by the hash of the
/// certificate's signature, MD5 and SHA-1 replaced by SHA-256.
pub(super) fn end_point(connection: &ClientConnection) -> Option<Vec<u8>> {
    let certificate = connection.peer_certificates()?.first()?;
    Some(match signature_hash(certificate) {
        SignatureHash::Sha256 => Sha256::digest(certificate).to_vec(),
        SignatureHash::Sha384 => Sha384::digest(certificate).to_vec(),
        SignatureHash::Sha512 => Sha512::digest(certificate).to_vec(),
        SignatureHash::None => return None,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignatureHash {
    Sha256,
    Sha384,
    Sha512,
    /// Not defined for the algorithm (Ed25519).
    None,
}

/// Reads the OID of a certificate's `signatureAlgorithm`, the second element of its
/// outer SEQUENCE. <https://www.rfc-editor.org/rfc/rfc5280#section-4.1>
fn signature_hash(certificate: &[u8]) -> SignatureHash {
    // Content octets of the OIDs.
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    let oid = element(certificate)
        .and_then(|(content, _)| element(content))
        .and_then(|(_, rest)| element(rest))
        .and_then(|(algorithm, _)| element(algorithm))
        .map_or(&[][..], |(oid, _)| oid);
    if oid == ED25519 {
        return SignatureHash::None;
    }
    let rsa = oid.strip_prefix(RSA).and_then(<[u8]>::first);
    let ecdsa = oid.strip_prefix(ECDSA).and_then(<[u8]>::first);
    match (rsa, ecdsa) {
        (Some(12), _) | (_, Some(3)) => SignatureHash::Sha384,
        (Some(13), _) | (_, Some(4)) => SignatureHash::Sha512,
        // sha256 of either, and what is older.
        _ => SignatureHash::Sha256,
    }
}

/// The content of the DER element at the front, and what follows it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if octets.len() > 4 {
            return None;
        }
        let length = octets
            .iter()
            .fold(0_usize, |length, octet| length << 8 | usize::from(*octet));
        (length, rest)
    };
    rest.split_at_checked(length)
}

/// Less than rustls asks for: the name does not count, and without `chain` nobody is
/// verified at all.
#[derive(Debug)]
struct Lenient {
    /// `verify-ca`: signed by a known authority.
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is checked last, once the chain has been found good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_elements_are_read_with_checked_lengths() {
        assert_eq!(element(&[0x30, 2, 1, 2, 9]), Some((&[1, 2][..], &[9][..])));
        assert_eq!(element(&[0x30, 0x81, 1, 7]), Some((&[7][..], &[][..])));
        for bad in [
            &[][..],
            &[0x30],
            &[0x30, 2, 1],
            &[0x30, 0x85, 1, 1, 1, 1, 1],
        ] {
            assert_eq!(element(bad), None);
        }
    }

    #[test]
    fn the_hash_follows_the_certificates_signature() {
        let certificate = |oid: &[u8]| {
            let mut algorithm = vec![6, oid.len() as u8];
            algorithm.extend(oid);
            let mut content = vec![0x30, 0, 0x30, algorithm.len() as u8];
            content.extend(algorithm);
            let mut der = vec![0x30, content.len() as u8];
            der.extend(content);
            der
        };
        let rsa = |last| certificate(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last]);
        assert_eq!(signature_hash(&rsa(5)), SignatureHash::Sha256);
        assert_eq!(signature_hash(&rsa(11)), SignatureHash::Sha256);
        assert_eq!(signature_hash(&rsa(12)), SignatureHash::Sha384);
        assert_eq!(signature_hash(&rsa(13)), SignatureHash::Sha512);
        let ecdsa = certificate(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 3]);
        assert_eq!(signature_hash(&ecdsa), SignatureHash::Sha384);
        assert_eq!(
            signature_hash(&certificate(&[0x2b, 0x65, 0x70])),
            SignatureHash::None
        );
        assert_eq!(signature_hash(&[]), SignatureHash::Sha256);
    }
}
