//! The types that every database has, under OIDs that never change (below 10000).
//!
//! Taken from `pg_type`; the same in the majors 14 to 18. The row types of
//! catalogs (`pg_class` and the like) are not here: their columns differ between
//! majors, so they are read from the catalog as user types are. What a later
//! major adds is read from there too.
//!
//! <https://www.postgresql.org/docs/current/catalog-pg-type.html>

/// How a built-in type becomes JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Builtin {
    /// A JSON string of the text.
    Text,
    Bool,
    /// The six types that `to_jsonb` takes for numbers; oid and money are none.
    Number,
    /// json and jsonb.
    Json,
    Timestamp,
    TimestampTz,
    /// int2vector and oidvector: true arrays with a text form of their own.
    Vector {
        element: u32,
    },
    Array {
        element: u32,
        delimiter: u8,
    },
}

const JSON: u32 = 114;
const BOX: u32 = 603;

/// The type under this OID, when it is built in.
pub(super) fn builtin(oid: u32) -> Option<Builtin> {
    for &(scalar, array, _name) in TYPES {
        if scalar == oid {
            return Some(scalar_form(oid));
        }
        if array == oid && array != 0 {
            let delimiter = if scalar == BOX { b';' } else { b',' };
            return Some(Builtin::Array {
                element: scalar,
                delimiter,
            });
        }
    }
    None
}

fn scalar_form(oid: u32) -> Builtin {
    match oid {
        16 => Builtin::Bool,
        20 | 21 | 23 | 700 | 701 | 1700 => Builtin::Number,
        JSON | 3802 => Builtin::Json,
        1114 => Builtin::Timestamp,
        1184 => Builtin::TimestampTz,
        22 => Builtin::Vector { element: 21 },
        30 => Builtin::Vector { element: 26 },
        _ => Builtin::Text,
    }
}

/// OID, OID of its array type (0: it has none), name.
pub(super) const TYPES: &[(u32, u32, &str)] = &[
    (16, 1000, "bool"),
    (17, 1001, "bytea"),
    (18, 1002, "char"),
    (19, 1003, "name"),
    (20, 1016, "int8"),
    (21, 1005, "int2"),
    (22, 1006, "int2vector"),
    (23, 1007, "int4"),
    (24, 1008, "regproc"),
    (25, 1009, "text"),
    (26, 1028, "oid"),
    (27, 1010, "tid"),
    (28, 1011, "xid"),
    (29, 1012, "cid"),
    (30, 1013, "oidvector"),
    (114, 199, "json"),
    (142, 143, "xml"),
    (194, 0, "pg_node_tree"),
    (600, 1017, "point"),
    (601, 1018, "lseg"),
    (602, 1019, "path"),
    (603, 1020, "box"),
    (604, 1027, "polygon"),
    (628, 629, "line"),
    (650, 651, "cidr"),
    (700, 1021, "float4"),
    (701, 1022, "float8"),
    (718, 719, "circle"),
    (774, 775, "macaddr8"),
    (790, 791, "money"),
    (829, 1040, "macaddr"),
    (869, 1041, "inet"),
    (1033, 1034, "aclitem"),
    (1042, 1014, "bpchar"),
    (1043, 1015, "varchar"),
    (1082, 1182, "date"),
    (1083, 1183, "time"),
    (1114, 1115, "timestamp"),
    (1184, 1185, "timestamptz"),
    (1186, 1187, "interval"),
    (1266, 1270, "timetz"),
    (1560, 1561, "bit"),
    (1562, 1563, "varbit"),
    (1700, 1231, "numeric"),
    (1790, 2201, "refcursor"),
    (2202, 2207, "regprocedure"),
    (2203, 2208, "regoper"),
    (2204, 2209, "regoperator"),
    (2205, 2210, "regclass"),
    (2206, 2211, "regtype"),
    (2950, 2951, "uuid"),
    (2970, 2949, "txid_snapshot"),
    (3220, 3221, "pg_lsn"),
    (3361, 0, "pg_ndistinct"),
    (3402, 0, "pg_dependencies"),
    (3614, 3643, "tsvector"),
    (3615, 3645, "tsquery"),
    (3642, 3644, "gtsvector"),
    (3734, 3735, "regconfig"),
    (3769, 3770, "regdictionary"),
    (3802, 3807, "jsonb"),
    (3904, 3905, "int4range"),
    (3906, 3907, "numrange"),
    (3908, 3909, "tsrange"),
    (3910, 3911, "tstzrange"),
    (3912, 3913, "daterange"),
    (3926, 3927, "int8range"),
    (4072, 4073, "jsonpath"),
    (4089, 4090, "regnamespace"),
    (4096, 4097, "regrole"),
    (4191, 4192, "regcollation"),
    (4451, 6150, "int4multirange"),
    (4532, 6151, "nummultirange"),
    (4533, 6152, "tsmultirange"),
    (4534, 6153, "tstzmultirange"),
    (4535, 6155, "datemultirange"),
    (4536, 6157, "int8multirange"),
    (4600, 0, "pg_brin_bloom_summary"),
    (4601, 0, "pg_brin_minmax_multi_summary"),
    (5017, 0, "pg_mcv_list"),
    (5038, 5039, "pg_snapshot"),
    (5069, 271, "xid8"),
    // Pseudo-types, which no column of a table has but a catalog row may name.
    (2275, 1263, "cstring"),
];
