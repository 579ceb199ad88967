//! A guard over a login that a library does: it watches what the server sends, until it
//! has let us in, and fails on the question for a password in clear text.
//!
//! The replication connection logs in first and refuses that question itself; but who
//! stands in for the server could let that one in and ask the next.
//!
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>

/// The server asked for what would go over the network in clear text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the server asks for the password in clear text over a connection without TLS: \
     use scram-sha-256 in pg_hba.conf, or a stronger sslmode"
)]
pub struct ClearTextAsked;

/// Type, length, and of an authentication request what is asked for.
const HEAD_BYTES: usize = 5;
const REQUEST_BYTES: usize = HEAD_BYTES + 4;
const OK: u32 = 0;
const CLEAR_TEXT_PASSWORD: u32 = 3;

/// Where in the server's messages the reading stands.
#[derive(Debug)]
pub enum LoginGuard {
    Head(Vec<u8>),
    /// Bytes of a message that says nothing here.
    Body(u64),
    LoggedIn,
}

impl Default for LoginGuard {
    fn default() -> Self {
        LoginGuard::Head(Vec::with_capacity(REQUEST_BYTES))
    }
}

impl LoginGuard {
    /// Takes the next bytes of the server, in whatever parts they come.
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<(), ClearTextAsked> {
        while !bytes.is_empty() {
            match self {
                LoginGuard::LoggedIn => return Ok(()),
                LoginGuard::Body(left) => {
                    let taken = bytes
                        .len()
                        .min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= taken as u64;
                    bytes = bytes.get(taken..).unwrap_or_default();
                    if *left == 0 {
                        *self = LoginGuard::default();
                    }
                }
                LoginGuard::Head(head) => {
                    let Some((byte, rest)) = bytes.split_first() else {
                        return Ok(());
                    };
                    head.push(*byte);
                    bytes = rest;
                    if let Some(next) = after(head)? {
                        *self = next;
                    }
                }
            }
        }
        Ok(())
    }
}

/// What follows the head, once there is enough of it.
fn after(head: &[u8]) -> Result<Option<LoginGuard>, ClearTextAsked> {
    let is_request = head.first() == Some(&b'R');
    let wanted = if is_request {
        REQUEST_BYTES
    } else {
        HEAD_BYTES
    };
    if head.len() < wanted {
        return Ok(None);
    }
    let number = |from: usize| {
        let bytes = head
            .get(from..from + 4)
            .and_then(|four| four.try_into().ok());
        bytes.map_or(0, u32::from_be_bytes)
    };
    if is_request {
        match number(HEAD_BYTES) {
            OK => return Ok(Some(LoginGuard::LoggedIn)),
            CLEAR_TEXT_PASSWORD => return Err(ClearTextAsked),
            _ => {}
        }
    }
    // The length counts itself, not the type.
    let left = u64::from(number(1)).saturating_sub(wanted as u64 - 1);
    Ok(Some(match left {
        0 => LoginGuard::default(),
        left => LoginGuard::Body(left),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTICE: &[u8] = b"N\0\0\0\x09R\0\0\0\0";
    const SASL: &[u8] = b"R\0\0\0\x0e\0\0\0\x0aabcdef";
    const ASKED: &[u8] = b"R\0\0\0\x08\0\0\0\x03";
    const LET_IN: &[u8] = b"R\0\0\0\x08\0\0\0\0";

    fn read(parts: &[&[u8]], part_bytes: usize) -> Result<(), ClearTextAsked> {
        let mut guard = LoginGuard::default();
        parts
            .concat()
            .chunks(part_bytes)
            .try_for_each(|part| guard.read(part))
    }

    #[test]
    fn the_question_is_seen_in_whatever_parts_it_comes() {
        for part_bytes in 1..40 {
            for parts in [&[ASKED][..], &[NOTICE, ASKED], &[NOTICE, SASL, ASKED]] {
                assert_eq!(read(parts, part_bytes), Err(ClearTextAsked), "{part_bytes}");
            }
            // A row may look like it.
            for parts in [&[NOTICE, SASL][..], &[SASL, LET_IN, ASKED], &[b"R\0"]] {
                assert_eq!(read(parts, part_bytes), Ok(()), "{part_bytes}");
            }
        }
    }
}
