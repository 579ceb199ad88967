//! Fresh secrets, from the system's randomness.

use anyhow::anyhow;
use zeroize::Zeroizing;

use crate::delivery::signature;
use crate::secret::Secret;

const SECRET_BYTES: usize = 32;

/// `whsec_...`, as the config takes it.
pub(super) fn fresh() -> anyhow::Result<Zeroizing<String>> {
    let mut random = Zeroizing::new([0; SECRET_BYTES]);
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut *random)
        .map_err(|_| anyhow!("the system gives no random bytes"))?;
    Ok(signature::secret_text(&Secret::new(*random)))
}
