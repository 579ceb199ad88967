//! Where in the replication stream a byte stands.
//!
//! ```text
//! tag length | 'k' ...              a keepalive
//! tag length | 'w' + 24 bytes | message
//! ```

const HEADER_BYTES: usize = 5;
/// In an XLogData: up to the first byte of the message.
const FRONT_BYTES: usize = HEADER_BYTES + 1 + 24 + 1;

/// What the byte after those that have passed belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// It begins a frame.
    Between,
    /// The length of a frame.
    Length,
    /// The answer to START_REPLICATION.
    Answer,
    Keepalive,
    /// What stands before a message, up to its first byte.
    MessageHead,
    /// The message that begins with this letter.
    Message(char),
}

/// Follows a stream from the answer to START_REPLICATION on.
#[derive(Debug, Default)]
pub struct Frames {
    /// The first bytes of the frame that is passing.
    front: Vec<u8>,
    /// How many bytes of it have passed.
    passed: usize,
}

impl Frames {
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = self.length().unwrap_or(HEADER_BYTES);
            let (taken, rest) = bytes.split_at(bytes.len().min(end - self.passed));
            let wanted = taken.len().min(FRONT_BYTES - self.front.len());
            self.front.extend(&taken[..wanted]);
            self.passed += taken.len();
            bytes = rest;
            if self.length() == Some(self.passed) {
                *self = Frames::default();
            }
        }
    }

    /// Of the whole frame, once its header has passed.
    fn length(&self) -> Option<usize> {
        length(&self.front)
    }

    pub fn place(&self) -> Place {
        match (self.passed, self.front.get(HEADER_BYTES)) {
            (0, _) => Place::Between,
            (1..HEADER_BYTES, _) => Place::Length,
            _ if self.front[0] != b'd' => Place::Answer,
            (_, Some(b'k')) => Place::Keepalive,
            _ => match self.front.get(FRONT_BYTES - 1) {
                Some(tag) => Place::Message((*tag).into()),
                None => Place::MessageHead,
            },
        }
    }
}

/// Of the whole frame that begins so.
fn length(front: &[u8]) -> Option<usize> {
    let length = front.get(1..HEADER_BYTES)?;
    let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
    Some(length as usize + 1)
}

/// The whole frames that these bytes begin with.
pub fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut whole = Vec::new();
    while let Some((frame, rest)) = length(bytes).and_then(|end| bytes.split_at_checked(end)) {
        whole.push(frame);
        bytes = rest;
    }
    whole
}
