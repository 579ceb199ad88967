//! From a text to a tree that can be evaluated.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::common::ast::SourceInfo;
use cel::{Env, IdedExpr, ParseErrors};

use super::check::Checker;
use super::environment::environment;
use super::path::Path;
use super::tree::children;
use super::uses::Uses;

/// The parser recurses over long chains: this keeps it within a small stack.
pub const SOURCE_BYTES_MAX: usize = 4096;
/// So does evaluation. The parser itself stops at 96 nested brackets.
pub const TREE_DEPTH_MAX: usize = 200;

/// A compiled expression. Cloning shares the tree.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    pub(super) tree: Arc<IdedExpr>,
    pub(super) environment: Arc<Env>,
    uses: Arc<Uses>,
    path: Option<Arc<Path>>,
}

/// Why a text is no expression: a lowercase fragment, with the place in the text when it is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConditionError(pub String);

impl Expression {
    pub fn compile(source: &str) -> Result<Self, ConditionError> {
        if source.trim().is_empty() {
            return Err(fails("an expression cannot be empty"));
        }
        if source.len() > SOURCE_BYTES_MAX {
            return Err(ConditionError(format!(
                "an expression cannot be longer than {SOURCE_BYTES_MAX} bytes"
            )));
        }
        // No panic of the parser is known, but much of it is generated.
        catch_unwind(AssertUnwindSafe(|| parse_and_check(source)))
            .unwrap_or_else(|_| Err(fails("the expression cannot be parsed")))
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    pub fn uses(&self) -> &Uses {
        &self.uses
    }

    /// When all it does is to name a row, a column, or a part of a json column.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

fn parse_and_check(source: &str) -> Result<Expression, ConditionError> {
    let environment =
        environment().map_err(|_| fails("the functions of expressions cannot be declared"))?;
    let (mut tree, places) = environment
        .parser()
        .parse_with_source_info(source)
        .map_err(|errors| syntax_error(&errors, source))?;
    if deeper_than(&tree, TREE_DEPTH_MAX) {
        return Err(ConditionError(format!(
            "an expression cannot be nested more than {TREE_DEPTH_MAX} deep"
        )));
    }
    let mut checker = Checker::new(&environment, Places { source, places });
    checker.visit(&mut tree);
    let uses = checker.finish()?;
    Ok(Expression {
        source: source.into(),
        path: Path::of(&tree).map(Arc::new),
        tree: Arc::new(tree),
        environment,
        uses: Arc::new(uses),
    })
}

/// Where the nodes of a tree stand in the text.
pub(super) struct Places<'a> {
    source: &'a str,
    places: SourceInfo,
}

impl Places<'_> {
    /// ` at column 7`, or nothing when it is not known.
    pub fn of(&self, node: u64) -> String {
        self.of_call(node, "")
    }

    /// A call's own place is that of its bracket: that of the function's name.
    pub fn of_call(&self, node: u64, function: &str) -> String {
        let Some((start, _)) = self.places.offset_for(node) else {
            return String::new();
        };
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let start = start.saturating_sub(function.chars().count());
        let (mut line, mut column) = (1, 1);
        for c in self.source.chars().take(start) {
            (line, column) = if c == '\n' {
                (line + 1, 1)
            } else {
                (line, column + 1)
            };
        }
        at(self.source, line, column)
    }
}

fn at(source: &str, line: usize, column: usize) -> String {
    if source.contains('\n') {
        format!(" at line {line}, column {column}")
    } else {
        format!(" at column {column}")
    }
}

/// The first error: those after it are often made by it.
fn syntax_error(errors: &ParseErrors, source: &str) -> ConditionError {
    let Some(error) = errors.errors.first() else {
        return fails("the expression cannot be parsed");
    };
    let message = reworded(&error.msg);
    match (usize::try_from(error.pos.0), usize::try_from(error.pos.1)) {
        (Ok(line @ 1..), Ok(column @ 1..)) => {
            ConditionError(format!("{message}{}", at(source, line, column)))
        }
        _ => ConditionError(message),
    }
}

/// The parser's message in our words, without what only its authors can read: lists
/// of all tokens that there are, and its own structures.
fn reworded(message: &str) -> String {
    if message.contains("Recursion limit") {
        return "nested too deeply".to_owned();
    }
    if message.contains("'<EOF>'") {
        return "the expression ends too early".to_owned();
    }
    if message == "invalid argument to has() macro" {
        return "has takes a field, as in has(new.column)".to_owned();
    }
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let message = message.split(" expecting ").next().unwrap_or(message);
    for known in [
        "token recognition error at: ",
        "extraneous input ",
        "mismatched input ",
        "no viable alternative at input ",
    ] {
        if let Some(found) = message.strip_prefix(known) {
            return format!("unexpected {found}");
        }
    }
    let message = message.split(": Invalid").next().unwrap_or(message);
    let mut chars = message.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => "the expression cannot be parsed".to_owned(),
    }
}

fn deeper_than(tree: &IdedExpr, limit: usize) -> bool {
    let mut open = vec![(tree, 1)];
    while let Some((node, depth)) = open.pop() {
        if depth > limit {
            return true;
        }
        open.extend(children(&node.expr).into_iter().map(|c| (c, depth + 1)));
    }
    false
}

pub(super) fn fails(message: &str) -> ConditionError {
    ConditionError(message.to_owned())
}
