//! Payload templates: a rule's own body.

use super::condition::ConditionError;

/// Any tree, `{{CEL}}` in its strings. A string that is one expression keeps the
/// value's type and digits.
#[derive(Clone, Debug)]
pub struct PayloadTemplate;

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

impl PayloadTemplate {
    /// All problems at once.
    pub fn compile(_template: &Template) -> Result<Self, Vec<TemplateError>> {
        todo!()
    }

    pub fn needs_old(&self) -> bool {
        todo!()
    }

    /// As [`Condition::columns`](super::condition::Condition::columns).
    pub fn columns(&self) -> Vec<String> {
        todo!()
    }
}
