//! A model of Postgres: sessions that write side by side, WAL, a slot, a walsender.
//!
//! ```text
//! session 1  --r-----r--r---C           rows take their LSNs as they are written,
//! session 2  ----r-C                    transactions their order when they commit
//! session 3  -------r--m---x            one that rolls back is never sent, save for its
//!                                       messages that are not transactional
//! ```

use std::rc::Rc;

use fastrand::Rng;
use walhook::change::{Operation, ReplicaIdentity};
use walhook::lsn::Lsn;

use super::setup::{ORIGIN, PREFIX, Setup, TABLES};
use super::wire::{Bytes, data, keepalive};

const SESSIONS: usize = 4;
/// Few, so that rows meet.
const IDS: u64 = 6;

/// One change of one row.
#[derive(Clone, Debug)]
pub struct Row {
    pub table: usize,
    pub operation: Operation,
    /// The row's LSN: what one COPY writes shares it.
    pub lsn: Lsn,
    pub old_id: u64,
    pub new_id: u64,
    /// Another number for every change.
    pub n: u64,
    pub note_bytes: usize,
}

#[derive(Clone, Debug)]
pub enum Written {
    Row(Row),
    /// `pg_logical_emit_message(true, ..)`: it takes an ordinal.
    Message(Message),
}

/// A logical message. Its LSN is where its record ends.
#[derive(Clone, Debug)]
pub struct Message {
    begins: Lsn,
    pub lsn: Lsn,
    /// One that no rule wants has another.
    pub prefix: &'static str,
    /// Another number for every change.
    pub n: u64,
}

impl Message {
    pub fn content(&self) -> String {
        format!("{{\"n\":{}}}", self.n)
    }
}

/// What the walsender sends whole, in the order of the WAL.
#[derive(Clone, Debug)]
pub enum Sent {
    Transaction(Rc<Transaction>),
    /// Not transactional.
    Message(Rc<Message>),
}

impl Sent {
    /// Where the record begins that is decoded when it is sent.
    fn begins(&self) -> Lsn {
        match self {
            Sent::Transaction(transaction) => transaction.commit_lsn,
            Sent::Message(message) => message.begins,
        }
    }
}

#[derive(Debug)]
pub struct Transaction {
    pub xid: u32,
    pub commit_lsn: Lsn,
    pub end_lsn: Lsn,
    pub commit_time_us: i64,
    pub origin: bool,
    pub written: Vec<Written>,
}

pub struct Database {
    /// The end of the WAL.
    pub flush: Lsn,
    pub sent: Vec<Sent>,
    sessions: Vec<Vec<Written>>,
    next_xid: u32,
    next_n: u64,
    /// Commit times need not be in the order of commits.
    clock_us: i64,
    pub slot: Option<Slot>,
}

pub struct Slot {
    pub confirmed: Lsn,
    /// What is left of it after a crash of the server.
    on_disk: Lsn,
}

impl Database {
    pub fn new(rng: &mut Rng) -> Self {
        Database {
            flush: Lsn(rng.u64(1_000..1 << 33)),
            sent: Vec::new(),
            sessions: vec![Vec::new(); SESSIONS],
            next_xid: 700,
            next_n: 1,
            clock_us: 800_000_000_000_000,
            slot: None,
        }
    }

    fn record(&mut self, bytes: u64) -> Lsn {
        let lsn = self.flush;
        self.flush.0 += bytes;
        lsn
    }

    fn message(&mut self, rng: &mut Rng) -> Message {
        let begins = self.record(rng.u64(40..90));
        self.next_n += 1;
        Message {
            begins,
            lsn: self.flush,
            prefix: if rng.u8(..4) == 0 { "other" } else { PREFIX },
            n: self.next_n,
        }
    }

    /// A session does something. What is owed from then on.
    pub fn work(&mut self, rng: &mut Rng, setup: &Setup) -> Option<Sent> {
        let session = rng.usize(..SESSIONS);
        match rng.u8(..22) {
            0..=10 => self.write(rng, setup, session),
            11 => {
                let lsn = self.record(80);
                let (table, note_bytes) = ([0, 2][rng.usize(..2)], 0);
                for _ in 0..rng.usize(2..8) {
                    let row = self.row(rng, table, Operation::Insert, lsn, note_bytes);
                    self.sessions[session].push(Written::Row(row));
                }
            }
            12 => {
                let message = self.message(rng);
                self.sessions[session].push(Written::Message(message));
            }
            13 => {
                self.record(40);
                self.sessions[session].clear();
            }
            // Other databases, other tables.
            14 => {
                self.record(rng.u64(8..9_000));
            }
            15 | 16 => {
                let message = Rc::new(self.message(rng));
                let sent = Sent::Message(message);
                self.sent.push(sent.clone());
                return self.slot.is_some().then_some(sent);
            }
            _ => return self.commit(rng, setup, session),
        }
        None
    }

