//! Arrays: `{1,NULL,"a \"b\""}`, `[0:1][1:1]={{1},{2}}`; and vectors: `1 2 3`.
//!
//! <https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO>

use super::encoder::{Fidelity, Misfit, Plan};
use super::quoted::{Cursor, Quoting};

/// Postgres' `MAXDIM`.
const DIMENSIONS_MAX: usize = 6;

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// After `{`.
    FirstItem,
    /// After the delimiter.
    Item,
    /// After an item: the delimiter or `}`.
    Separator,
}

/// Appends nested JSON arrays. Lower bounds are dropped, as `to_jsonb` does.
pub(super) fn write(
    text: &[u8],
    element: &Plan,
    delimiter: u8,
    json: &mut Vec<u8>,
) -> Result<Fidelity, Misfit> {
    let mut cursor = Cursor::new(text);
    if cursor.peek() == Some(b'[') {
        let bounds = cursor.until(b'=', b'{', b'"')?;
        let plain = |byte: &u8| byte.is_ascii_digit() || b"[]:-".contains(byte);
        if !bounds.ends_with(b"]") || !bounds.iter().all(plain) {
            return Err(Misfit);
        }
        cursor.expect(b"=")?;
    }
    if cursor.peek() != Some(b'{') {
        return Err(Misfit);
    }
    let mut fidelity = Fidelity::Exact;
    let mut scratch = Vec::new();
    let mut depth = 0;
    // How deep the elements stand: every one as deep as the first.
    let mut leaf_depth = None;
    let mut expect = Expect::Item;
    loop {
        let opens = expect != Expect::Separator && cursor.take(b'{');
        if opens {
            depth += 1;
            if depth > leaf_depth.unwrap_or(DIMENSIONS_MAX) {
                return Err(Misfit);
            }
            json.push(b'[');
            expect = Expect::FirstItem;
        } else if expect != Expect::Item && cursor.take(b'}') {
            // Only the array as a whole can be empty.
            if expect == Expect::FirstItem && depth != 1 {
                return Err(Misfit);
            }
            json.push(b']');
            depth -= 1;
            if depth == 0 {
                cursor.end()?;
                return Ok(fidelity);
            }
            expect = Expect::Separator;
        } else if expect == Expect::Separator {
            cursor.expect(&[delimiter])?;
            json.push(b',');
            expect = Expect::Item;
        } else {
            if *leaf_depth.get_or_insert(depth) != depth {
                return Err(Misfit);
            }
            fidelity = fidelity.max(item(&mut cursor, element, delimiter, &mut scratch, json)?);
            expect = Expect::Separator;
        }
    }
}

fn item(
    cursor: &mut Cursor<'_>,
    element: &Plan,
    delimiter: u8,
    scratch: &mut Vec<u8>,
    json: &mut Vec<u8>,
) -> Result<Fidelity, Misfit> {
    if cursor.peek() == Some(b'"') {
        let text = cursor.quoted(Quoting::Backslash, scratch)?;
        return element.write(text, json);
    }
    match cursor.until(delimiter, b'}', b'"')? {
        b"" => Err(Misfit),
        b"NULL" => {
            json.extend_from_slice(b"null");
            Ok(Fidelity::Exact)
        }
        text => element.write(text, json),
    }
}

/// Appends the JSON array of an int2vector or oidvector.
pub(super) fn write_vector(
    text: &[u8],
    element: &Plan,
    json: &mut Vec<u8>,
) -> Result<Fidelity, Misfit> {
    json.push(b'[');
    if !text.is_empty() {
        for (index, number) in text.split(|&byte| byte == b' ').enumerate() {
            if number.is_empty() || !number.iter().all(|b| b.is_ascii_digit() || *b == b'-') {
                return Err(Misfit);
            }
            if index > 0 {
                json.push(b',');
            }
            element.write(number, json)?;
        }
    }
    json.push(b']');
    Ok(Fidelity::Exact)
}
