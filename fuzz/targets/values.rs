//! Any text as a value of any type makes JSON or nothing.

#![no_main]

use std::cell::OnceCell;

use libfuzzer_sys::fuzz_target;
use walhook::pgoutput::value::{Encoder, Fidelity};
use walhook_fuzz::{Input, is_json, types};

const PAIRS: &str = include_str!("../../src/pgoutput/testdata/values.tsv");

struct Known {
    encoders: Vec<(u32, Encoder)>,
    texts: Vec<String>,
}

thread_local! {
    static KNOWN: OnceCell<Known> = const { OnceCell::new() };
}

fn known() -> Known {
    let (types, oids) = types::types();
    let text = |line: &str| {
        let text = line.split('\t').nth(1).expect("a text");
        serde_json::from_str(text).expect("a JSON string")
    };
    Known {
        encoders: oids
            .into_iter()
            .map(|oid| (oid, Encoder::new(oid, &types)))
            .collect(),
        texts: PAIRS.lines().map(text).collect(),
    }
}

fuzz_target!(|data: &[u8]| {
    KNOWN.with(|cell| try_one(cell.get_or_init(known), &mut Input(data)));
});

fn try_one(known: &Known, input: &mut Input<'_>) {
    let (oid, encoder) = input.pick(&known.encoders);
    let text = match input.byte() {
        0..128 => input.rest().to_vec(),
        _ => {
            let base = input.pick(&known.texts).clone();
            input.edited(base.as_bytes())
        }
    };
    let mut json = b"before".to_vec();
    let written = encoder.write(&text, &mut json);
    let appended = json.strip_prefix(b"before").expect("what was there before");
    match written {
        Err(_) => assert!(appended.is_empty(), "of a misfit nothing stays"),
        Ok(fidelity) => {
            assert!(
                std::str::from_utf8(appended).is_ok(),
                "type {oid}: no UTF-8"
            );
            assert!(
                types::is_trusted(*oid) || is_json(appended),
                "type {oid}: no JSON"
            );
            assert!(
                fidelity == Fidelity::Exact || std::str::from_utf8(&text).is_err(),
                "type {oid}: what is UTF-8 loses nothing"
            );
        }
    }
}
