use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{STRETCH, recorded_messages, stretch};
use crate::pgoutput::{DecodeError, Frame, Malformed, Message, Reader, Step, decode};

/// Reads everything that a decoded message holds.
fn read_all(message: &Message<'_>) {
    match message {
        Message::Relation(header) => {
            assert_eq!(header.columns.clone().count(), header.columns.len());
        }
        Message::Insert { new, .. } => assert_eq!(new.values().count(), new.len()),
        Message::Update { old, new, .. } => {
            assert_eq!(new.values().count(), new.len());
            if let Some(old) = old {
                assert_eq!(old.tuple().values().count(), old.tuple().len());
            }
        }
        Message::Delete { old, .. } => {
            assert_eq!(old.tuple().values().count(), old.tuple().len());
        }
        Message::Truncate { relations, .. } => {
            assert_eq!(relations.clone().count(), relations.len());
        }
        Message::Begin { .. }
        | Message::Commit { .. }
        | Message::Origin { .. }
        | Message::Type { .. }
        | Message::Logical { .. } => {}
    }
}

fn problem(bytes: &[u8]) -> Malformed {
    match decode(bytes) {
        Err(DecodeError::Malformed { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_cut_anywhere_is_an_error() {
    for message in recorded_messages() {
        for length in 0..message.len() {
            assert!(decode(&message[..length]).is_err(), "{length}");
        }
        let mut longer = message.clone();
        longer.push(0);
        assert_eq!(problem(&longer), Malformed::Trailing(1));
    }
}

#[test]
fn a_recorded_stretch_cut_at_any_byte_is_an_error_there() {
    let mut cuts = 0;
    for frame in stretch() {
        let content = &frame[5..];
        for length in 0..content.len() {
            match Frame::parse(&content[..length]) {
                Ok(Frame::Data { payload, .. }) => assert!(decode(payload).is_err(), "{length}"),
                Ok(Frame::Keepalive { .. }) => panic!("a keepalive of {length} bytes"),
                Err(_) => {}
            }
        }
        cuts += frame.len();
    }
    assert_eq!(cuts, STRETCH.len());
}

#[test]
fn the_recorded_stretch_has_all_that_a_stream_may_have() {
    assert!(STRETCH.len() >= 64 << 10, "{}", STRETCH.len());
    let mut tags = BTreeMap::<u8, usize>::new();
    for frame in stretch() {
        let tag = match Frame::parse(&frame[5..]).unwrap() {
            Frame::Data { payload, .. } => payload[0],
            Frame::Keepalive { .. } => b'k',
        };
        *tags.entry(tag).or_default() += 1;
    }
    let seen: String = tags.keys().map(|tag| char::from(*tag)).collect();
    assert_eq!(seen, "BCDIMORTUYk");
    assert!(tags.values().all(|times| *times > 3), "{tags:?}");
}

#[test]
fn each_fault_has_its_name() {
    for (bytes, expected) in [
        (b"".as_slice(), Malformed::Empty),
        (b"X", Malformed::UnknownTag),
        (b"S\0\0\0\0\0", Malformed::UnknownTag),
        (b"I\0\0", Malformed::Short { needed: 4, left: 2 }),
        (b"I\0\0\0\x01K\0\0", Malformed::UnknownTupleKind),
        (b"I\0\0\0\x01N\xFF\xFF", Malformed::NegativeCount(-1)),
        (b"I\0\0\0\x01N\0\x01b\0\0\0\0", Malformed::BinaryValue),
        (b"I\0\0\0\x01N\0\x01x", Malformed::UnknownValueKind),
        (
            b"I\0\0\0\x01N\0\x01t\xFF\xFF\xFF\xFE",
            Malformed::NegativeLength(-2),
        ),
        (
            b"I\0\0\0\x01N\0\x02n",
            Malformed::Short { needed: 1, left: 0 },
        ),
        (b"D\0\0\0\x01N\0\0", Malformed::UnknownTupleKind),
        (b"O\0\0\0\0\0\0\0\0name", Malformed::UnterminatedName),
        (b"R\0\0\0\x01\0t\0x\0\0", Malformed::UnknownIdentity),
        (b"C\x01", Malformed::UnknownFlags(1)),
        (b"T\0\0\0\0\x04", Malformed::UnknownFlags(4)),
        (b"T\xFF\xFF\xFF\xFF\0", Malformed::NegativeCount(-1)),
    ] {
        assert_eq!(problem(bytes), expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn an_error_says_where_and_shows_no_value() {
    let error = decode(b"I\0\0\0\x01N\0\x02t\0\0\0\x06secretb\0\0\0\0").unwrap_err();
    assert_eq!(
        error.to_string(),
        "malformed message \"I\" at byte 19: a value is in binary form, which was not asked for"
    );
    assert!(!format!("{error:?}").contains("secret"));
}

/// Steps through the messages, binding what is announced, up to the first error.
fn outcome(messages: &[&[u8]]) -> Result<(), DecodeError> {
    let mut reader = Reader::new();
    for bytes in messages {
        let mut relation = None;
        if let Step::Relation(header) = reader.step(decode(bytes)?)? {
            relation = Some(header.into_relation(vec![]));
        }
        if let Some(relation) = relation {
            reader.bind(relation);
        }
    }
    Ok(())
}

#[test]
fn messages_out_of_order_are_errors() {
    let begin = b"B\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\x01".as_slice();
    let commit = b"C\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\0".as_slice();
    let elsewhere = b"C\0\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\0".as_slice();
    let early = b"C\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\0".as_slice();
    let origin = b"O\0\0\0\0\0\0\0\0up\0".as_slice();
    let relation = b"R\0\0\0\x01\0t\0d\0\x01\x01a\0\0\0\0\x17\xFF\xFF\xFF\xFF".as_slice();
    let row = b"I\0\0\0\x01N\0\x01n".as_slice();
    let wide = b"I\0\0\0\x01N\0\x02nn".as_slice();
    let wide_key = b"U\0\0\0\x01K\0\x02nnN\0\x01n".as_slice();
    let truncate = b"T\0\0\0\x02\0\0\0\0\x01\0\0\0\x02".as_slice();
    let alone = b"M\0\0\0\0\0\0\0\0\x01p\0\0\0\0\0".as_slice();
    let inside = b"M\x01\0\0\0\0\0\0\0\x01p\0\0\0\0\0".as_slice();

    for fine in [
        [begin, origin, relation, row, row, commit].as_slice(),
        &[
            relation, alone, begin, alone, inside, row, relation, row, commit, begin,
        ],
    ] {
        assert_eq!(outcome(fine), Ok(()));
    }
    for (messages, error) in [
        ([row].as_slice(), "message \"I\" outside a transaction"),
        (&[inside], "message \"M\" outside a transaction"),
        (&[commit], "message \"C\" outside a transaction"),
        (&[origin], "message \"O\" outside a transaction"),
        (&[truncate], "message \"T\" outside a transaction"),
        (
            &[begin, commit, commit],
            "message \"C\" outside a transaction",
        ),
        (
            &[begin, begin],
            "transaction 0/5 begins inside transaction 0/5",
        ),
        (
            &[begin, elsewhere],
            "transaction 0/5 ends with a commit at 0/4",
        ),
        (&[begin, early], "commit at 0/5 ends before it, at 0/4"),
        (&[begin, row], "relation 1 was not announced"),
        (&[begin, relation, truncate], "relation 2 was not announced"),
        (
            &[begin, relation, wide],
            "row of relation 1 has 2 columns, expected 1",
        ),
        (
            &[begin, relation, wide_key],
            "row of relation 1 has 2 columns, expected 1",
        ),
        (
            &[begin, relation, row, origin],
            "origin named after the first change of transaction 0/5",
        ),
    ] {
        assert_eq!(outcome(messages).unwrap_err().to_string(), error);
    }
}

#[test]
fn a_relation_announced_again_must_be_bound_again() {
    let relation = b"R\0\0\0\x01\0t\0d\0\0".as_slice();
    let begin = b"B\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\x01".as_slice();
    let mut reader = Reader::new();
    let Ok(Step::Relation(header)) = reader.step(decode(relation).unwrap()) else {
        panic!("no relation");
    };
    let bound = header.into_relation(vec![]);
    assert_eq!(bound.name.to_string(), "pg_catalog.t");
    reader.bind(bound);
    reader.step(decode(begin).unwrap()).unwrap();
    assert!(reader.relation(1).is_some());
    reader.step(decode(relation).unwrap()).unwrap();
    assert_eq!(
        reader
            .step(decode(b"I\0\0\0\x01N\0\0").unwrap())
            .unwrap_err(),
        DecodeError::UnknownRelation(1)
    );
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(
        tag in prop::sample::select(b"BCORYIUDTMSEwk".to_vec()),
        rest in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut bytes = vec![tag];
        bytes.extend(rest);
        if let Ok(message) = decode(&bytes) {
            read_all(&message);
        }
        let _ = Frame::parse(&bytes);
    }

    #[test]
    fn recorded_messages_with_a_byte_changed_do_no_harm(
        message in prop::sample::select(recorded_messages()),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = message;
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(message) = decode(&bytes) {
            read_all(&message);
        }
    }
}
