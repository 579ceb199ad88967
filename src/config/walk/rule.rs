//! A table's `events`: the rules.

use super::cursor::{At, Walk};
use super::endpoint::Names;
use super::keys;
use crate::change::Operation;
use crate::config::nearest::nearest;
use crate::config::source::tree::Value;
use crate::event::EndpointIndex;
use crate::mapping::condition::Condition;
use crate::mapping::payload::PayloadTemplate;
use crate::mapping::rule::{Rule, TypeOf, TypeTemplate, WhenError};
use crate::mapping::{Columns, Uses, message};

/// Whether all rules of a table are right; what is wrong is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Complete {
    Yes,
    No,
}

/// What a `to` says.
pub(super) enum To {
    /// There is none.
    Absent,
    /// It is wrong, which is told.
    Broken,
    Endpoints(Vec<EndpointIndex>),
}

impl Walk<'_> {
    /// The endpoints that a `to` names: one or a list.
    pub(super) fn to(&mut self, at: Option<&At<'_>>, names: &mut Names) -> To {
        let Some(at) = at else {
            return To::Absent;
        };
        let items = self.one_or_list(at);
        if items.is_empty() {
            self.problem(at, "an empty list")
                .hint("name at least one endpoint");
            return To::Broken;
        }
        let mut endpoints = Vec::new();
        let mut whole = true;
        for item in items {
            match self.endpoint_named(&item, names) {
                Some(endpoint) if endpoints.contains(&endpoint) => {
                    let found = format!("{} stands twice", self.shown(&item));
                    self.problem(&item, found).hint("leave one of the two");
                    whole = false;
                }
                Some(endpoint) => endpoints.push(endpoint),
                None => whole = false,
            }
        }
        if whole {
            To::Endpoints(endpoints)
        } else {
            To::Broken
        }
    }

    fn endpoint_named(&mut self, at: &At<'_>, names: &mut Names) -> Option<EndpointIndex> {
        let name = self.text(at, "the name of an endpoint")?;
        if let Some(index) = names.all.iter().position(|known| known.name == name) {
            names.all[index].used = true;
            return Some(EndpointIndex(index));
        }
        if names.known {
            let all: Vec<&str> = names.all.iter().map(|name| name.name.as_str()).collect();
            let found = format!("{} is not an endpoint", self.shown(at));
            let hint = match nearest(name, all.iter().copied()) {
                Some(near) if self.is_open(at) => format!("did you mean \"{near}\"?"),
                Some(_) | None => format!("endpoints are {}", all.join(", ")),
            };
            self.problem(at, found).hint(hint);
        }
        None
    }

    /// The rules of a table that are right, each with its place, and whether all are.
    pub(super) fn rules<'t>(
        &mut self,
        at: &At<'t>,
        table_to: &To,
        names: &mut Names,
    ) -> Option<(Vec<(Rule, At<'t>)>, Complete)> {
        let fields = self.fields(at, &keys::EVENTS)?;
        let mut rules = Vec::new();
        let mut complete = Complete::Yes;
        for operation in Operation::ALL {
            let Some(at) = fields.get(operation.as_str()) else {
                continue;
            };
            let (of_it, whole) = self.rules_at(&at, operation, table_to, names);
            rules.extend(of_it);
            if whole == Complete::No {
                complete = Complete::No;
            }
        }
        if fields.is_empty() {
            self.problem(at, "there is no rule")
                .hint("name at least one event: { insert: order.created }");
            return None;
        }
        if rules.is_empty() {
            complete = Complete::No;
        }
        Some((rules, complete))
    }

    /// Those of one operation: one or a list.
    pub(super) fn rules_at<'t>(
        &mut self,
        at: &At<'t>,
        operation: Operation,
        table_to: &To,
        names: &mut Names,
    ) -> (Vec<(Rule, At<'t>)>, Complete) {
        let mut rules = Vec::new();
        let mut complete = Complete::Yes;
        let items = self.one_or_list(at);
        if items.is_empty() {
            self.problem(at, "an empty list")
                .hint("write an event type, or take the key out");
            complete = Complete::No;
        }
        for item in items {
            match self.rule(&item, operation, table_to, names) {
                Some(rule) => rules.push((rule, item)),
                None => complete = Complete::No,
            }
        }
        (rules, complete)
    }

    /// A type alone, or a mapping with one.
    fn rule(
        &mut self,
        at: &At<'_>,
        operation: Operation,
        table_to: &To,
        names: &mut Names,
    ) -> Option<Rule> {
        if let Value::Scalar(_) = &at.node.value {
            let event_type = self.event_type(at, operation);
            let endpoints = self.endpoints_of(at, To::Absent, table_to);
            return Some(Rule {
                name: at.path.to_string().into(),
                operation,
                event_type: event_type?,
                when: None,
                when_error: WhenError::default(),
                endpoints: endpoints?,
                payload: None,
            });
        }
        let fields = self.fields(at, &keys::RULE)?;
        let event_type = match fields.get("type") {
            Some(at) => self.event_type(&at, operation),
            None => {
                self.missing(at, "type")
                    .hint("write an event type, for example order.created");
                None
            }
        };
        let when = match fields.get("when") {
            Some(at) => self.when(&at, operation).map(Some),
            None => Some(None),
        };
        let payload = match fields.get("payload") {
            Some(at) => self.rule_payload(&at, operation).map(Some),
            None => Some(None),
        };
        let when_error = match fields.get("when_error") {
            Some(at) => {
                if fields.get("when").is_none() && fields.get("payload").is_none() {
                    self.warning(&at, "it means nothing without \"when\" or \"payload\"");
                }
                self.choice(
                    &at,
                    &[
                        ("skip", WhenError::Skip),
                        ("emit", WhenError::Emit),
                        ("dead_letter", WhenError::DeadLetter),
                    ],
                )
            }
            None => Some(WhenError::default()),
        };
        let own_to = self.to(fields.get("to").as_ref(), names);
        let endpoints = self.endpoints_of(at, own_to, table_to);
        Some(Rule {
            name: at.path.to_string().into(),
            operation,
            event_type: event_type?,
            when: when?,
            when_error: when_error?,
            endpoints: endpoints?,
            payload: payload?,
        })
    }

    pub(super) fn endpoints_of(
        &mut self,
        at: &At<'_>,
        own: To,
        table: &To,
    ) -> Option<Vec<EndpointIndex>> {
        match (own, table) {
            (To::Endpoints(endpoints), _) => Some(endpoints),
            (To::Absent, To::Endpoints(endpoints)) => Some(endpoints.clone()),
            (To::Broken, _) | (To::Absent, To::Broken) => None,
            (To::Absent, To::Absent) => {
                self.problem(at, "the rule has no endpoint")
                    .hint("write \"to: <endpoint>\" at the entry, or beside the rule's type");
                None
            }
        }
    }

    fn event_type(&mut self, at: &At<'_>, operation: Operation) -> Option<TypeTemplate> {
        let text = self.text(at, "an event type such as order.created")?;
        let (of, placeholders) = match operation {
            Operation::Message => (TypeOf::Message, "{prefix}"),
            _ => (TypeOf::Change, "{table}.{operation}"),
        };
        match TypeTemplate::parse_of(text, of) {
            Ok(template) => Some(template),
            Err(error) => {
                let found = format!("{} is not an event type", self.shown(at));
                let open = self.is_open(at);
                let problem = self.problem(at, found);
                problem.hint(format!("write for example order.created or {placeholders}"));
                if open {
                    problem.detail(error.to_string());
                }
                None
            }
        }
    }

    fn when(&mut self, at: &At<'_>, operation: Operation) -> Option<Condition> {
        let text = self.text(at, "a condition such as new.status == \"paid\"")?;
        match Condition::compile(text) {
            Ok(condition) => {
                self.check_rows(at, operation, condition.uses())?;
                Some(condition)
            }
            Err(error) => {
                let found = if self.is_open(at) {
                    format!("not a condition: {error}")
                } else {
                    format!("{} is not a condition", self.shown(at))
                };
                self.problem(at, found).hint(
                    "write CEL over new, old, operation, schema, table and changed(\"column\")",
                );
                None
            }
        }
    }

    fn rule_payload(&mut self, at: &At<'_>, operation: Operation) -> Option<PayloadTemplate> {
        let payload = self.payload(at)?;
        self.check_rows(at, operation, payload.uses())?;
        Some(payload)
    }

    /// A row that the operation never has cannot be read. `changed` can be asked all
    /// the same: an insert and a delete change every column.
    fn check_rows(&mut self, at: &At<'_>, operation: Operation, uses: &Uses) -> Option<()> {
        let reads = |columns: &Columns| match columns {
            Columns::All => true,
            Columns::Named(names) => names.iter().any(|name| !uses.asked.contains(name)),
        };
        if operation == Operation::Message {
            return self.check_message(at, uses);
        }
        let (found, hint) = match operation {
            Operation::Insert if reads(&uses.old) => (
                "it reads the old row, and an insert has none",
                "read columns of new",
            ),
            Operation::Delete if reads(&uses.new) => (
                "it reads the new row, and a delete has none",
                "read columns of old",
            ),
            Operation::Truncate
                if reads(&uses.new) || reads(&uses.old) || !uses.changed.is_empty() =>
            {
                (
                    "it reads a row, and a truncate has none",
                    "read operation, schema and table alone",
                )
            }
            Operation::Insert
            | Operation::Update
            | Operation::Delete
            | Operation::Truncate
            | Operation::Message => {
                return Some(());
            }
        };
        self.problem(at, found).hint(hint);
        None
    }

    /// What a message has is known without the database.
    fn check_message(&mut self, at: &At<'_>, uses: &Uses) -> Option<()> {
        if uses.needs_old() {
            self.problem(at, "it reads the old row, and a message has none")
                .hint("read new.data");
            return None;
        }
        let known: Vec<&str> = message::columns().collect();
        let named = uses.new.names();
        let mut unknown = named.filter(|name| !known.contains(&name.as_str()));
        let Some(unknown) = unknown.next() else {
            return Some(());
        };
        let found = if self.is_open(at) {
            format!("it reads new.{unknown}, which no message has")
        } else {
            "it reads a column that no message has".to_owned()
        };
        self.problem(at, found).hint(format!(
            "a message has {}; what its content has is below new.data",
            known.join(", ")
        ));
        None
    }
}
