//! JSON strings, and what makes bytes UTF-8.
//!
//! <https://www.rfc-editor.org/rfc/rfc8259#section-7>

use super::encoder::Fidelity;

const REPLACEMENT: &[u8] = "\u{FFFD}".as_bytes();

/// Appends `text` as a JSON string; true when bytes that are no UTF-8 became U+FFFD.
pub fn write_string(text: &[u8], json: &mut Vec<u8>) -> bool {
    write(text, json) == Fidelity::Lossy
}

/// Appends `text` as a JSON string. Escaped is only what must be, as Postgres does.
pub(super) fn write(text: &[u8], json: &mut Vec<u8>) -> Fidelity {
    json.reserve(text.len() + 2);
    json.push(b'"');
    let fidelity = in_utf8(text, |part| escape(part, json));
    json.push(b'"');
    fidelity
}

/// Appends `text` as it is, except that it becomes UTF-8.
pub(super) fn write_utf8(text: &[u8], json: &mut Vec<u8>) -> Fidelity {
    in_utf8(text, |part| json.extend_from_slice(part))
}

/// Gives `take` the text in parts that are UTF-8.
fn in_utf8(text: &[u8], mut take: impl FnMut(&[u8])) -> Fidelity {
    if std::str::from_utf8(text).is_ok() {
        take(text);
        return Fidelity::Exact;
    }
    for chunk in text.utf8_chunks() {
        take(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            take(REPLACEMENT);
        }
    }
    Fidelity::Lossy
}

fn escape(mut text: &[u8], json: &mut Vec<u8>) {
    while let Some((plain, special, rest)) = split_at_special(text) {
        json.extend_from_slice(plain);
        match special {
            b'"' => json.extend_from_slice(b"\\\""),
            b'\\' => json.extend_from_slice(b"\\\\"),
            b'\n' => json.extend_from_slice(b"\\n"),
            b'\r' => json.extend_from_slice(b"\\r"),
            b'\t' => json.extend_from_slice(b"\\t"),
            0x08 => json.extend_from_slice(b"\\b"),
            0x0C => json.extend_from_slice(b"\\f"),
            control => {
                json.extend_from_slice(if control < 0x10 { b"\\u000" } else { b"\\u001" });
                json.push(match control & 0xF {
                    digit @ 0..=9 => b'0' + digit,
                    letter => b'a' + letter - 10,
                });
            }
        }
        text = rest;
    }
    json.extend_from_slice(text);
}

/// What stands before the first byte that must be escaped, that byte, and the rest.
fn split_at_special(text: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    // Without an early exit inside a block the compiler compares it at once.
    let clean = text
        .chunks_exact(32)
        .take_while(|block| !block.iter().fold(false, |any, &byte| any | special(byte)))
        .count();
    let at = text
        .iter()
        .skip(clean * 32)
        .position(|&byte| special(byte))?
        + clean * 32;
    let (plain, rest) = text.split_at_checked(at)?;
    let (&byte, rest) = rest.split_first()?;
    Some((plain, byte, rest))
}

fn special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}