    fn write(&mut self, rng: &mut Rng, setup: &Setup, session: usize) {
        let table = [0, 0, 0, 1, 1, 2, 3][rng.usize(..7)];
        let operations = TABLES[table].operations;
        let operation = operations[rng.usize(..operations.len())];
        let note_bytes = if rng.u64(..).is_multiple_of(setup.note_every) {
            rng.usize(1..=setup.note_bytes.max(1))
        } else {
            0
        };
        let lsn = self.record(rng.u64(30..200));
        let row = self.row(rng, table, operation, lsn, note_bytes);
        self.sessions[session].push(Written::Row(row));
    }

    fn row(
        &mut self,
        rng: &mut Rng,
        table: usize,
        operation: Operation,
        lsn: Lsn,
        note_bytes: usize,
    ) -> Row {
        let n = self.next_n;
        self.next_n += 1;
        let old_id = rng.u64(..IDS);
        let moves = operation == Operation::Update && rng.u8(..3) == 0;
        Row {
            table,
            operation,
            lsn,
            old_id,
            new_id: if moves { rng.u64(..IDS) } else { old_id },
            n,
            note_bytes,
        }
    }

    fn commit(&mut self, rng: &mut Rng, setup: &Setup, session: usize) -> Option<Sent> {
        let written = std::mem::take(&mut self.sessions[session]);
        let commit_lsn = self.record(rng.u64(34..90));
        self.next_xid += 1;
        if written.is_empty() && !setup.sends_empty {
            return None;
        }
        self.clock_us += rng.i64(-50..1_000_000);
        let sent = Sent::Transaction(Rc::new(Transaction {
            xid: self.next_xid,
            commit_lsn,
            end_lsn: self.flush,
            commit_time_us: self.clock_us,
            origin: rng.u8(..8) == 0,
            written,
        }));
        self.sent.push(sent.clone());
        self.slot.is_some().then_some(sent)
    }

    /// All sessions commit.
    pub fn commit_all(&mut self, rng: &mut Rng, setup: &Setup) -> Vec<Sent> {
        (0..SESSIONS)
            .filter_map(|session| self.commit(rng, setup, session))
            .collect()
    }

    /// The server's checkpoint writes the slot.
    pub fn persist_slot(&mut self) {
        if let Some(slot) = &mut self.slot {
            slot.on_disk = slot.confirmed;
        }
    }

    /// It waits for every open transaction: here they roll back. What was committed
    /// before is nobody's.
    pub fn create_slot(&mut self) -> Lsn {
        self.sessions.iter_mut().for_each(Vec::clear);
        let confirmed = self.flush;
        self.slot = Some(Slot {
            confirmed,
            on_disk: confirmed,
        });
        confirmed
    }

    /// What was not committed is gone, and the slot is where it was written last.
    pub fn crash(&mut self) {
        self.sessions.iter_mut().for_each(Vec::clear);
        self.record(120);
        if let Some(slot) = &mut self.slot {
            slot.confirmed = slot.on_disk;
        }
    }

    /// START_REPLICATION, answered with where it begins.
    pub fn start(&self, asked: Lsn) -> (Walsender, Lsn) {
        let from = self.slot.as_ref().unwrap().confirmed.max(asked);
        let next = self.sent.partition_point(|sent| sent.begins() < from);
        let sender = Walsender {
            next,
            part: 0,
            announced: Vec::new(),
            sent: from,
        };
        (sender, from)
    }
}

/// A walsender, and how far it is.
pub struct Walsender {
    next: usize,
    /// Of the messages of that transaction; 0: its BEGIN.
    part: usize,
    announced: Vec<usize>,
    sent: Lsn,
}

impl Walsender {
    /// In the middle of a transaction.
    pub fn is_inside(&self) -> bool {
        self.part > 0
    }

    pub fn has_more(&self, database: &Database) -> bool {
        self.next < database.sent.len()
    }

    /// A keepalive: what was decoded so far, and inside of a transaction the worst that
    /// a server could say.
    pub fn keepalive(&mut self, database: &Database, rng: &mut Rng) -> Vec<u8> {
        let up_to = match database.sent.get(self.next) {
            Some(Sent::Transaction(open)) if self.part > 0 => open.end_lsn,
            Some(next) => next.begins(),
            None => database.flush,
        };
        let at = match rng.u8(..3) {
            0 => self.sent,
            1 => up_to,
            _ => Lsn(rng.u64(self.sent.0..=up_to.0.max(self.sent.0))),
        };
        if self.part == 0 {
            self.sent = self.sent.max(at);
        }
        keepalive(at)
    }

