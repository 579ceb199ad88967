//! The names of an expression, bound to a row.

use std::collections::HashMap;

use cel::ExecutionError;
use cel::common::traits::Indexer;
use cel::common::types::{CelBool, CelMap, CelMapKey, CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;

use super::super::failure::FailureKind;
use super::super::row::{RowView, Side};
use super::decode::decode;
use super::uses::Uses;

pub(super) const VARIABLES: [&str; 5] = ["new", "old", "operation", "schema", "table"];
/// What `changed("c")` becomes a field of.
pub(super) const CHANGED: &str = "@changed";

/// The row that a name stands for.
pub(super) fn side(name: &str) -> Option<Side> {
    match name.strip_prefix('.').unwrap_or(name) {
        "new" => Some(Side::New),
        "old" => Some(Side::Old),
        _ => None,
    }
}

/// All names, for one evaluation.
pub(super) struct Names<'r> {
    new: Row<'r>,
    old: Row<'r>,
    changed: Field<'r>,
    operation: CelString<'r>,
    schema: CelString<'r>,
    table: CelString<'r>,
}

/// A row, as the expression uses it.
enum Row<'r> {
    Fields(Field<'r>),
    /// As a whole: the columns that `data` would have.
    Whole(CelMap<'r>),
}

impl<'r> Names<'r> {
    pub fn new(row: &'r RowView<'r>, uses: &Uses) -> Result<Self, FailureKind> {
        Ok(Names {
            new: bind(row, Side::New, uses)?,
            old: bind(row, Side::Old, uses)?,
            changed: Field {
                row,
                what: What::Changed,
            },
            operation: row.operation.as_str().into(),
            schema: row.table.name.schema.as_str().into(),
            table: row.table.name.table.as_str().into(),
        })
    }
}

impl VariableResolver for Names<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let row = |row: &'b Row<'_>| -> &'b (dyn Val + 'b) {
            match row {
                Row::Fields(fields) => fields,
                Row::Whole(map) => map,
            }
        };
        Some(CowVal::Borrowed(match variable {
            "new" => row(&self.new),
            "old" => row(&self.old),
            CHANGED => &self.changed,
            "operation" => &self.operation,
            "schema" => &self.schema,
            "table" => &self.table,
            _ => return None,
        }))
    }
}

fn bind<'r>(row: &'r RowView<'r>, side: Side, uses: &Uses) -> Result<Row<'r>, FailureKind> {
    if uses.whole.contains(&side) {
        return whole(row, side).map(Row::Whole);
    }
    Ok(Row::Fields(Field {
        row,
        what: What::Value(side),
    }))
}

/// A row as a whole must be known as a whole: what is missing would be taken for
/// a column that is not there.
fn whole<'r>(row: &'r RowView<'r>, side: Side) -> Result<CelMap<'r>, FailureKind> {
    let mut map: HashMap<CelMapKey<'r>, Box<dyn Val + 'r>> = HashMap::new();
    let columns = row.table.columns.iter().enumerate();
    for (at, column) in columns.filter(|(_, column)| column.selected) {
        let value = decode(column, row.value(side, at)?)?;
        map.insert(CelMapKey::String(column.name.as_str().into()), value);
    }
    Ok(CelMap::from(map))
}

/// A row whose columns are decoded when they are asked for.
#[derive(Clone, Copy)]
struct Field<'r> {
    row: &'r RowView<'r>,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Value(Side),
    Changed,
}

/// Without values: it may end in a message.
impl std::fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("row")
    }
}

impl Val for Field<'_> {
    fn get_type(&self) -> &Type {
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl Indexer for Field<'_> {
    fn get<'b, 'v>(&'b self, name: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.value(name).map(CowVal::Owned)
    }

    fn steal<'v>(self: Box<Self>, name: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.value(name)
    }
}

impl<'r> Field<'r> {
    fn value<'v>(&self, name: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        'r: 'v,
    {
        let name: &CelString = name
            .downcast_ref()
            .ok_or_else(|| FailureKind::NoSuchColumn.raise())?;
        let at = self
            .row
            .table
            .column(name.inner())
            .ok_or_else(|| FailureKind::NoSuchColumn.raise())?;
        let value = match (self.what, self.row.table.columns.get(at)) {
            (What::Value(side), Some(column)) => self
                .row
                .value(side, at)
                .and_then(|known| decode(column, known)),
            (What::Changed, Some(_)) => self
                .row
                .changed(at)
                .map(|changed| -> Box<dyn Val + 'v> { Box::new(CelBool::from(changed)) }),
            (_, None) => Err(FailureKind::NoSuchColumn),
        };
        value.map_err(FailureKind::raise)
    }
}
