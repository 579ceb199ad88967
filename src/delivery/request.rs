//! A request: one event, or a batch of them, as a webhook.

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};

use crate::event::EventId;

/// What is sent: the same id and body on every attempt.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// `webhook-id`.
    pub id: String,
    pub body: Bytes,
}

impl Webhook {
    /// One event: its own id, its own body.
    pub fn single(id: EventId, body: Bytes) -> Self {
        Webhook {
            id: id.to_string(),
            body,
        }
    }

    /// A JSON array of the events' bodies, also of one. The id is a hash of theirs.
    pub fn batch<'a>(events: impl Iterator<Item = (EventId, &'a Bytes)> + Clone) -> Self {
        let mut hash = Sha256::new();
        let mut length = 2;
        for (id, body) in events.clone() {
            hash.update(id.0);
            length += body.len() + 1;
        }
        let mut body = BytesMut::with_capacity(length);
        body.put_u8(b'[');
        for (place, (_, event)) in events.enumerate() {
            if place > 0 {
                body.put_u8(b',');
            }
            body.put_slice(event);
        }
        body.put_u8(b']');
        let mut id = String::with_capacity(36);
        id.push_str("bat_");
        for byte in &hash.finalize()[..16] {
            let _ = write!(id, "{byte:02x}");
        }
        Webhook {
            id,
            body: body.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_an_array_also_of_one_and_its_id_follows_from_its_events() {
        let a = (EventId([1; 16]), Bytes::from_static(b"{\"a\":1}"));
        let b = (EventId([2; 16]), Bytes::from_static(b"{\"b\":2}"));
        let batch = |events: &[&(EventId, Bytes)]| {
            Webhook::batch(
                events
                    .iter()
                    .map(|(id, body)| (*id, body))
                    .collect::<Vec<_>>()
                    .into_iter(),
            )
        };
        assert_eq!(&batch(&[&a]).body[..], b"[{\"a\":1}]");
        assert_eq!(&batch(&[&a, &b]).body[..], b"[{\"a\":1},{\"b\":2}]");
        assert_eq!(batch(&[&a, &b]).id, batch(&[&a, &b]).id);
        assert_ne!(batch(&[&a, &b]).id, batch(&[&b, &a]).id);
        assert_eq!(batch(&[&a]).id.len(), 36);
        assert!(!batch(&[&a]).id.contains('.'));
    }
}
