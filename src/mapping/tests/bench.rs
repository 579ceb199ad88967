//! A table, rules for it, and changes of it.

use std::sync::Arc;

use super::super::condition::Condition;
use super::super::failure::FailureKind;
use super::super::findings::Findings;
use super::super::form::BodyForm;
use super::super::mapper::{EndpointMapping, KeyUse, Mapper, SourceIdentity};
use super::super::payload::{PayloadTemplate, Template};
use super::super::plan::TablePlan;
use super::super::report::{Bound, Mapped};
use super::super::row::{Cells, RowView};
use super::super::rule::{
    ColumnSelection, NamePattern, Rule, TablePattern, TableRules, TypeTemplate, WhenError,
};
use crate::change::{
    Change, Column, OldRows, OldTuple, Operation, Relation, ReplicaIdentity, TableName,
    Transaction, Tuple, Value,
};
use crate::event::{EndpointIndex, Event};
use crate::lsn::Lsn;
use crate::pgoutput::value::{Attributes, TypeKind, Types};

pub const NULL: Value<'static> = Value::Null;
pub const UNCHANGED: Value<'static> = Value::Unchanged;

pub fn t(text: &str) -> Value<'_> {
    Value::Text(text.as_bytes())
}

/// OIDs of `pg_type`.
pub mod oid {
    pub const BOOL: u32 = 16;
    pub const BYTEA: u32 = 17;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const TEXT: u32 = 25;
    pub const JSON: u32 = 114;
    pub const FLOAT8: u32 = 701;
    pub const INT4_ARRAY: u32 = 1007;
    pub const TIMESTAMP: u32 = 1114;
    pub const NUMERIC: u32 = 1700;
    pub const NUMERIC_ARRAY: u32 = 1231;
    pub const JSONB: u32 = 3802;
    pub const DOMAIN: u32 = 70_000;
    pub const COMPOSITE: u32 = 70_001;
}

/// The old tuple that the WAL has.
#[derive(Clone, Copy)]
pub enum Old<'a> {
    None,
    Key(&'a [Value<'a>]),
    Full(&'a [Value<'a>]),
}

/// A change as a test writes it.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    pub operation: Operation,
    pub new: Option<&'a [Value<'a>]>,
    pub old: Old<'a>,
}

pub fn insert<'a>(new: &'a [Value<'a>]) -> Given<'a> {
    Given {
        operation: Operation::Insert,
        new: Some(new),
        old: Old::None,
    }
}

pub fn update<'a>(old: Old<'a>, new: &'a [Value<'a>]) -> Given<'a> {
    Given {
        operation: Operation::Update,
        new: Some(new),
        old,
    }
}

pub fn delete(old: Old<'_>) -> Given<'_> {
    Given {
        operation: Operation::Delete,
        new: None,
        old,
    }
}

pub const TRUNCATE: Given<'static> = Given {
    operation: Operation::Truncate,
    new: None,
    old: Old::None,
};

pub struct Bench {
    pub relation: Relation,
    pub types: Types,
    pub transaction: Transaction,
    pub entry: TableRules,
    pub endpoints: Vec<EndpointMapping>,
}

impl Bench {
    /// `public.orders(id bigint primary key, status text, total numeric, note text)`
    pub fn orders() -> Self {
        Bench::table(&[
            ("id", oid::INT8),
            ("status", oid::TEXT),
            ("total", oid::NUMERIC),
            ("note", oid::TEXT),
        ])
    }

    /// The first column is the primary key.
    pub fn table(columns: &[(&str, u32)]) -> Self {
        let mut types = Types::default();
        types.insert(oid::DOMAIN, TypeKind::Domain { base: oid::INT8 });
        let fields = vec![("city".to_owned(), oid::TEXT), ("zip".to_owned(), 23)];
        types.insert(
            oid::COMPOSITE,
            TypeKind::Composite {
                fields,
                history: Attributes::OnlyAdded,
            },
        );
        Bench {
            relation: Relation {
                oid: 16_400,
                name: Arc::new(TableName::new("public", "orders")),
                identity: ReplicaIdentity::Default,
                columns: columns
                    .iter()
                    .enumerate()
                    .map(|(at, (name, type_oid))| Column {
                        name: (*name).to_owned(),
                        type_oid: *type_oid,
                        type_modifier: -1,
                        in_identity: at == 0,
                    })
                    .collect(),
                old_rows: OldRows::AsAnnounced,
                key: vec![0],
            },
            types,
            transaction: Transaction {
                commit_lsn: Lsn(0x16B_3748),
                commit_time_us: 848_786_400_123_456,
                xid: 771,
                origin: None,
            },
            entry: TableRules {
                name: "public.orders".into(),
                pattern: TablePattern {
                    schema: NamePattern::Exact("public".to_owned()),
                    table: NamePattern::Exact("orders".to_owned()),
                },
                columns: ColumnSelection::All,
                key: None,
                outbox: None,
                rules: Vec::new(),
            },
            endpoints: vec![endpoint("billing"), endpoint("crm")],
        }
    }

    pub fn full_identity(mut self) -> Self {
        self.relation.identity = ReplicaIdentity::Full;
        for column in &mut self.relation.columns {
            column.in_identity = true;
        }
        self
    }

