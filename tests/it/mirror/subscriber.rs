//! A subscriber that keeps a copy: takes what a receiver got, each event once, in commit order.

use std::collections::HashMap;

use super::LONG;
use super::copy::{Applied, Copy};
use super::source;
use crate::harness::daemon::Builder;
use crate::harness::receiver::Event;
use crate::harness::{Daemon, Database, Receiver};

/// Everything of these tables in commit order, and the messages that the copy needs.
pub const OPTIONS: &str = "order: endpoint\nbatch: { events: 200, wait: 5ms }";
pub const MESSAGES: &str = "messages: { 'mirror.*': { to: r, events: '{prefix}' } }";
pub const ALL: &str =
    "to: r\nevents: { insert: made, update: changed, delete: gone, truncate: emptied }";
pub const INSERTS: &str = "to: r\nevents: { insert: made, truncate: emptied }";

/// A daemon with the endpoint `r`, to which all of these go.
pub fn daemon(db: &Database, receiver: &Receiver, tables: &[(&str, &str)]) -> Builder {
    let daemon = Daemon::of(db)
        .endpoint_with("r", receiver, OPTIONS)
        .top(MESSAGES);
    let entries = tables.iter();
    entries.fold(daemon, |daemon, (name, entry)| daemon.table(name, entry))
}

/// Shows what came of a table before the event that does not fit, when that ends the test.
struct Telling<'a>(&'a [Event], &'a Event);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let of_table =
                |event: &&Event| event.table == self.1.table || event.operation == "message";
            let before: Vec<_> = self.0.iter().filter(of_table).collect();
            for event in &before[before.len().saturating_sub(60)..] {
                eprintln!("---- {}", event.text.chars().take(600).collect::<String>());
            }
        }
    }
}

pub struct Subscriber {
    pub copy: Copy,
    /// Bodies by id: what comes again comes as the same bytes.
    seen: HashMap<String, Event>,
    /// Of the receiver's events.
    taken: usize,
    last: (u64, u64),
    marks: u64,
}

impl Subscriber {
    pub async fn new(db: &Database) -> Subscriber {
        Subscriber {
            copy: source::empty_copy(db).await,
            seen: HashMap::new(),
            taken: 0,
            last: (0, 0),
            marks: 0,
        }
    }

    /// What came since the last time. `applied` is called for each event with its commit LSN.
    pub fn take(&mut self, events: &[Event], mut applied: impl FnMut(u64, Applied)) {
        for (at, event) in events.iter().enumerate().skip(self.taken) {
            let text = &event.text;
            if let Some(first) = self.seen.insert(event.id.clone(), Event::clone(event)) {
                assert_eq!(first.text, *text, "one id, two bodies");
                continue;
            }
            assert!(self.last <= event.position, "overtaken: {text}");
            self.last = event.position;
            if event.kind != "mirror.mark" {
                let telling = Telling(&events[..=at], event);
                let change = self.copy.apply(text);
                drop(telling);
                applied(event.position.0, change);
            }
        }
        self.taken = events.len();
    }

    /// Waits until all that is committed now is there, while nobody writes.
    pub async fn wait(&mut self, db: &Database, receiver: &Receiver) -> Vec<Event> {
        self.marks += 1;
        let mark = format!("\"mark {}\"", self.marks);
        let sql = format!("SELECT pg_logical_emit_message(true, 'mirror.mark', '{mark}')");
        db.sql(&sql).await;
        let is_last = |events: &[Event]| {
            let last = events.last();
            last.is_some_and(|last| last.kind == "mirror.mark" && last.text.contains(&mark))
        };
        receiver.wait_until(is_last, LONG).await
    }

    /// The same, and the copy equals the source then. Says of how many rows.
    pub async fn catches_up(&mut self, db: &Database, receiver: &Receiver) -> usize {
        let events = self.wait(db, receiver).await;
        self.take(&events, |_, _| {});
        source::assert_equal(db, &self.copy).await
    }

    /// Events, each once.
    pub fn count(&self) -> usize {
        self.seen.len()
    }
}
