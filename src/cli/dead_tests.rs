//! The commands against a state file, with no daemon.

use clap::Parser;

use super::super::failure;
use super::*;
use crate::change::{Operation, TableName};
use crate::event::{EventId, Fate, Keys, Position};
use crate::lsn::Lsn;
use crate::store::{DeadReason, NewDeadLetter, StateLock, Store, StoreError, StoredEvent, Verdict};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    dead: DeadArgs,
}

fn dead(state: &Path, line: &str) -> anyhow::Result<Exit> {
    let words = std::iter::once("dead").chain(line.split(' '));
    run(&Cli::try_parse_from(words)?.dead, state)
}

fn letter(number: u32) -> NewDeadLetter {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    NewDeadLetter {
        endpoint: "billing".into(),
        lane: "table public.orders".into(),
        event: StoredEvent {
            id: EventId(id),
            event_type: "order.paid".into(),
            table: TableName::new("public", "orders").into(),
            operation: Operation::Insert,
            position: Position::start_of(Lsn(0x16_B374_D848)),
            last_of_change: true,
            keys: Keys::All,
            fate: Fate::Deliver,
            commit_time_us: 0,
            body: "{\"id\":\"\u{9b}31m\"}".into(),
        },
        verdict: Verdict {
            reason: DeadReason::Expired,
            parked_at_ms: 1_700_000_000_000,
            first_attempt_at_ms: Some(1_699_000_000_000),
            attempts: 17,
            last_status: Some(500),
            last_error: Some("status 500".into()),
            answer: b"\x1b[2J\xFF<html>".to_vec(),
        },
    }
}

fn state_with(count: u32) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state.db");
    let mut store = open(&state);
    store
        .park("walhook", (0..count).map(letter).collect(), vec![])
        .unwrap();
    (directory, state)
}

fn open(state: &Path) -> Store {
    Store::open(StateLock::acquire(state).unwrap()).unwrap()
}

fn amounts(state: &Path) -> (u64, u64) {
    let counts = open(state).counts("walhook").unwrap();
    (counts[0].dead.events, counts[0].retrying.events)
}

#[test]
fn letters_are_retried_and_dropped_in_steps() {
    let count = LETTERS_A_REQUEST + 10;
    let (_directory, state) = state_with(count);
    let count = u64::from(count);
    dead(&state, "retry --endpoint billing --limit 3").unwrap();
    assert_eq!(amounts(&state), (count - 3, 3));
    dead(&state, "retry --all").unwrap();
    assert_eq!(amounts(&state), (0, count));
    dead(&state, "drop --table orders --limit 5005").unwrap();
    assert_eq!(amounts(&state), (0, count - 5005));
    dead(&state, "drop --all --json").unwrap();
    assert_eq!(amounts(&state), (0, 0));
    dead(&state, "drop --all").unwrap();
}

#[test]
fn a_change_of_all_must_be_said() {
    let (_directory, state) = state_with(2);
    for line in ["retry", "drop", "drop --limit 1", "retry --id 1 --all"] {
        let error = dead(&state, line).unwrap_err();
        assert!(error.to_string().contains("--all"), "{line}: {error}");
        assert_eq!(failure::exit(&error), Exit::Failed);
    }
    assert_eq!(amounts(&state), (2, 0));
}

#[test]
fn letters_are_listed_and_shown() {
    let (_directory, state) = state_with(450);
    for line in [
        "list",
        "list --json --limit 201",
        "show 1",
        "show 450 --json",
    ] {
        assert_eq!(dead(&state, line).unwrap(), Exit::Done, "{line}");
    }
    assert!(dead(&state, "show 451").is_err());
}

#[test]
fn what_a_receiver_said_does_nothing_to_the_terminal() {
    let (_directory, state) = state_with(1);
    let letter = open(&state).dead_show(1, 0).unwrap().unwrap();
    insta::assert_snapshot!(letters_table(std::slice::from_ref(&letter.summary), true), @r"
    ID  PARKED                ENDPOINT  TYPE        TABLE          LSN          STATE  REASON   ATTEMPTS  STATUS  ERROR
    1   2023-11-14T22:13:20Z  billing   order.paid  public.orders  16/B374D848  dead   expired  17        500     status 500
    ");
    insta::assert_snapshot!(letter_text(&letter), @r#"
    dead letter  1 (dead)
    event        evt_00000000000000000000000000000000
    type         order.paid
    endpoint     billing
    table        public.orders
    operation    insert
    committed    2000-01-01T00:00:00Z
    position     16/B374D848 change 0 event 0
    slot         walhook
    lane         table public.orders
    parked       2023-11-14T22:13:20Z
    reason       expired
    attempts     17, the first at 2023-11-03T08:26:40Z
    status       500
    error        status 500
    answer       \u{1b}[2J�<html>
    body         14 B

    {"id":"\u{9b}31m"}
    "#);
}

#[test]
fn a_state_that_is_not_there_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let error = dead(&directory.path().join("state.db"), "list").unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_lock_that_is_held_without_a_socket_is_for_a_person() {
    let (_directory, state) = state_with(1);
    let _hung = open(&state);
    let error = dead(&state, "list").unwrap_err();
    assert_eq!(failure::exit(&error), Exit::Definite);
    assert!(failure::hint(&error).is_some());
    let locked = error.downcast_ref::<StoreError>();
    assert!(matches!(locked, Some(StoreError::Locked { .. })));
}

#[test]
fn a_daemon_is_asked_when_one_runs() {
    let (_directory, state) = state_with(2);
    let mut store = open(&state);
    let files = crate::store::StateFiles::at(&state).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(files.socket().unwrap()).unwrap();
    let daemon = std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Write};
        let (stream, _) = socket.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        let request = serde_json::from_str(&line).unwrap();
        let response = crate::telemetry::control::execute(&mut store, &request, 0).unwrap();
        let line = serde_json::to_string(&response).unwrap();
        (&stream).write_all(format!("{line}\n").as_bytes()).unwrap();
    });
    dead(&state, "drop --id 2").unwrap();
    daemon.join().unwrap();
    assert_eq!(amounts(&state), (1, 0));
}
