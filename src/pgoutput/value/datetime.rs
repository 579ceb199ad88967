//! Timestamps: Postgres' ISO text becomes ISO 8601, nothing is calculated.
//!
//! `2020-01-01 12:00:00` becomes `2020-01-01T12:00:00`, an offset `+00` becomes
//! `+00:00`; ` BC` at the end and `infinity` stay, as in `to_jsonb`. Dates and
//! times without a date already have their form.
//!
//! <https://www.postgresql.org/docs/current/datatype-datetime.html#DATATYPE-DATETIME-OUTPUT>

use super::encoder::{Fidelity, Misfit};

pub(super) fn write_timestamp(text: &[u8], json: &mut Vec<u8>) -> Result<Fidelity, Misfit> {
    write(text, json, |time, json| json.extend_from_slice(time))
}

pub(super) fn write_timestamp_tz(text: &[u8], json: &mut Vec<u8>) -> Result<Fidelity, Misfit> {
    write(text, json, |time, json| {
        let end = memchr::memchr(b' ', time).unwrap_or(time.len());
        let (clock, era) = time.split_at_checked(end).unwrap_or((time, b""));
        json.extend_from_slice(clock);
        if let [.., b'+' | b'-', _, _] = clock {
            json.extend_from_slice(b":00");
        }
        json.extend_from_slice(era);
    })
}

/// `write_time` gets what follows the first space, the time of day.
fn write(
    text: &[u8],
    json: &mut Vec<u8>,
    write_time: impl FnOnce(&[u8], &mut Vec<u8>),
) -> Result<Fidelity, Misfit> {
    let plain = |&byte: &u8| byte.is_ascii_alphanumeric() || b" +-:.".contains(&byte);
    if !text.iter().all(plain) {
        return Err(Misfit);
    }
    json.push(b'"');
    match memchr::memchr(b' ', text).and_then(|space| text.split_at_checked(space)) {
        Some((date, [b' ', time @ ..])) => {
            json.extend_from_slice(date);
            json.push(b'T');
            write_time(time, json);
        }
        _ => json.extend_from_slice(text),
    }
    json.push(b'"');
    Ok(Fidelity::Exact)
}
