//! A stream recorded from PostgreSQL 15.18 (`testdata/stream.hex`, a message a line):
//! what it says, and that no part of it, nor any other bytes, can do harm.

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
