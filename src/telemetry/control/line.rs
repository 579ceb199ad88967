//! A request or a response on the wire: one line of JSON.

use serde::Serialize;

use super::response::Response;

/// Of a request and of a response.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// With its newline.
pub(super) fn to_line(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// A response that is too long or cannot be written becomes one that says so.
pub(super) fn response_line(response: &Response) -> Vec<u8> {
    let failed = |message: &str| to_line(&Response::failed(message)).unwrap_or_default();
    match to_line(response) {
        Ok(line) if line.len() <= LINE_BYTES_MAX => line,
        Ok(_) => failed("answer is too long: narrow the request with --limit"),
        Err(_) => failed("answer cannot be written as JSON"),
    }
}
