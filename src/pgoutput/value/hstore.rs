//! hstore: `"a"=>"1", "b"=>NULL`.
//!
//! <https://www.postgresql.org/docs/current/hstore.html#HSTORE-EXTERNAL-REP>

use super::encoder::{Fidelity, Misfit};
use super::quoted::{Cursor, Quoting};
use super::string;

/// Appends a JSON object of strings and nulls.
pub(super) fn write(text: &[u8], json: &mut Vec<u8>) -> Result<Fidelity, Misfit> {
    let mut cursor = Cursor::new(text);
    let mut scratch = Vec::new();
    let mut fidelity = Fidelity::Exact;
    json.push(b'{');
    while cursor.peek().is_some() {
        let key = cursor.quoted(Quoting::Backslash, &mut scratch)?;
        fidelity = fidelity.max(string::write(key, json));
        cursor.expect(b"=>")?;
        json.push(b':');
        if cursor.peek() == Some(b'"') {
            let value = cursor.quoted(Quoting::Backslash, &mut scratch)?;
            fidelity = fidelity.max(string::write(value, json));
        } else {
            cursor.expect(b"NULL")?;
            json.extend_from_slice(b"null");
        }
        if cursor.peek().is_some() {
            cursor.expect(b", ")?;
            json.push(b',');
            if cursor.peek().is_none() {
                return Err(Misfit);
            }
        }
    }
    json.push(b'}');
    Ok(fidelity)
}