    pub fn columns(mut self, columns: ColumnSelection) -> Self {
        self.entry.columns = columns;
        self
    }

    pub fn rule(mut self, operation: Operation, event_type: &str) -> Self {
        let count = self.entry.rules.len();
        self.entry.rules.push(Rule {
            name: format!("rule {count}").into(),
            operation,
            event_type: TypeTemplate::parse(event_type).unwrap(),
            when: None,
            when_error: WhenError::Skip,
            endpoints: vec![EndpointIndex(0)],
            payload: None,
        });
        self
    }

    fn last(&mut self) -> &mut Rule {
        self.entry.rules.last_mut().unwrap()
    }

    pub fn when(mut self, condition: &str) -> Self {
        self.last().when = Some(Condition::compile(condition).unwrap());
        self
    }

    pub fn when_error(mut self, when_error: WhenError) -> Self {
        self.last().when_error = when_error;
        self
    }

    pub fn to(mut self, endpoints: &[usize]) -> Self {
        self.last().endpoints = endpoints.iter().map(|at| EndpointIndex(*at)).collect();
        self
    }

    pub fn payload(mut self, text: &str) -> Self {
        let template = Template::Text(text.to_owned());
        self.last().payload = Some(PayloadTemplate::compile(&template).unwrap());
        self
    }

    pub fn mapper(&self) -> Mapper {
        self.bound().0
    }

    pub fn bound(&self) -> (Mapper, Bound) {
        let mut mapper = Mapper::new(
            vec![self.entry.clone()].into(),
            self.endpoints.clone().into(),
            SourceIdentity {
                system_identifier: 7_300_000_000_000_000_001,
                database: "app".into(),
            },
        );
        let bound = mapper.bind(&self.relation, &self.types);
        (mapper, bound)
    }

    /// The change as the third of its transaction.
    pub fn with_change<T>(&self, given: Given<'_>, see: impl FnOnce(&Change<'_>) -> T) -> T {
        let new = given.new.map(bytes_of);
        let old = match given.old {
            Old::None => None,
            Old::Key(values) | Old::Full(values) => Some(bytes_of(values)),
        };
        let count = u16::try_from(self.relation.columns.len()).unwrap();
        let old = old.as_ref().map(|bytes| Tuple::new(count, bytes));
        see(&Change {
            transaction: &self.transaction,
            ordinal: 3,
            relation: &self.relation,
            operation: given.operation,
            new: new.as_ref().map(|bytes| Tuple::new(count, bytes)),
            old: match given.old {
                Old::Full(_) => old.map(OldTuple::Full),
                Old::Key(_) | Old::None => old.map(OldTuple::Key),
            },
        })
    }

    pub fn map(&self, given: Given<'_>) -> (Vec<Event>, Mapped) {
        let mut mapper = self.mapper();
        self.map_with(&mut mapper, given)
    }

    pub fn map_with(&self, mapper: &mut Mapper, given: Given<'_>) -> (Vec<Event>, Mapped) {
        let mut events = Vec::new();
        let mapped = self.with_change(given, |change| mapper.map(change, &mut events));
        (events, mapped)
    }

    /// The body of the one event, its id replaced.
    pub fn body(&self, given: Given<'_>) -> String {
        let (events, _) = self.map(given);
        assert_eq!(events.len(), 1);
        let body = String::from_utf8(events[0].body.to_vec()).unwrap();
        serde_json::from_str::<serde_json::Value>(&body).unwrap();
        body.replace(&events[0].id.to_string(), "ID")
    }

    pub fn see<T>(&self, given: Given<'_>, see: impl FnOnce(&RowView<'_>) -> T) -> T {
        let plan = TablePlan::new(&self.relation, &self.types, &self.entry.columns, false);
        self.with_change(given, |change| {
            let cells = Cells::of(change, Cells::default());
            see(&RowView::new(&plan, change, &cells))
        })
    }

    pub fn evaluate(&self, condition: &str, given: Given<'_>) -> Result<bool, FailureKind> {
        let condition = Condition::compile(condition).unwrap();
        self.see(given, |row| condition.evaluate(row))
    }

    /// What the payload of one string is for a row.
    pub fn render(&self, text: &str, given: Given<'_>) -> Result<String, FailureKind> {
        self.render_tree(&Template::Text(text.to_owned()), given)
    }

    pub fn render_tree(
        &self,
        template: &Template,
        given: Given<'_>,
    ) -> Result<String, FailureKind> {
        let payload = PayloadTemplate::compile(template).unwrap();
        let mut json = Vec::new();
        self.see(given, |row| {
            payload.render(row, &mut json, &mut Findings::default())
        })?;
        let json = String::from_utf8(json).unwrap();
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
        Ok(json)
    }
}

pub fn endpoint(name: &str) -> EndpointMapping {
    EndpointMapping {
        name: name.into(),
        key_use: KeyUse::NotNeeded,
        form: BodyForm::default(),
    }
}

fn bytes_of(values: &[Value<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        match value {
            Value::Null => bytes.push(b'n'),
            Value::Unchanged => bytes.push(b'u'),
            Value::Text(text) => {
                bytes.push(b't');
                bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
                bytes.extend_from_slice(text);
            }
        }
    }
    bytes
}
