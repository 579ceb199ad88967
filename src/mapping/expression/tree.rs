//! The tree of an expression, as far as it is looked into.

use cel::common::ast::{EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, operators};

/// Operand, name, and whether it is only asked for.
pub(super) fn field_of(expr: &Expr) -> Option<(&Expr, &str, bool)> {
    match expr {
        Expr::Select(select) => Some((&select.operand.expr, &select.field, select.test)),
        Expr::Call(call) => match (call.func_name.as_str(), &*call.args) {
            (
                operator @ (operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT),
                [
                    operand,
                    IdedExpr {
                        expr: Expr::Literal(LiteralValue::String(name)),
                        ..
                    },
                ],
            ) => Some((&operand.expr, name.inner(), operator != operators::INDEX)),
            _ => None,
        },
        _ => None,
    }
}

/// The nodes right below.
pub(super) fn children(expr: &Expr) -> Vec<&IdedExpr> {
    match expr {
        Expr::Call(call) => call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .collect(),
        Expr::Comprehension(loops) => vec![
            &loops.iter_range,
            &loops.accu_init,
            &loops.loop_cond,
            &loops.loop_step,
            &loops.result,
        ],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(entry).collect(),
        Expr::Struct(made) => made.entries.iter().flat_map(entry).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn entry(entry: &IdedEntryExpr) -> Vec<&IdedExpr> {
    match &entry.expr {
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        EntryExpr::StructField(field) => vec![&field.value],
    }
}

pub(super) fn ided(id: u64, expr: Expr) -> IdedExpr {
    IdedExpr { id, expr }
}

pub(super) fn null() -> IdedExpr {
    ided(0, Expr::Literal(LiteralValue::Null))
}
