//! Composites: `(1,"a ""b""",)`, an empty place being null.
//!
//! <https://www.postgresql.org/docs/current/rowtypes.html#ROWTYPES-IO-SYNTAX>

use super::encoder::{Fidelity, Misfit, Plan};
use super::quoted::{Cursor, Quoting};
use super::string;
use super::types::Attributes;

/// An attribute of a composite type.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// The JSON before its value: `"name":`.
    key: Box<[u8]>,
    plan: Plan,
}

impl Field {
    pub fn new(name: &str, plan: Plan) -> Self {
        let mut key = Vec::new();
        string::write(name.as_bytes(), &mut key);
        key.push(b':');
        Field {
            key: key.into_boxed_slice(),
            plan,
        }
    }
}

/// Appends a JSON object with the given fields: all of them, or the first ones, where the
/// type has got the others since.
pub(super) fn write(
    text: &[u8],
    fields: &[Field],
    history: Attributes,
    json: &mut Vec<u8>,
) -> Result<Fidelity, Misfit> {
    let mut cursor = Cursor::new(text);
    let mut scratch = Vec::new();
    let mut fidelity = Fidelity::Exact;
    cursor.expect(b"(")?;
    json.push(b'{');
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            if history == Attributes::OnlyAdded && cursor.peek() == Some(b')') {
                break;
            }
            cursor.expect(b",")?;
            json.push(b',');
        }
        json.extend_from_slice(&field.key);
        fidelity = fidelity.max(value(&mut cursor, &field.plan, &mut scratch, json)?);
    }
    cursor.expect(b")")?;
    cursor.end()?;
    json.push(b'}');
    Ok(fidelity)
}

fn value(
    cursor: &mut Cursor<'_>,
    plan: &Plan,
    scratch: &mut Vec<u8>,
    json: &mut Vec<u8>,
) -> Result<Fidelity, Misfit> {
    if cursor.peek() == Some(b'"') {
        let text = cursor.quoted(Quoting::Doubled, scratch)?;
        return plan.write(text, json);
    }
    match cursor.until(b',', b')', b'"')? {
        b"" => {
            json.extend_from_slice(b"null");
            Ok(Fidelity::Exact)
        }
        text => plan.write(text, json),
    }
}
