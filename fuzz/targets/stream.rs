//! Any bytes from the server: split into frames, decoded, stepped through and mapped. What
//! comes of it is an error or events whose bodies are JSON; how the bytes were cut on
//! their way makes no difference.

#![no_main]

use std::cell::OnceCell;
use std::sync::Arc;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use walhook::change::{Change, Operation, Relation};
use walhook::event::{EndpointIndex, Event};
use walhook::mapping::condition::Condition;
use walhook::mapping::form::BodyForm;
use walhook::mapping::rule::{
    ColumnSelection, NamePattern, Rule, TablePattern, TableRules, TypeOf, TypeTemplate, WhenError,
};
use walhook::mapping::{EndpointMapping, KeyUse, Mapper, SourceIdentity, message_hash};
use walhook::pgoutput::value::Types;
use walhook::pgoutput::{Frame, Message, Reader, Step, decode};
use walhook::postgres::stream::{FrameBuffer, StreamFrame};
use walhook_fuzz::{Input, from_hex, is_json, types};

thread_local! {
    static RECORDED: OnceCell<Vec<Vec<u8>>> = const { OnceCell::new() };
    static TYPES: OnceCell<Types> = const { OnceCell::new() };
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let cut = 1 + usize::from(input.byte());
    let stream = stream(&mut input);
    let whole = run(&stream, stream.len());
    assert_eq!(whole, run(&stream, cut), "cut into pieces of {cut}");
});

/// Messages in XLogData in CopyData: recorded ones, changed ones, others.
fn stream(input: &mut Input<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    RECORDED.with(|cell| {
        let recorded =
            cell.get_or_init(|| from_hex(include_str!("../../src/pgoutput/testdata/stream.hex")));
        while !input.is_empty() {
            match input.byte() {
                kind @ 0..192 => {
                    let base = &recorded[usize::from(kind) % recorded.len()];
                    let payload = if kind & 1 == 0 {
                        base.clone()
                    } else {
                        input.edited(base)
                    };
                    put_data(&mut stream, &payload);
                }
                192..224 => {
                    let payload = input.short();
                    put_data(&mut stream, payload);
                }
                224..240 => {
                    let content = input.short();
                    put_copy(&mut stream, content);
                }
                _ => stream.extend(input.short()),
            }
        }
    });
    stream
}

fn put_data(stream: &mut Vec<u8>, payload: &[u8]) {
    put_copy(stream, &[b"w".as_slice(), &[7; 24], payload].concat());
}

fn put_copy(stream: &mut Vec<u8>, content: &[u8]) {
    stream.push(b'd');
    stream.extend((content.len() as u32 + 4).to_be_bytes());
    stream.extend(content);
}

/// All that was made, as text, up to the first error.
fn run(stream: &[u8], cut: usize) -> Vec<String> {
    let mut frames = FrameBuffer::new(BytesMut::new());
    let mut reading = Reading::new();
    for piece in stream.chunks(cut.max(1)) {
        frames.push(piece);
        loop {
            match frames.next_frame() {
                Ok(None) => break,
                Ok(Some(StreamFrame::Copy(Frame::Data { payload, .. }))) => {
                    if !reading.message(payload) {
                        return reading.made;
                    }
                }
                Ok(Some(frame)) => reading.made.push(format!("{frame:?}")),
                Err(error) => {
                    reading.made.push(format!("{error}"));
                    return reading.made;
                }
            }
        }
    }
    reading.made
}

struct Reading {
    reader: Reader,
    mapper: Mapper,
    /// Bodies may hold what a json column held.
    trusts: bool,
    made: Vec<String>,
}

impl Reading {
    fn new() -> Self {
        Reading {
            reader: Reader::new(),
            mapper: mapper(),
            trusts: false,
            made: Vec::new(),
        }
    }

