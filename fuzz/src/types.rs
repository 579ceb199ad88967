//! Types of a database: all that are built in, and user types of every kind.

use walhook::pgoutput::value::{Attributes, TypeKind, Types};

/// The built-in types have numbers below.
const BUILTIN_END: u32 = 10_000;
/// The array of a user type has the number behind it.
const FIRST: u32 = 20_000;

/// OID, and what it is, in terms of built-in ones and of those before.
fn user() -> Vec<TypeKind> {
    let at = |index: u32| FIRST + 2 * index;
    let composite = |fields: &[(&str, u32)]| TypeKind::Composite {
        history: Attributes::SomeDropped,
        fields: fields
            .iter()
            .map(|(name, oid)| ((*name).to_owned(), *oid))
            .collect(),
    };
    vec![
        TypeKind::Enum,
        TypeKind::Base,
        TypeKind::Hstore,
        TypeKind::Domain { base: 23 },
        TypeKind::Domain { base: 1009 },
        composite(&[]),
        composite(&[("single", 25)]),
        composite(&[("a", 23), ("b \"c\"", 25)]),
        composite(&[
            ("p", at(7)),
            ("ps", at(7) + 1),
            ("at", 1184),
            ("json", 3802),
            ("mood", at(0)),
            ("h", at(2)),
            ("f", 701),
            ("raw", 17),
            ("r", 3908),
        ]),
        TypeKind::Domain { base: at(8) },
        TypeKind::Domain { base: at(8) + 1 },
    ]
}

/// The types, and the OID of each that can be encoded.
pub fn types() -> (Types, Vec<u32>) {
    let mut types = Types::default();
    for (oid, kind) in (FIRST..).step_by(2).zip(user()) {
        types.insert(oid, kind);
        let array = TypeKind::Array {
            element: oid,
            delimiter: b',',
        };
        types.insert(oid + 1, array);
    }
    let user_end = FIRST + 2 * user().len() as u32;
    let oids = (0..BUILTIN_END).chain(FIRST..user_end);
    let known = oids.filter(|oid| types.missing(*oid).is_empty()).collect();
    (types, known)
}

/// json and jsonb and arrays of them are taken at their word, straight from the stream.
pub fn is_trusted(oid: u32) -> bool {
    matches!(oid, 114 | 199 | 3802 | 3807)
}
