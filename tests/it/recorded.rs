//! The stretch of the stream that the unit tests cut at every byte: what Postgres sends for
//! `recorded.sql`, as it came.

use std::path::Path;

use walhook::change::{Change, OldTuple, Tuple, Value};
use walhook::pgoutput::{Frame, Reader, Step, decode};

use crate::harness::frames::split;
use crate::harness::proxy::{Fate, Kind, Proxy};
use crate::harness::{Cluster, Daemon, Receiver, SOON};

const SCHEMA: &str = include_str!("recorded/schema.sql");
/// Once a round, with `:round` in it.
const ROUND: &str = include_str!("recorded/round.sql");
const ROUNDS: usize = 4;
const ALL: &str = "to: r\nevents: {insert: i, update: u, delete: d, truncate: t}";

/// With `WALHOOK_RECORD_STREAM=1` the file is written instead.
#[tokio::test]
async fn the_recorded_stretch_is_what_postgres_sends() {
    let sent = record().await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pgoutput/testdata/stretch.bin");
    if std::env::var_os("WALHOOK_RECORD_STREAM").is_some() {
        std::fs::write(&file, &sent).unwrap();
    }
    let recorded = std::fs::read(&file).unwrap_or_default();
    let (sent, recorded) = (changes(&sent), changes(&recorded));
    let differs = sent.iter().zip(&recorded).find(|(now, then)| now != then);
    assert!(
        sent == recorded,
        "{} is out of date: WALHOOK_RECORD_STREAM=1 cargo test --test it recorded; \
         {} changes are now {}, first of all {differs:?}",
        file.display(),
        recorded.len(),
        sent.len(),
    );
}

/// The frames of a stream, from its beginning, without the answer to START_REPLICATION.
async fn record() -> Vec<u8> {
    // Of its own: what others do to a cluster may announce relations anew.
    let cluster = Cluster::own().start().await;
    let db = cluster.database().await;
    db.sql(SCHEMA).await;
    let proxy = Proxy::before(&db).await;
    let receiver = Receiver::start().await;
    let mut daemon = Daemon::of(&db)
        .url(&proxy.url(&db))
        .endpoint("r", &receiver)
        .table("public.*", ALL)
        .table("public.bare", "to: r\nevents: {insert: i}")
        .start()
        .await;
    proxy.record();
    proxy.turn(Kind::Replication, Fate::EndedForDaemon);
    for round in 1..=ROUNDS {
        for transaction in ROUND.split("\n\n") {
            db.sql(&transaction.replace(":round", &round.to_string()))
                .await;
        }
        db.confirmed(SOON).await;
    }
    assert_eq!(daemon.stop().await, 0);
    let recorded = proxy.recorded();
    let frames = split(&recorded);
    let (answer, stream) = frames.split_first().expect("an answer");
    assert_eq!(answer[0], b'W');
    let stream = stream.iter().filter(|frame| frame[0] == b'd');
    stream.copied().flatten().copied().collect()
}

/// What of a stream is the same each time.
fn changes(stream: &[u8]) -> Vec<String> {
    let mut reader = Reader::new();
    let mut lines = Vec::new();
    for frame in split(stream) {
        let Frame::Data { payload, .. } = Frame::parse(&frame[5..]).unwrap() else {
            continue;
        };
        let mut relation = None;
        match reader.step(decode(payload).unwrap()).unwrap() {
            Step::Change(change) => lines.push(line(&change)),
            Step::Truncate(truncation) => {
                lines.extend(truncation.changes().map(|change| line(&change)));
            }
            Step::Message(message) => lines.push(format!("message {}", message.prefix)),
            Step::Relation(header) => relation = Some(header.into_relation(vec![])),
            Step::Commit { .. } => lines.push("commit".to_owned()),
            Step::Begin(_) | Step::Nothing => {}
        }
        if let Some(relation) = relation {
            reader.bind(relation);
        }
    }
    lines
}

fn line(change: &Change<'_>) -> String {
    let columns = &change.relation.columns;
    let values = |tuple: Tuple<'_>| -> String {
        let values = tuple.values().zip(columns).map(|(value, column)| {
            let text = match value {
                Value::Null => "null".into(),
                Value::Unchanged => "unchanged".into(),
                Value::Text(text) => String::from_utf8_lossy(text),
            };
            format!(" {}={text:?}", column.name)
        });
        values.collect()
    };
    let old = match change.old {
        Some(OldTuple::Key(tuple)) => format!(" key{}", values(tuple)),
        Some(OldTuple::Full(tuple)) => format!(" old{}", values(tuple)),
        None => String::new(),
    };
    let new = change.new.map(values).unwrap_or_default();
    let (ordinal, table) = (change.ordinal, &change.relation.name);
    let origin = change.transaction.origin.as_deref().unwrap_or_default();
    format!("{ordinal} {} {table}{old}{new} {origin}", change.operation)
}
