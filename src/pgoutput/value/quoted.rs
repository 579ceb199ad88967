//! The quoted parts in the texts of arrays, composites and hstore.

use super::encoder::Misfit;

/// A text, read from its front.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

/// How a double quote is written inside double quotes. A backslash is escaped by
/// a backslash in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quoting {
    /// `\"`: arrays, hstore.
    Backslash,
    /// `""`: composites.
    Doubled,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Cursor { rest: text }
    }

    /// The next byte, which stays.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes the next byte if it is `byte`.
    pub fn take(&mut self, byte: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    pub fn expect(&mut self, literal: &[u8]) -> Result<(), Misfit> {
        self.rest = self.rest.strip_prefix(literal).ok_or(Misfit)?;
        Ok(())
    }

    /// Takes what stands before the first of three bytes, which stays.
    pub fn until(&mut self, a: u8, b: u8, c: u8) -> Result<&'a [u8], Misfit> {
        let at = memchr::memchr3(a, b, c, self.rest).ok_or(Misfit)?;
        self.advance(at)
    }

    pub fn end(&self) -> Result<(), Misfit> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Misfit)
        }
    }

    /// Takes a part in double quotes; what it says is a slice of the text, or in
    /// `scratch` when something in it was escaped.
    pub fn quoted<'s>(
        &mut self,
        quoting: Quoting,
        scratch: &'s mut Vec<u8>,
    ) -> Result<&'s [u8], Misfit>
    where
        'a: 's,
    {
        self.expect(b"\"")?;
        let plain = self.until_special()?;
        if self.closes(quoting)? {
            return Ok(plain);
        }
        scratch.clear();
        scratch.extend_from_slice(plain);
        loop {
            // An escape: the byte after it stands for itself.
            let [_, byte, rest @ ..] = self.rest else {
                return Err(Misfit);
            };
            scratch.push(*byte);
            self.rest = rest;
            scratch.extend_from_slice(self.until_special()?);
            if self.closes(quoting)? {
                return Ok(scratch);
            }
        }
    }

    fn until_special(&mut self) -> Result<&'a [u8], Misfit> {
        let at = memchr::memchr2(b'"', b'\\', self.rest).ok_or(Misfit)?;
        self.advance(at)
    }

    /// Takes the closing quote if that is what comes, and not an escape.
    fn closes(&mut self, quoting: Quoting) -> Result<bool, Misfit> {
        match (quoting, self.rest) {
            (_, [b'\\', ..]) | (Quoting::Doubled, [b'"', b'"', ..]) => Ok(false),
            (_, [b'"', rest @ ..]) => {
                self.rest = rest;
                Ok(true)
            }
            _ => Err(Misfit),
        }
    }

    fn advance(&mut self, length: usize) -> Result<&'a [u8], Misfit> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Misfit)?;
        self.rest = rest;
        Ok(taken)
    }
}
