//! What the fuzz targets have in common: how the bytes that a fuzzer makes are read.
//!
//! Bytes from nowhere seldom get past the first check of a format. So a target's input
//! mostly says what to change in something real: a recorded message, a value, a config.

/// The bytes that are left of an input. At its end all numbers are 0.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let byte = self.0.split_off_first();
        byte.copied().unwrap_or(0)
    }

    /// Below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        let number = usize::from(self.byte()) << 8 | usize::from(self.byte());
        number % end.max(1)
    }

    pub fn pick<'b, T>(&mut self, of: &'b [T]) -> &'b T {
        &of[self.below(of.len())]
    }

    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// As many bytes as the next one says.
    pub fn short(&mut self) -> &'a [u8] {
        let count = self.byte();
        self.take(usize::from(count))
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// `base` with up to seven changes: bytes replaced, put in or left out.
    pub fn edited(&mut self, base: &[u8]) -> Vec<u8> {
        let mut bytes = base.to_vec();
        for _ in 0..self.byte() % 8 {
            let at = self.below(bytes.len() + 1);
            let what = self.byte();
            let count = usize::from(what >> 2);
            let end = (at + count).min(bytes.len());
            match what & 3 {
                0 if at < bytes.len() => bytes[at] = self.byte(),
                0 | 1 => drop(bytes.splice(at..at, self.take(count).iter().copied())),
                2 => drop(bytes.drain(at..end)),
                _ => drop(bytes.splice(at..end, self.take(count).iter().copied())),
            }
        }
        bytes
    }
}

/// A panic that the code catches itself is none of the fuzzer's: only one that ends the
/// target is. To be called before the first input.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}

/// One JSON value and nothing else.
pub fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// The lines of a file of the tests' data, a message a line in hex.
pub fn from_hex(text: &str) -> Vec<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).expect("a hex digit") as u8;
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let pairs = line.as_bytes().chunks(2);
            pairs
                .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
                .collect()
        })
        .collect()
}

pub mod types;
