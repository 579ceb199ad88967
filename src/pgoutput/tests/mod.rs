//! What PostgreSQL 15.18 sent: what it says, and that no part of it, nor any other bytes,
//! can do harm. `testdata/stream.hex` is small, a message a line, and read by eye;
//! `testdata/stretch.bin` is over 64 KiB of frames, and recorded anew by
//! `tests/it/recorded.rs`.

mod harm;
mod recorded;

fn recorded_messages() -> Vec<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap() as u8;
    include_str!("../testdata/stream.hex")
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            line.as_bytes()
                .chunks(2)
                .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
                .collect()
        })
        .collect()
}

/// A stretch of the stream as it came, CopyData after CopyData.
pub(crate) const STRETCH: &[u8] = include_bytes!("../testdata/stretch.bin");

/// Its frames.
pub(crate) fn stretch() -> Vec<&'static [u8]> {
    let mut rest = STRETCH;
    let mut frames = Vec::new();
    while let Some((_tag, length)) = rest.split_first() {
        let length = u32::from_be_bytes(*length.first_chunk().unwrap());
        let (frame, behind) = rest.split_at(length as usize + 1);
        frames.push(frame);
        rest = behind;
    }
    frames
}
