//! Any text as a condition, or as a string of a payload: refused, or evaluated on rows
//! without harm. What a payload makes is JSON, and the same again.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use walhook::change::{
    Change, Column, OldRows, OldTuple, Operation, Relation, ReplicaIdentity, TableName,
    Transaction, Tuple,
};
use walhook::event::EndpointIndex;
use walhook::lsn::Lsn;
use walhook::mapping::condition::Condition;
use walhook::mapping::form::BodyForm;
use walhook::mapping::payload::{PayloadTemplate, Template};
use walhook::mapping::rule::{
    ColumnSelection, NamePattern, Rule, TablePattern, TableRules, TypeTemplate, WhenError,
};
use walhook::mapping::{EndpointMapping, KeyUse, Mapper, SourceIdentity};
use walhook::pgoutput::value::Types;
use walhook_fuzz::{Input, catch_panics, is_json};

const BASES: [&str; 10] = [
    "new.status == \"paid\" && old.status != \"paid\"",
    "changed('status') || has(new.doc.a.b) ? new.total * 2.0 > 1e3 : false",
    "new.tags.exists(tag, tag.startsWith('x')) && size(new.tags) < 3",
    "{{new.status}} ({{ new.doc.a[0] + 1 }}) \\{{ {{ {\"a\": {\"b\": new.total}} }}",
    "{{new}}",
    "{{ new.doc.map(k, k + operation).filter(x, x != table) }}",
    "new.id in [1, 2u, 3.0] && new.at < '2026-01-01' && new.status.matches('^a+$')",
    "{{string(new.id) + schema.upperAscii().replace('A', 'b').split('').join('-')}}",
    "has(old.total) && double(new.total) > old.total && int(new.status) == -9223372036854775808",
    "new.doc == {'a': [1, null, true]} && !(new.raw == old.raw) && timestamp(new.at) > timestamp('2026-01-01T00:00:00Z')",
];

/// Name, type, and what stands in it.
const COLUMNS: [(&str, u32, &str); 7] = [
    ("id", 20, "9223372036854775807"),
    ("status", 25, "a \"paid\"\n"),
    ("total", 1700, "10.50"),
    ("tags", 1009, "{x,NULL,\"y\\\"z\"}"),
    (
        "doc",
        3802,
        "{\"a\": {\"b\": [1, 2.5, null]}, \"z\": 18446744073709551615}",
    ),
    ("at", 1114, "2026-01-02 03:04:05.678"),
    ("raw", 17, "\\xff"),
];

fuzz_target!(
    init: { catch_panics(); },
    |data: &[u8]| {
        let mut input = Input(data);
        let kind = input.byte();
        let text = match input.byte() {
            0..64 => String::from_utf8_lossy(input.rest()).into_owned(),
            base => {
                let text = input.edited(BASES[usize::from(base) % BASES.len()].as_bytes());
                String::from_utf8_lossy(&text).into_owned()
            }
        };
        if kind & 1 == 0 {
            condition(&text);
        } else {
            payload(&text);
        }
    }
);

fn condition(text: &str) {
    match Condition::compile(text) {
        Ok(condition) => drop(bodies(Some(condition), None)),
        Err(error) => assert!(!error.to_string().is_empty(), "an error without words"),
    }
}

fn payload(text: &str) {
    let template = Template::Map(vec![("it".to_owned(), Template::Text(text.to_owned()))]);
    let Ok(template) = PayloadTemplate::compile(&template) else {
        return;
    };
    let first = bodies(None, Some(template.clone()));
    for body in &first {
        assert!(is_json(body), "{}", String::from_utf8_lossy(body));
    }
    assert_eq!(
        first,
        bodies(None, Some(template)),
        "another body for the same row"
    );
}

/// What the rule makes of an insert, an update, a delete and a truncate.
fn bodies(when: Option<Condition>, payload: Option<PayloadTemplate>) -> Vec<Vec<u8>> {
    let relation = relation();
    let mut mapper = mapper(when, payload);
    mapper.bind(&relation, &Types::default());
    let mut row = Vec::new();
    for (_, _, text) in COLUMNS {
        row.push(b't');
        row.extend((text.len() as u32).to_be_bytes());
        row.extend(text.as_bytes());
    }
    let row = Tuple::new(COLUMNS.len() as u16, &row);
    let nulls = Tuple::new(COLUMNS.len() as u16, b"nnunnun");
    let transaction = Transaction {
        commit_lsn: Lsn(7),
        commit_time_us: 848_786_400_123_456,
        xid: 771,
        origin: None,
    };
    let mut events = Vec::new();
    for (operation, new, old) in [
        (Operation::Insert, Some(row), None),
        (Operation::Update, Some(nulls), Some(OldTuple::Full(row))),
        (Operation::Update, Some(row), Some(OldTuple::Key(nulls))),
        (Operation::Delete, None, Some(OldTuple::Full(row))),
        (Operation::Truncate, None, None),
    ] {
        let change = Change {
            transaction: &transaction,
            ordinal: 1,
            relation: &relation,
            operation,
            new,
            old,
        };
        mapper.map(&change, &mut events);
    }
    events.iter().map(|event| event.body.to_vec()).collect()
}

fn relation() -> Relation {
    let columns = COLUMNS.iter().map(|(name, type_oid, _)| Column {
        name: (*name).to_owned(),
        type_oid: *type_oid,
        type_modifier: -1,
        in_identity: true,
    });
    Relation {
        oid: 16_400,
        name: Arc::new(TableName::new("public", "orders")),
        identity: ReplicaIdentity::Full,
        columns: columns.collect(),
        old_rows: OldRows::AsAnnounced,
        key: vec![0],
    }
}

fn mapper(when: Option<Condition>, payload: Option<PayloadTemplate>) -> Mapper {
    let rules = Operation::ALL.into_iter().map(|operation| Rule {
        name: operation.as_str().into(),
        operation,
        event_type: TypeTemplate::parse("it.{operation}").expect("a type"),
        when: when.clone(),
        when_error: WhenError::Emit,
        endpoints: vec![EndpointIndex(0)],
        payload: payload.clone(),
    });
    let entry = TableRules {
        name: "public.orders".into(),
        pattern: TablePattern {
            schema: NamePattern::Exact("public".to_owned()),
            table: NamePattern::Exact("orders".to_owned()),
        },
        columns: ColumnSelection::All,
        key: None,
        outbox: None,
        rules: rules.collect(),
    };
    let endpoint = EndpointMapping {
        name: "a".into(),
        key_use: KeyUse::NotNeeded,
        form: BodyForm::default(),
    };
    Mapper::new(
        Arc::from(vec![entry]),
        Arc::from(vec![endpoint]),
        SourceIdentity {
            system_identifier: 7,
            database: "app".into(),
        },
    )
}
