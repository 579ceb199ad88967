//! Every type of the running server that can be a column, with values of it.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;

use tokio_postgres::Client;

use super::literals;

/// A column of the test: a type and expressions of that type.
#[derive(Clone, Debug)]
pub struct Column {
    /// As SQL writes it.
    pub kind: String,
    pub values: Vec<String>,
    /// `to_jsonb` refuses some valid json.
    pub has_json: bool,
}

struct Type {
    sql: String,
    name: String,
    made_of: Made,
}

enum Made {
    Nothing,
    Elements(u32),
    /// A domain.
    Base(u32),
    Labels(Vec<String>),
    Fields(Vec<u32>),
    /// A range's subtype.
    Bounds(u32),
    /// A multirange's range.
    Ranges(u32),
    /// `pg_type` says that no column can have it.
    Pseudo,
}

/// The row types of tables and indexes of other tests' making are not here: the database is new.
const TYPES: &str = "
SELECT t.oid, t.oid::regtype::text AS sql, t.typname::text AS name, t.typtype::text AS kind,
       t.typsubscript = 'array_subscript_handler'::regproc AND t.typarray = 0 AS is_array, t.typelem AS element,
       t.typbasetype AS base,
       (SELECT rngsubtype FROM pg_range WHERE rngtypid = t.oid) AS subtype,
       (SELECT rngtypid FROM pg_range WHERE rngmultitypid = t.oid) AS range,
       array(SELECT enumlabel::text FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder)
         AS labels,
       array(SELECT atttypid FROM pg_attribute
             WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped ORDER BY attnum)
         AS fields
FROM pg_type t
LEFT JOIN pg_class c ON c.oid = t.typrelid
WHERE t.typisdefined AND (c.relnamespace IS NULL OR c.relnamespace <> 'pg_toast'::regnamespace)
ORDER BY t.oid";

/// Says of an expression whether it gives a value that JSON can have.
const WORKS: &str = "
CREATE FUNCTION made.works(expression text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE found boolean;
BEGIN
    EXECUTE 'SELECT to_json(x)::text IS NOT NULL FROM (SELECT ' || expression || ') AS s(x)'
    INTO found;
    RETURN found;
EXCEPTION WHEN others THEN
    RETURN false;
END $$";

/// All columns that the types of the database can make, and what could not be made: a type
/// without a value.
pub struct Found {
    pub columns: Vec<Column>,
    pub without_values: Vec<String>,
}

pub async fn columns(client: &Client) -> Found {
    client.batch_execute(WORKS).await.expect("a function");
    let mut catalog = Catalog {
        client,
        types: types(client).await,
        values: HashMap::new(),
        refused: Vec::new(),
    };
    let mut found = Found {
        columns: Vec::new(),
        without_values: Vec::new(),
    };
    let oids: Vec<u32> = catalog.types.keys().copied().collect();
    for oid in oids {
        let of = &catalog.types[&oid];
        let (kind, name) = (of.sql.clone(), of.name.clone());
        if !can_be_a_column(client, &kind).await {
            continue;
        }
        let values = catalog.values(oid).await;
        let has_json = catalog.has_json(oid);
        if values.is_empty() && !literals::WITHOUT_VALUES.contains(&name.as_str()) {
            found.without_values.push(kind.clone());
        }
        found.columns.push(Column {
            kind,
            values,
            has_json,
        });
    }
    eprintln!("refused: {}", catalog.refused.join("\n         "));
    for (kind, texts) in literals::MODIFIED {
        let values = texts.iter().map(|text| expression(text, kind)).collect();
        found.columns.push(Column {
            kind: (*kind).to_owned(),
            values,
            has_json: false,
        });
    }
    found
}

/// The server itself decides: pseudo-types and what holds one cannot.
async fn can_be_a_column(client: &Client, kind: &str) -> bool {
    let sql = format!("CREATE TEMP TABLE t (c {kind}); DROP TABLE t");
    match client.batch_execute(&sql).await {
        Ok(()) => true,
        Err(error) => {
            let code = error.code().map(tokio_postgres::error::SqlState::code);
            assert_eq!(code, Some("42P16"), "{kind}: {error:?}");
            false
        }
    }
}

async fn types(client: &Client) -> BTreeMap<u32, Type> {
    let rows = client.query(TYPES, &[]).await.expect("the types");
    let kind = |row: &tokio_postgres::Row| {
        let made_of = match row.get("kind") {
            "p" => Made::Pseudo,
            "d" => Made::Base(row.get("base")),
            "e" => Made::Labels(row.get("labels")),
            "c" => Made::Fields(row.get("fields")),
            "r" => Made::Bounds(row.get("subtype")),
            "m" => Made::Ranges(row.get("range")),
            _ if row.get("is_array") => Made::Elements(row.get("element")),
            _ => Made::Nothing,
        };
        let of = Type {
            sql: row.get("sql"),
            name: row.get("name"),
            made_of,
        };
        (row.get("oid"), of)
    };
    rows.iter().map(kind).collect()
}

struct Catalog<'a> {
    client: &'a Client,
    types: BTreeMap<u32, Type>,
    /// Made before.
    values: HashMap<u32, Vec<String>>,
    /// Literals of scalars.
    refused: Vec<String>,
}