    /// All that there was is decoded.
    pub fn last_keepalive(&mut self, database: &Database) -> Vec<u8> {
        self.sent = database.flush;
        keepalive(self.sent)
    }

    /// The next message of the stream.
    pub fn message(&mut self, database: &Database) -> Option<Vec<u8>> {
        let transaction = match database.sent.get(self.next)? {
            Sent::Transaction(transaction) => Rc::clone(transaction),
            // It stands alone, also if its transaction rolled back.
            Sent::Message(it) => {
                self.next += 1;
                self.sent = it.lsn;
                return Some(data(it.lsn, message(it, 0)));
            }
        };
        let part = self.part;
        if part == 0 {
            self.part = 1;
            return Some(data(transaction.commit_lsn, begin(&transaction)));
        }
        if part == 1 && transaction.origin {
            self.part = 2;
            let origin = Bytes::of(b'O').u64(5).text(ORIGIN).done();
            return Some(data(Lsn::ZERO, origin));
        }
        let first = 1 + usize::from(transaction.origin);
        let Some(written) = transaction.written.get(part - first) else {
            self.part = 0;
            self.next += 1;
            self.sent = transaction.end_lsn;
            return Some(data(transaction.end_lsn, commit(&transaction)));
        };
        if let Written::Row(row) = written
            && !self.announced.contains(&row.table)
        {
            self.announced.push(row.table);
            return Some(data(Lsn::ZERO, relation(row.table)));
        }
        self.part += 1;
        Some(match written {
            Written::Row(row) => data(row.lsn, change(row)),
            Written::Message(it) => data(it.lsn, message(it, 1)),
        })
    }

    /// A relation may be announced again at any time: its cache entry was dropped.
    pub fn forget_relations(&mut self) {
        self.announced.clear();
    }
}

fn begin(transaction: &Transaction) -> Vec<u8> {
    Bytes::of(b'B')
        .lsn(transaction.commit_lsn)
        .i64(transaction.commit_time_us)
        .u32(transaction.xid)
        .done()
}

fn commit(transaction: &Transaction) -> Vec<u8> {
    Bytes::of(b'C')
        .u8(0)
        .lsn(transaction.commit_lsn)
        .lsn(transaction.end_lsn)
        .i64(transaction.commit_time_us)
        .done()
}

fn message(message: &Message, flags: u8) -> Vec<u8> {
    Bytes::of(b'M')
        .u8(flags)
        .lsn(message.lsn)
        .text(message.prefix)
        .sized(message.content().as_bytes())
        .done()
}

fn relation(table: usize) -> Vec<u8> {
    let table = &TABLES[table];
    let full = table.identity == ReplicaIdentity::Full;
    let mut bytes = Bytes::of(b'R')
        .u32(table.oid)
        .text("public")
        .text(table.name)
        .u8(if full { b'f' } else { b'd' })
        .u16(3);
    for (place, (column, type_oid)) in [("id", 20), ("n", 20), ("note", 25)].iter().enumerate() {
        let in_identity = full || place == 0 && table.has_key;
        bytes = bytes
            .u8(u8::from(in_identity))
            .text(column)
            .u32(*type_oid)
            .u32(u32::MAX);
    }
    bytes.done()
}

fn change(row: &Row) -> Vec<u8> {
    let table = &TABLES[row.table];
    let full = table.identity == ReplicaIdentity::Full;
    let (old_id, new_id, n) = (
        row.old_id.to_string(),
        row.new_id.to_string(),
        row.n.to_string(),
    );
    let note = "x".repeat(row.note_bytes);
    let new = [Some(new_id.as_str()), Some(n.as_str()), Some(note.as_str())];
    let old_key = [Some(old_id.as_str()), None, None];
    let old_full = [Some(old_id.as_str()), Some("0"), None];
    let old = |bytes: Bytes| {
        if full {
            bytes.u8(b'O').tuple(&old_full)
        } else {
            bytes.u8(b'K').tuple(&old_key)
        }
    };
    match row.operation {
        Operation::Insert => Bytes::of(b'I').u32(table.oid).u8(b'N').tuple(&new).done(),
        Operation::Update => {
            let bytes = Bytes::of(b'U').u32(table.oid);
            let bytes = if full || row.old_id != row.new_id {
                old(bytes)
            } else {
                bytes
            };
            bytes.u8(b'N').tuple(&new).done()
        }
        Operation::Delete => old(Bytes::of(b'D').u32(table.oid)).done(),
        Operation::Truncate => Bytes::of(b'T').u32(1).u8(0).u32(table.oid).done(),
        Operation::Message => unreachable!("no row is a message"),
    }
}
