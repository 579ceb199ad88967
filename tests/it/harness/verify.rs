//! Standard Webhooks verification, written apart from the daemon's own code on purpose.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What every official library allows between a request's timestamp and the clock.
const TOLERANCE_S: i64 = 300;

/// Checks as the official libraries do, and is stricter where they differ:
/// parts are `v1,<base64>` with exactly one space between.
pub fn verify(
    secrets: &[String],
    id: &str,
    timestamp: &str,
    signatures: &str,
    body: &[u8],
    now_s: i64,
) -> Result<(), String> {
    if id.is_empty() || id.contains('.') {
        return Err(format!("the id {id:?} is empty or has a dot"));
    }
    let time: i64 = timestamp
        .parse()
        .map_err(|_| format!("the timestamp {timestamp:?} is no whole number"))?;
    if (now_s - time).abs() > TOLERANCE_S {
        return Err(format!("the timestamp {time} is {} s off", now_s - time));
    }
    let mut content = format!("{id}.{timestamp}.").into_bytes();
    content.extend_from_slice(body);
    let mut matched = false;
    for part in signatures.split(' ') {
        let encoded = part
            .strip_prefix("v1,")
            .ok_or_else(|| format!("the signature part {part:?} is not v1,<base64>"))?;
        let signature = STANDARD
            .decode(encoded)
            .map_err(|_| format!("the signature part {part:?} is no base64"))?;
        matched |= secrets.iter().any(|secret| {
            let key = secret.strip_prefix("whsec_").expect("a whsec_ secret");
            let key = STANDARD.decode(key).expect("a secret in base64");
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes any key");
            mac.update(&content);
            mac.verify_slice(&signature).is_ok()
        });
    }
    if matched {
        Ok(())
    } else {
        Err("no signature matches".to_owned())
    }
}

/// A fresh `whsec_` secret of 32 random bytes.
pub fn random_secret() -> String {
    let bytes: [u8; 32] = std::array::from_fn(|_| fastrand::u8(..));
    format!("whsec_{}", STANDARD.encode(bytes))
}