type Values<'a> = Pin<Box<dyn Future<Output = Vec<String>> + 'a>>;

impl Catalog<'_> {
    /// Expressions of the type that work, each once.
    fn values(&mut self, oid: u32) -> Values<'_> {
        Box::pin(async move {
            if let Some(values) = self.values.get(&oid) {
                return values.clone();
            }
            let sql = self.types[&oid].sql.clone();
            let parts = self.parts(oid).await;
            let mut values = self.candidates(oid, &sql, &parts);
            let query = "SELECT e FROM unnest($1::text[]) WITH ORDINALITY AS u(e, place) \
                         WHERE made.works(e) ORDER BY place";
            let rows = self.client.query(query, &[&values]).await.expect("values");
            let tried = std::mem::take(&mut values);
            values = rows.iter().map(|row| row.get(0)).collect();
            if matches!(self.types[&oid].made_of, Made::Nothing) {
                let refused = tried.into_iter().filter(|value| !values.contains(value));
                self.refused.extend(refused);
            }
            self.values.insert(oid, values.clone());
            values
        })
    }

    /// The values of what it is made of.
    async fn parts(&mut self, oid: u32) -> Vec<Vec<String>> {
        let parts = match &self.types[&oid].made_of {
            Made::Elements(part) | Made::Base(part) | Made::Bounds(part) | Made::Ranges(part) => {
                vec![*part]
            }
            Made::Fields(parts) => parts.clone(),
            Made::Nothing | Made::Labels(_) | Made::Pseudo => Vec::new(),
        };
        let mut values = Vec::new();
        for part in parts {
            values.push(self.values(part).await);
        }
        values
    }

    fn candidates(&self, oid: u32, sql: &str, parts: &[Vec<String>]) -> Vec<String> {
        let only = parts.first().map(Vec::as_slice).unwrap_or_default();
        match &self.types[&oid].made_of {
            Made::Pseudo => Vec::new(),
            Made::Nothing => {
                let texts = literals::of(&self.types[&oid].name).unwrap_or(literals::ANY);
                texts.iter().map(|text| expression(text, sql)).collect()
            }
            Made::Labels(labels) => labels.iter().map(|label| quoted(label, sql)).collect(),
            Made::Base(_) => {
                let texts = literals::of(&self.types[&oid].name).unwrap_or_default();
                let values = only.iter().map(|value| format!("({value})::{sql}"));
                values
                    .chain(texts.iter().map(|text| expression(text, sql)))
                    .collect()
            }
            Made::Elements(_) => arrays(only, sql),
            Made::Fields(_) => rows(parts, sql),
            Made::Bounds(_) => ranges(only, sql),
            Made::Ranges(_) => {
                let mut values = vec![quoted("{}", sql)];
                values.extend(only.iter().map(|range| format!("{sql}({range})")));
                values.extend(
                    only.windows(2)
                        .map(|pair| format!("{sql}({}, {})", pair[0], pair[1])),
                );
                values
            }
        }
    }

    fn has_json(&self, oid: u32) -> bool {
        let of = &self.types[&oid];
        match &of.made_of {
            Made::Elements(part) | Made::Base(part) => self.has_json(*part),
            Made::Fields(parts) => parts.iter().any(|part| self.has_json(*part)),
            _ => of.name == "json",
        }
    }
}

