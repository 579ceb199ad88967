mod misfits;
mod pairs;
mod plans;
mod round_trips;

use super::{Attributes, Encoder, Fidelity, Misfit, TypeKind, Types};

/// The types that `testdata/values.tsv` was made with, under OIDs of our own.
pub(super) const USER: [(&str, u32); 13] = [
    ("mood", 20000),
    ("posint", 20002),
    ("tags", 20004),
    ("posints", 20006),
    ("stamp", 20008),
    ("pair", 20010),
    ("nest", 20012),
    ("\"none\"", 20014),
    ("lone", 20016),
    ("dpair", 20018),
    ("dhstore", 20020),
    ("temps", 20022),
    ("hstore", 20024),
];

/// The OID of the type, or of its array, by the name that SQL has for it.
pub(super) fn oid(name: &str) -> u32 {
    let (name, array) = match name.strip_suffix("[]") {
        Some(element) => (element, true),
        None => (name, false),
    };
    if let Some((_, oid)) = USER.iter().find(|(user, _)| *user == name) {
        return oid + u32::from(array);
    }
    let plain = name.split('(').next().unwrap().trim_matches('"');
    let (oid, array_oid, _) = super::builtin::TYPES
        .iter()
        .find(|(_, _, builtin)| *builtin == plain)
        .unwrap_or_else(|| panic!("type {name}"));
    if array { *array_oid } else { *oid }
}

pub(super) fn composite(fields: &[(&str, u32)]) -> TypeKind {
    TypeKind::Composite {
        history: Attributes::SomeDropped,
        fields: fields
            .iter()
            .map(|(name, oid)| ((*name).to_owned(), *oid))
            .collect(),
    }
}

pub(super) fn types() -> Types {
    let mut types = Types::default();
    for (name, user) in USER {
        let kind = match name {
            "mood" => TypeKind::Enum,
            "posint" => TypeKind::Domain { base: oid("int4") },
            "tags" => TypeKind::Domain {
                base: oid("text[]"),
            },
            "posints" => TypeKind::Domain {
                base: oid("posint[]"),
            },
            "stamp" => TypeKind::Domain {
                base: oid("timestamptz"),
            },
            "pair" => composite(&[("a", oid("int4")), ("b \"c\"", oid("text"))]),
            "nest" => composite(&[
                ("p", oid("pair")),
                ("ps", oid("pair[]")),
                ("t", oid("timestamptz")),
                ("j", oid("jsonb")),
                ("m", oid("mood")),
                ("d", oid("posint")),
                ("f", oid("float8")),
                ("x", oid("bytea")),
            ]),
            "\"none\"" => composite(&[]),
            "lone" => composite(&[("single", oid("text"))]),
            "dpair" => TypeKind::Domain { base: oid("pair") },
            "dhstore" => TypeKind::Domain {
                base: oid("hstore"),
            },
            "temps" => TypeKind::Base,
            "hstore" => TypeKind::Hstore,
            other => panic!("type {other}"),
        };
        types.insert(user, kind);
        types.insert(
            user + 1,
            TypeKind::Array {
                element: user,
                delimiter: b',',
            },
        );
    }
    types
}

/// What the encoder makes of the text, after bytes that are already there.
pub(super) fn encode(name: &str, text: &[u8]) -> Result<(String, Fidelity), Misfit> {
    let mut json = b"before".to_vec();
    let written = Encoder::new(oid(name), &types()).write(text, &mut json);
    let appended = json.strip_prefix(b"before").unwrap();
    match written {
        Ok(fidelity) => Ok((String::from_utf8(appended.to_vec()).unwrap(), fidelity)),
        Err(misfit) => {
            assert_eq!(appended, b"", "of a misfit nothing stays");
            Err(misfit)
        }
    }
}
