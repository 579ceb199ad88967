//! Numbers, digit for digit.
//!
//! <https://www.rfc-editor.org/rfc/rfc8259#section-6>

use super::encoder::{Fidelity, Misfit};

/// Appends the digits as they are; what JSON has no number for goes as a string.
pub(super) fn write(text: &[u8], json: &mut Vec<u8>) -> Result<Fidelity, Misfit> {
    if is_json(text) {
        json.extend_from_slice(text);
        return Ok(Fidelity::Exact);
    }
    json.extend_from_slice(match text {
        b"NaN" => b"\"NaN\"",
        b"Infinity" => b"\"Infinity\"",
        b"-Infinity" => b"\"-Infinity\"",
        _ => return Err(Misfit),
    });
    Ok(Fidelity::Exact)
}

/// The same between quotes.
pub(super) fn write_quoted(text: &[u8], json: &mut Vec<u8>) -> Result<Fidelity, Misfit> {
    if !is_json(text) {
        return write(text, json);
    }
    json.push(b'"');
    json.extend_from_slice(text);
    json.push(b'"');
    Ok(Fidelity::Exact)
}

/// `-? (0 | [1-9][0-9]*) (\.[0-9]+)? ([eE][+-]?[0-9]+)?`
fn is_json(text: &[u8]) -> bool {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(unsigned);
    let leading_zero = unsigned.first() == Some(&b'0');
    if whole == 0 || (leading_zero && whole > 1) {
        return false;
    }
    let mut rest = unsigned.get(whole..).unwrap_or_default();
    if let [b'.', fraction @ ..] = rest {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = fraction.get(length..).unwrap_or_default();
    }
    match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
        _ => false,
    }
}

/// How many digits stand at the front.
fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}
