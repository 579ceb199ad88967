//! Is a request signed as Standard Webhooks 1.0.0 asks?

use crate::delivery::signature::{self, SigningKey};

/// How far a request's time may be from ours: what the official libraries allow.
const TOLERANCE_S: i64 = 300;

/// The three headers, as they came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signed<'a> {
    pub id: Option<&'a str>,
    pub timestamp: Option<&'a str>,
    pub signature: Option<&'a str>,
}

/// Why a request is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it has no {0} header")]
    Missing(&'static str),
    #[error("its webhook-timestamp is no number of seconds")]
    NoTime,
    #[error("its webhook-timestamp is more than five minutes in the past")]
    TooOld,
    #[error("its webhook-timestamp is more than five minutes in the future")]
    TooNew,
    #[error("no signature of it matches: another secret, or a body that was changed")]
    Signature,
}

/// `now` in Unix seconds.
pub fn verify(
    keys: &[SigningKey],
    signed: Signed<'_>,
    body: &[u8],
    now: i64,
) -> Result<(), Refusal> {
    let id = signed.id.ok_or(Refusal::Missing("webhook-id"))?;
    let timestamp = signed
        .timestamp
        .ok_or(Refusal::Missing("webhook-timestamp"))?;
    let header = signed
        .signature
        .ok_or(Refusal::Missing("webhook-signature"))?;
    let time: i64 = timestamp.parse().map_err(|_| Refusal::NoTime)?;
    if time < now.saturating_sub(TOLERANCE_S) {
        return Err(Refusal::TooOld);
    }
    if time > now.saturating_add(TOLERANCE_S) {
        return Err(Refusal::TooNew);
    }
    if signature::matches(keys, header, id, time, body) {
        Ok(())
    } else {
        Err(Refusal::Signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_649_367_553;
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    fn keys() -> Vec<SigningKey> {
        vec![SigningKey::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap()]
    }

    fn signed(signature: &str) -> Signed<'_> {
        Signed {
            id: Some("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
            timestamp: Some("1649367553"),
            signature: Some(signature),
        }
    }

    #[test]
    fn one_matching_signature_among_several_is_enough() {
        assert_eq!(verify(&keys(), signed(SIGNATURE), BODY, NOW), Ok(()));
        let several = format!("v1a,xyz v1,AAAA nonsense  {SIGNATURE}");
        assert_eq!(verify(&keys(), signed(&several), BODY, NOW), Ok(()));
    }

    #[test]
    fn what_is_changed_missing_or_of_another_time_is_refused() {
        let refusal =
            |signed, body, now| verify(&keys(), signed, body, now).expect_err("not believed");
        assert_eq!(refusal(signed(SIGNATURE), b"{}", NOW), Refusal::Signature);
        assert_eq!(refusal(signed("v1,AAAA"), BODY, NOW), Refusal::Signature);
        let v2 = SIGNATURE.replace("v1,", "v2,");
        assert_eq!(refusal(signed(&v2), BODY, NOW), Refusal::Signature);
        assert_eq!(refusal(signed(SIGNATURE), BODY, NOW + 301), Refusal::TooOld);
        assert_eq!(refusal(signed(SIGNATURE), BODY, NOW - 301), Refusal::TooNew);
        let broken = Signed {
            timestamp: Some("today"),
            ..signed(SIGNATURE)
        };
        assert_eq!(refusal(broken, BODY, NOW), Refusal::NoTime);
        assert_eq!(
            refusal(Signed::default(), BODY, NOW),
            Refusal::Missing("webhook-id")
        );
        let other = [SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()];
        assert_eq!(
            verify(&other, signed(SIGNATURE), BODY, NOW),
            Err(Refusal::Signature)
        );
    }
}
