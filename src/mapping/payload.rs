//! Payload templates: a rule's own body.
//!
//! Any tree of the config file, with `{{CEL}}` in its strings (not in its keys).
//!
//! - A string that is one expression and nothing else becomes the expression's
//!   value, with its type. A path such as `new.total` or `new.address.city` keeps
//!   every digit; what is worked out has the precision of CEL's numbers.
//! - Inside a longer string, strings go in as they are, null as nothing, and all
//!   else as its JSON, digit for digit.
//! - `{{new}}` and `{{old}}` are the rows as `data` and `previous` have them, null
//!   where there is none.
//!
//! What a row makes impossible fails the payload as a whole, and the rule's
//! `when_error` decides: `skip` makes no event, `emit` sends the standard body,
//! `dead_letter` keeps the standard body as a dead letter.

use super::body;
use super::expression::{Expression, Path, Uses, descend, write_json};
use super::failure::FailureKind;
use super::findings::Findings;
use super::row::{Known, RowView, Side};
use super::template::{self, Piece};
use crate::change::Operation;
use crate::pgoutput::value::write_string;

pub use super::expression::ConditionError;

/// Deeper than any body that a receiver takes.
const TREE_DEPTH_MAX: usize = 64;

/// Any tree, `{{CEL}}` in its strings. A string that is one expression keeps the
/// value's type and digits.
#[derive(Clone, Debug)]
pub struct PayloadTemplate {
    root: Node,
    uses: Uses,
    sources: Vec<String>,
}

/// A template's tree as the config file has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Template {
    Null,
    Bool(bool),
    /// The digits as written.
    Number(String),
    Text(String),
    List(Vec<Template>),
    Map(Vec<(String, Template)>),
}

/// What is wrong in a template, with the place in its tree (`attachments[0].text`; empty for the root).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    pub place: String,
    pub error: ConditionError,
}

#[derive(Clone, Debug)]
enum Node {
    /// JSON that is the same for every row.
    Fixed(Vec<u8>),
    Value(Expression),
    Text(Vec<Piece>),
    List(Vec<Node>),
    /// With the key as JSON, and its colon.
    Map(Vec<(Vec<u8>, Node)>),
}

impl PayloadTemplate {
    /// All problems at once.
    pub fn compile(template: &Template) -> Result<Self, Vec<TemplateError>> {
        let mut compiler = Compiler::default();
        let root = compiler.node(template, "", 0);
        if !compiler.errors.is_empty() {
            return Err(compiler.errors);
        }
        Ok(PayloadTemplate {
            root,
            uses: compiler.uses,
            sources: compiler.sources,
        })
    }

    pub fn needs_old(&self) -> bool {
        self.uses.needs_old()
    }

    /// As [`Condition::columns`](super::condition::Condition::columns).
    pub fn columns(&self) -> Vec<String> {
        self.uses.columns()
    }

    /// Which columns of which row.
    pub fn uses(&self) -> &Uses {
        &self.uses
    }

    /// The texts of its expressions, in order.
    pub(super) fn sources(&self) -> &[String] {
        &self.sources
    }

    /// Appends the body for a row. On `Err` a part of it may have been appended.
    pub fn render(
        &self,
        row: &RowView<'_>,
        json: &mut Vec<u8>,
        findings: &mut Findings,
    ) -> Result<(), FailureKind> {
        Renderer { row, findings }.node(&self.root, json)
    }
}

#[derive(Default)]
struct Compiler {
    errors: Vec<TemplateError>,
    uses: Uses,
    sources: Vec<String>,
}

impl Compiler {
    fn node(&mut self, template: &Template, place: &str, depth: usize) -> Node {
        if depth > TREE_DEPTH_MAX {
            let message = format!("a payload cannot be nested more than {TREE_DEPTH_MAX} deep");
            return self.fail(place, ConditionError(message));
        }
        match template {
            Template::Null => Node::Fixed(b"null".to_vec()),
            Template::Bool(true) => Node::Fixed(b"true".to_vec()),
            Template::Bool(false) => Node::Fixed(b"false".to_vec()),
            Template::Number(digits) => self.number(digits, place),
            Template::Text(text) => match template::parse(text) {
                Ok(pieces) => self.text(pieces),
                Err(error) => self.fail(place, error),
            },
            Template::List(elements) => Node::List(
                elements
                    .iter()
                    .enumerate()
                    .map(|(at, element)| self.node(element, &format!("{place}[{at}]"), depth + 1))
                    .collect(),
            ),
            Template::Map(entries) => Node::Map(
                entries
                    .iter()
                    .map(|(key, value)| {
                        let dot = if place.is_empty() { "" } else { "." };
                        let place = format!("{place}{dot}{key}");
                        let mut label = quoted(key.as_bytes());
                        label.push(b':');
                        (label, self.node(value, &place, depth + 1))
                    })
                    .collect(),
            ),
        }
    }

    fn number(&mut self, digits: &str, place: &str) -> Node {
        let plain = digits.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        if plain && serde_json::from_str::<serde::de::IgnoredAny>(digits).is_ok() {
            return Node::Fixed(digits.as_bytes().to_vec());
        }
        let message = format!("{digits} is no number that JSON has, put it in quotes");
        self.fail(place, ConditionError(message))
    }

