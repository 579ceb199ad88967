use super::recorded_messages;
use crate::change::{Change, OldTuple, Tuple, Value};
use crate::pgoutput::transaction::MessagePlace;
use crate::pgoutput::{Reader, Step, decode};

/// The stream's steps, one a line; announced relations are bound at once.
fn steps(messages: &[Vec<u8>]) -> String {
    let mut reader = Reader::new();
    let mut lines = Vec::new();
    for bytes in messages {
        let mut relation = None;
        match reader.step(decode(bytes).unwrap()).unwrap() {
            Step::Begin(transaction) => lines.push(format!("begin {}", transaction.commit_lsn)),
            Step::Change(change) => lines.push(line(&change)),
            Step::Truncate(truncation) => {
                lines.push(format!(
                    "truncate cascade {} restart {}",
                    truncation.cascade, truncation.restart_identity
                ));
                lines.extend(truncation.changes().map(|change| line(&change)));
            }
            Step::Message(message) => lines.push(match message.place {
                MessagePlace::Change { ordinal, .. } => {
                    format!("  {ordinal} message {}", message.prefix)
                }
                MessagePlace::Alone { lsn } => format!("message {} at {lsn}", message.prefix),
            }),
            Step::Relation(header) => relation = Some(header.into_relation(vec![0])),
            Step::Commit {
                transaction,
                end_lsn,
            } => lines.push(format!("commit {} {end_lsn}", transaction.commit_lsn)),
            Step::Nothing => {}
        }
        if let Some(relation) = relation {
            let columns: Vec<String> = relation
                .columns
                .iter()
                .map(|c| format!("{}{}", if c.in_identity { "+" } else { "" }, c.name))
                .collect();
            lines.push(format!(
                "relation {} {:?} [{}]",
                relation.name,
                relation.identity,
                columns.join(" ")
            ));
            reader.bind(relation);
        }
    }
    lines.join("\n")
}

fn line(change: &Change<'_>) -> String {
    let mut line = format!(
        "  {} {} {}",
        change.ordinal, change.operation, change.relation.name
    );
    match change.old {
        Some(OldTuple::Key(tuple)) => line += &format!(" key {}", values(tuple)),
        Some(OldTuple::Full(tuple)) => line += &format!(" old {}", values(tuple)),
        None => {}
    }
    if let Some(tuple) = change.new {
        line += &format!(" new {}", values(tuple));
    }
    if let Some(origin) = &change.transaction.origin {
        line += &format!(" from {origin}");
    }
    line
}

fn values(tuple: Tuple<'_>) -> String {
    let values: Vec<String> = tuple
        .values()
        .map(|value| match value {
            Value::Null => "null".to_owned(),
            Value::Unchanged => "unchanged".to_owned(),
            Value::Text(text) if text.len() > 100 => format!("({} bytes)", text.len()),
            Value::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
        })
        .collect();
    assert_eq!(values.len(), tuple.len());
    format!("[{}]", values.join(" "))
}

#[test]
fn a_recorded_stream_reads_as_what_was_done() {
    insta::assert_snapshot!(steps(&recorded_messages()), @r#"
    message beat at 0/1E979A0
    begin 0/1E97B60
    relation public.items Default [+id name mood n note]
      1 insert public.items new ["1" "one" "sad" "5" ""]
      2 insert public.items new ["2" null "ok" null (2100 bytes)]
      3 message outbox
      4 update public.items new ["2" "zwei" "ok" null unchanged]
      5 update public.items key ["1" null null null null] new ["3" "one" "sad" "5" ""]
      6 delete public.items key ["3" null null null null]
    commit 0/1E97B60 0/1E97B90
    begin 0/1E98018
    relation public.notes Full [+a +b]
      1 insert public.notes new ["1" "ä"]
      2 insert public.notes new ["2" null]
    relation public.notes Full [+a +b +c]
      3 update public.notes old ["1" "ä" null] new ["1" "ä" "t"]
      4 delete public.notes old ["2" null null]
    commit 0/1E98018 0/1E980A0
    begin 0/1E980D8
    relation public.bare Default []
      1 insert public.bare new []
    commit 0/1E980D8 0/1E98108
    begin 0/1E981E8
    relation public."odd.name" Default [+q"c]
      1 insert public."odd.name" new ["a\nb"]
    commit 0/1E981E8 0/1E98218
    begin 0/1E982A8
      1 update public."odd.name" key ["a\nb"] new ["z"]
    commit 0/1E982A8 0/1E982D8
    begin 0/1E99C38
    relation public.items Default [+id name mood n note]
    relation public.parts Default [+id item]
    relation public.notes Full [+a +b +c]
    truncate cascade false restart true
      1 truncate public.items
      2 truncate public.parts
      3 truncate public.notes
    commit 0/1E99C38 0/1E99F10
    begin 0/1E9B020
    relation public.items Default [+id name mood n note]
    relation public.parts Default [+id item]
    truncate cascade true restart false
      1 truncate public.items
      2 truncate public.parts
    commit 0/1E9B020 0/1E9B228
    begin 0/1E9B4A0
    relation public.parts Default [+id item]
      1 insert public.parts new ["1" null] from upstream
    commit 0/1E9B4A0 0/1E9B4E8
    "#);
}
