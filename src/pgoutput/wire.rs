//! Checked reads: integers are big-endian, names end with a zero byte.
//!
//! <https://www.postgresql.org/docs/current/protocol-message-types.html>

use std::borrow::Cow;

use super::error::{DecodeError, Malformed, Tag};
use crate::lsn::Lsn;

/// One message, read from its front.
#[derive(Clone, Debug)]
pub(super) struct Wire<'a> {
    message: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Wire<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Wire {
            message,
            rest: message,
        }
    }

    /// What is not yet read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The error `problem` here, at the first byte that is not yet read.
    pub fn malformed(&self, problem: Malformed) -> DecodeError {
        self.malformed_before(problem, 0)
    }

    /// The error `problem`, `back` bytes before the first that is not yet read.
    pub fn malformed_before(&self, problem: Malformed, back: usize) -> DecodeError {
        DecodeError::Malformed {
            tag: Tag(self.message.first().copied().unwrap_or_default()),
            at: (self.message.len() - self.rest.len()).saturating_sub(back),
            problem,
        }
    }

    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(self.malformed(Malformed::Short {
                needed: length,
                left: self.rest.len(),
            }));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.malformed(Malformed::Short {
                needed: N,
                left: self.rest.len(),
            }));
        };
        self.rest = rest;
        Ok(*taken)
    }

    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub fn lsn(&mut self) -> Result<Lsn, DecodeError> {
        Ok(Lsn(u64::from_be_bytes(self.array()?)))
    }

    /// An int16 that counts something.
    pub fn count(&mut self) -> Result<u16, DecodeError> {
        let count = self.i16()?;
        u16::try_from(count)
            .map_err(|_| self.malformed_before(Malformed::NegativeCount(count.into()), 2))
    }

    /// Bytes after their int32 length.
    pub fn sized(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.i32()?;
        let length = usize::try_from(length)
            .map_err(|_| self.malformed_before(Malformed::NegativeLength(length), 4))?;
        self.bytes(length)
    }

    /// A name up to its zero byte. Bytes that are no UTF-8 (a database in
    /// SQL_ASCII) become U+FFFD.
    pub fn name(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        let Some(length) = memchr::memchr(0, self.rest) else {
            return Err(self.malformed(Malformed::UnterminatedName));
        };
        let name = self.bytes(length)?;
        self.u8()?;
        Ok(String::from_utf8_lossy(name))
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(self.malformed(Malformed::Trailing(left))),
        }
    }
}