    fn text(&mut self, pieces: Vec<Piece>) -> Node {
        let mut fixed = String::new();
        for piece in &pieces {
            match piece {
                Piece::Text(text) => fixed.push_str(text),
                Piece::Expression(expression) => {
                    self.uses.join(expression.uses());
                    self.sources.push(expression.source().to_owned());
                }
            }
        }
        match <[Piece; 1]>::try_from(pieces) {
            Ok([Piece::Expression(expression)]) => Node::Value(expression),
            Ok([Piece::Text(text)]) => Node::Fixed(quoted(text.as_bytes())),
            Err(pieces) if pieces.is_empty() => Node::Fixed(quoted(b"")),
            Err(pieces) => Node::Text(pieces),
        }
    }

    fn fail(&mut self, place: &str, error: ConditionError) -> Node {
        self.errors.push(TemplateError {
            place: place.to_owned(),
            error,
        });
        Node::List(Vec::new())
    }
}

struct Renderer<'r> {
    row: &'r RowView<'r>,
    findings: &'r mut Findings,
}

impl Renderer<'_> {
    fn node(&mut self, node: &Node, json: &mut Vec<u8>) -> Result<(), FailureKind> {
        match node {
            Node::Fixed(fixed) => json.extend_from_slice(fixed),
            Node::Value(expression) => self.value(expression, json)?,
            Node::Text(pieces) => self.text(pieces, json)?,
            Node::List(elements) => {
                json.push(b'[');
                for (at, element) in elements.iter().enumerate() {
                    if at > 0 {
                        json.push(b',');
                    }
                    self.node(element, json)?;
                }
                json.push(b']');
            }
            Node::Map(entries) => {
                json.push(b'{');
                for (at, (label, value)) in entries.iter().enumerate() {
                    if at > 0 {
                        json.push(b',');
                    }
                    json.extend_from_slice(label);
                    self.node(value, json)?;
                }
                json.push(b'}');
            }
        }
        Ok(())
    }

    fn text(&mut self, pieces: &[Piece], json: &mut Vec<u8>) -> Result<(), FailureKind> {
        json.push(b'"');
        for piece in pieces {
            match piece {
                Piece::Text(text) => json.extend_from_slice(unquoted(&quoted(text.as_bytes()))),
                Piece::Expression(expression) => {
                    let mut value = Vec::new();
                    self.value(expression, &mut value)?;
                    match value.trim_ascii() {
                        b"null" => {}
                        string @ [b'"', ..] => json.extend_from_slice(unquoted(string)),
                        other => json.extend_from_slice(unquoted(&quoted(other))),
                    }
                }
            }
        }
        json.push(b'"');
        Ok(())
    }

    fn value(&mut self, expression: &Expression, json: &mut Vec<u8>) -> Result<(), FailureKind> {
        match expression.path() {
            Some(path) => self.path(path, json),
            None => write_json(&expression.evaluate(self.row)?, json),
        }
    }

    fn path(&mut self, path: &Path, json: &mut Vec<u8>) -> Result<(), FailureKind> {
        let Some(name) = &path.column else {
            self.row(path.side, json);
            return Ok(());
        };
        let table = self.row.table;
        let at = table.column(name).ok_or(FailureKind::NoSuchColumn)?;
        let column = table.columns.get(at).ok_or(FailureKind::NoSuchColumn)?;
        match self.row.value(path.side, at)? {
            Known::Null if path.steps.is_empty() => json.extend_from_slice(b"null"),
            Known::Null => return Err(FailureKind::TypeMismatch),
            Known::Text(text) if path.steps.is_empty() => {
                column.write(text, self.row.large_numbers, json, self.findings)
            }
            Known::Text(text) => {
                let mut whole = Vec::new();
                column.write(text, self.row.large_numbers, &mut whole, self.findings);
                json.extend_from_slice(descend(&whole, &path.steps)?);
            }
        }
        Ok(())
    }

    fn row(&mut self, side: Side, json: &mut Vec<u8>) {
        match (side, self.row.operation) {
            (Side::New, Operation::Insert | Operation::Update) | (Side::Old, Operation::Delete) => {
                body::write_data(self.row, json, self.findings)
            }
            (Side::New, Operation::Message) => {
                body::write_row(self.row, Side::New, |_| true, json, self.findings);
            }
            (Side::Old, Operation::Update) => body::write_previous(self.row, json, self.findings),
            (Side::New, Operation::Delete | Operation::Truncate)
            | (Side::Old, Operation::Insert | Operation::Truncate | Operation::Message) => {
                json.extend_from_slice(b"null");
            }
        }
    }
}

fn quoted(text: &[u8]) -> Vec<u8> {
    let mut json = Vec::new();
    write_string(text, &mut json);
    json
}

/// What stands between the quotes of a JSON string.
fn unquoted(json: &[u8]) -> &[u8] {
    json.strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .unwrap_or(json)
}