    /// Whether to go on.
    fn message(&mut self, payload: &[u8]) -> bool {
        let message = match decode(payload) {
            Ok(message) => message,
            Err(error) => {
                self.made.push(error.to_string());
                return false;
            }
        };
        walk(&message);
        let mut relation = None;
        let mut events = Vec::new();
        match self.reader.step(message) {
            Err(error) => {
                self.made.push(error.to_string());
                return false;
            }
            Ok(Step::Relation(header)) => relation = Some(header.into_relation(vec![0])),
            Ok(Step::Change(change)) => map(&mut self.mapper, &change, &mut events),
            Ok(Step::Truncate(truncation)) => {
                for change in truncation.changes() {
                    map(&mut self.mapper, &change, &mut events);
                }
            }
            Ok(Step::Message(message)) => {
                let hash = message_hash(&message.prefix, message.content);
                let mapped = self.mapper.map_message(&message, hash, &mut events);
                let parked = mapped.into_iter().flat_map(|(_, mapped)| mapped.parked);
                events.extend(parked.map(|parked| parked.event));
            }
            Ok(Step::Begin(_) | Step::Commit { .. } | Step::Nothing) => {}
        }
        if let Some(relation) = relation {
            self.bind(relation);
        }
        for event in events {
            assert!(
                self.trusts || is_json(&event.body),
                "a body that is no JSON"
            );
            let body = String::from_utf8(event.body.to_vec()).expect("a body in UTF-8");
            self.made.push(format!("{} {body}", event.id));
        }
        true
    }

    fn bind(&mut self, mut relation: Relation) {
        relation.key.retain(|at| *at < relation.columns.len());
        self.trusts |= relation
            .columns
            .iter()
            .any(|column| types::is_trusted(column.type_oid));
        TYPES.with(|cell| {
            let types = cell.get_or_init(|| types::types().0);
            self.mapper.bind(&relation, types);
        });
        self.reader.bind(relation);
    }
}

fn map(mapper: &mut Mapper, change: &Change<'_>, events: &mut Vec<Event>) {
    let mapped = mapper.map(change, events);
    events.extend(mapped.parked.into_iter().map(|parked| parked.event));
}

/// What the decoder has checked is there.
fn walk(message: &Message<'_>) {
    let tuples = match message {
        Message::Insert { new, .. } => vec![*new],
        Message::Update { old, new, .. } => {
            old.iter().map(|old| old.tuple()).chain([*new]).collect()
        }
        Message::Delete { old, .. } => vec![old.tuple()],
        Message::Relation(header) => {
            assert_eq!(header.columns.clone().count(), header.columns.len());
            return;
        }
        Message::Truncate { relations, .. } => {
            assert_eq!(relations.clone().count(), relations.len());
            return;
        }
        _ => return,
    };
    for tuple in tuples {
        assert_eq!(tuple.values().count(), tuple.len());
    }
}

/// A rule for every operation on every table, and one with a condition.
fn mapper() -> Mapper {
    let any = || NamePattern::Pieces(vec![String::new(), String::new()]);
    let rule = |operation: Operation, when: Option<&str>| Rule {
        name: operation.as_str().into(),
        operation,
        event_type: TypeTemplate::parse("it.{operation}").expect("a type"),
        when: when.map(|text| Condition::compile(text).expect("a condition")),
        when_error: WhenError::DeadLetter,
        endpoints: vec![EndpointIndex(0)],
        payload: None,
    };
    let mut rules: Vec<Rule> = Operation::ALL
        .into_iter()
        .map(|operation| rule(operation, None))
        .collect();
    rules.push(rule(
        Operation::Update,
        Some("changed('name') || new.id == 3"),
    ));
    let entry = TableRules {
        name: "*.*".into(),
        pattern: TablePattern {
            schema: any(),
            table: any(),
        },
        columns: ColumnSelection::All,
        key: None,
        outbox: None,
        rules,
    };
    let endpoint = EndpointMapping {
        name: "a".into(),
        key_use: KeyUse::Needed,
        form: BodyForm::default(),
    };
    let of_messages = TableRules {
        name: "*".into(),
        pattern: TablePattern {
            schema: NamePattern::Exact(String::new()),
            table: NamePattern::Pieces(vec![String::new(), String::new()]),
        },
        key: Some(vec!["id".into()]),
        rules: vec![
            Rule {
                event_type: TypeTemplate::parse_of("{prefix}", TypeOf::Message).expect("a type"),
                ..rule(Operation::Message, Some("new.data.id > 3"))
            },
            rule(Operation::Message, None),
        ],
        ..entry.clone()
    };
    Mapper::new(
        Arc::from(vec![entry]),
        Arc::from(vec![endpoint]),
        SourceIdentity {
            system_identifier: 7,
            database: "app".into(),
        },
    )
    .with_messages(&[of_messages])
}
