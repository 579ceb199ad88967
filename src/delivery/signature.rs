//! Standard Webhooks 1.0.0 signatures.
//!
//! `v1,<base64 of HMAC-SHA256(key, "{id}.{timestamp}.{body}")>`, one for each
//! active secret, one space between. Secrets are written `whsec_<base64>` and
//! stand for 24 to 64 random bytes.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::secret::Secret;

const PREFIX: &str = "whsec_";
const KEY_BYTES_MIN: usize = 24;
const KEY_BYTES_MAX: usize = 64;

/// A key that signs requests. It is expanded once, so that a signature costs the body alone.
#[derive(Clone)]
pub struct SigningKey {
    keyed: Hmac<Sha256>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// Why a text is no usable secret. It never shows the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("it does not begin with \"whsec_\"")]
    Prefix,
    #[error("what follows \"whsec_\" is not base64 of the standard alphabet")]
    Base64,
    #[error("it holds {0} bytes, Standard Webhooks asks for 24 to 64")]
    Length(usize),
}

impl SigningKey {
    /// Takes `whsec_<base64>`.
    pub fn parse(secret: &str) -> Result<Self, SecretError> {
        let encoded = secret.strip_prefix(PREFIX).ok_or(SecretError::Prefix)?;
        let bytes = Secret::new(STANDARD.decode(encoded).map_err(|_| SecretError::Base64)?);
        let length = bytes.expose().len();
        if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&length) {
            return Err(SecretError::Length(length));
        }
        let keyed =
            Hmac::new_from_slice(bytes.expose()).map_err(|_| SecretError::Length(length))?;
        Ok(SigningKey { keyed })
    }

    /// Appends `v1,<base64>` for the request with this id, time (Unix seconds) and body.
    fn sign_into(&self, header: &mut String, id: &str, timestamp: i64, body: &[u8]) {
        header.push_str("v1,");
        let mac = self.mac(id, timestamp, body);
        STANDARD.encode_string(mac.finalize().into_bytes(), header);
    }

    fn mac(&self, id: &str, timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(itoa::Buffer::new().format(timestamp).as_bytes());
        mac.update(b".");
        mac.update(body);
        mac
    }
}

/// The value of `webhook-signature`.
pub fn header(keys: &[SigningKey], id: &str, timestamp: i64, body: &[u8]) -> String {
    // "v1," and 44 characters of base64, one space between.
    let mut header = String::with_capacity(keys.len() * 48);
    for key in keys {
        if !header.is_empty() {
            header.push(' ');
        }
        key.sign_into(&mut header, id, timestamp, body);
    }
    header
}

/// One of the signatures in `header` is one of the keys'. Parts that are no `v1` are passed over.
pub fn matches(keys: &[SigningKey], header: &str, id: &str, timestamp: i64, body: &[u8]) -> bool {
    let signatures = header
        .split(' ')
        .filter_map(|part| part.strip_prefix("v1,"));
    signatures
        .filter_map(|encoded| STANDARD.decode(encoded).ok())
        .any(|signature| {
            keys.iter().any(|key| {
                let mac = key.mac(id, timestamp, body);
                // Takes as long for a wrong signature as for a right one.
                mac.verify_slice(&signature).is_ok()
            })
        })
}

/// A fresh secret as the config takes it, of 32 random bytes.
pub fn secret_text(random: &Secret) -> Zeroizing<String> {
    Zeroizing::new(format!("{PREFIX}{}", STANDARD.encode(random.expose())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    #[test]
    fn the_golden_vector() {
        let key = SigningKey::parse(SECRET).unwrap();
        assert_eq!(header(&[key], ID, 1_649_367_553, BODY), SIGNATURE);
    }

    #[test]
    fn one_signature_for_each_active_secret_with_one_space_between() {
        let key = SigningKey::parse(SECRET).unwrap();
        let other = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = header(&[key, other], ID, 1_649_367_553, BODY);
        let (first, second) = signed.split_once(' ').unwrap();
        assert_eq!(first, SIGNATURE);
        assert!(second.starts_with("v1,") && second.len() == 47, "{second}");
    }

    #[test]
    fn unusable_secrets_are_told_apart_and_not_shown() {
        let error = |secret: &str| SigningKey::parse(secret).unwrap_err();
        assert_eq!(error(""), SecretError::Prefix);
        assert_eq!(
            error("v1,whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
            SecretError::Prefix
        );
        assert_eq!(error("whsec_not base64!"), SecretError::Base64);
        assert_eq!(error("whsec_c2hvcnQ="), SecretError::Length(5));
        assert_eq!(error("whsec_"), SecretError::Length(0));
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        assert_eq!(error(&long), SecretError::Length(65));
        assert!(!format!("{:?}", SigningKey::parse(SECRET).unwrap()).contains("C2FV"));
    }
}