/// No scalar has more values, and rows are long.
const ELEMENTS_MAX: usize = 40;

/// Several dimensions, lower bounds, NULL, empty.
fn arrays(elements: &[String], sql: &str) -> Vec<String> {
    let mut values = vec![quoted("{}", sql), format!("ARRAY[NULL]::{sql}")];
    if let [first, .., last] | [first @ last] = elements {
        // All scalars, and enough of the row types of catalogs.
        let all = elements[..elements.len().min(ELEMENTS_MAX)].join(", ");
        values.extend([
            format!("ARRAY[{first}]::{sql}"),
            format!("ARRAY[{all}, NULL]::{sql}"),
            format!("ARRAY[[{first}, NULL], [{last}, {first}]]::{sql}"),
            format!("ARRAY[[[{first}]], [[{last}]]]::{sql}"),
            format!("('[0:1]=' || ARRAY[{first}, {last}]::{sql}::text)::{sql}"),
            format!("('[-5:-5][2:3]=' || ARRAY[[{first}, {last}]]::{sql}::text)::{sql}"),
        ]);
    }
    values
}

/// What the values of a row are does not depend on one another.
const ROWS_MAX: usize = 4;

/// All fields null, their first values, their last, and some with nulls between them.
fn rows(fields: &[Vec<String>], sql: &str) -> Vec<String> {
    let null = || "NULL".to_owned();
    let row = |values: Vec<String>| format!("ROW({})::{sql}", values.join(", "));
    let at = |place: usize| {
        let value = |values: &Vec<String>| match values.len() {
            0 => null(),
            length => values[place % length].clone(),
        };
        row(fields.iter().map(value).collect())
    };
    let most = fields.iter().map(Vec::len).max().unwrap_or_default();
    let mut values: Vec<String> = (0..most.clamp(1, ROWS_MAX)).map(at).collect();
    values.push(row(fields.iter().map(|_| null()).collect()));
    let mixed = fields
        .iter()
        .enumerate()
        .map(|(place, values)| match place % 2 {
            0 => null(),
            _ => values.last().cloned().unwrap_or_else(null),
        });
    values.push(row(mixed.collect()));
    values
}

fn ranges(bounds: &[String], sql: &str) -> Vec<String> {
    let mut values = vec![
        quoted("empty", sql),
        quoted("(,)", sql),
        format!("{sql}(NULL, NULL, '[]')"),
    ];
    for (place, lower) in bounds.iter().enumerate() {
        values.push(format!("{sql}({lower}, NULL)"));
        values.push(format!("{sql}(NULL, {lower}, '(]')"));
        // Which of two is the lower one is not known: the other way is an error.
        if let Some(upper) = bounds.get(place + 1) {
            values.push(format!("{sql}({lower}, {upper}, '[]')"));
            values.push(format!("{sql}({upper}, {lower}, '()')"));
        }
    }
    values
}

fn expression(text: &str, sql: &str) -> String {
    match text.strip_prefix('=') {
        Some(expression) if expression.contains('(') => format!("({expression})"),
        _ => quoted(text, sql),
    }
}

fn quoted(text: &str, sql: &str) -> String {
    format!("'{}'::{sql}", text.replace('\'', "''"))
}
