//! pgoutput as a walsender writes it: the other side of the decoder.

use walhook::lsn::Lsn;

/// A message that grows.
pub struct Bytes(Vec<u8>);

impl Bytes {
    pub fn of(tag: u8) -> Self {
        Bytes(vec![tag])
    }

    pub fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn lsn(self, value: Lsn) -> Self {
        self.u64(value.0)
    }

    pub fn text(mut self, value: &str) -> Self {
        self.0.extend(value.as_bytes());
        self.u8(0)
    }

    pub fn sized(mut self, value: &[u8]) -> Self {
        self = self.u32(u32::try_from(value.len()).unwrap());
        self.0.extend(value);
        self
    }

    /// TupleData; `None` is a null.
    pub fn tuple(mut self, values: &[Option<&str>]) -> Self {
        self = self.u16(u16::try_from(values.len()).unwrap());
        for value in values {
            self = match value {
                Some(text) => self.u8(b't').sized(text.as_bytes()),
                None => self.u8(b'n'),
            };
        }
        self
    }

    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

/// One CopyData with a message.
pub fn data(wal: Lsn, message: Vec<u8>) -> Vec<u8> {
    let mut frame = Bytes::of(b'w').lsn(wal).lsn(wal).i64(0).done();
    frame.extend(message);
    frame
}

/// One CopyData with a keepalive.
pub fn keepalive(wal_end: Lsn) -> Vec<u8> {
    Bytes::of(b'k').lsn(wal_end).i64(0).u8(0).done()
}

/// The flush position of a status update.
pub fn confirmed(status: &[u8]) -> Lsn {
    assert_eq!((status.len(), status[0]), (34, b'r'), "a status update");
    Lsn(u64::from_be_bytes(status[9..17].try_into().unwrap()))
}
