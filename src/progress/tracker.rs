//! The tracker: the ledger and what goes into the state file with it, under one lock.
//!
//! The reader tells it what was read, the endpoints what is settled, and the
//! checkpoint task takes what has changed since the last time. One lock over all of
//! it means that a checkpoint and the positions beside it are of the same moment.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ledger::{Ledger, LedgerError};
use crate::change::TableName;
use crate::event::{EndpointIndex, Position};
use crate::lsn::Lsn;

/// How many transactions the journal keeps.
pub const JOURNAL_LENGTH: usize = 64;

/// A lane's place, with what its head has been through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanePlace {
    pub endpoint: EndpointIndex,
    pub lane: Arc<str>,
    pub position: Position,
    pub attempts: u32,
    pub first_attempt_unix_ms: Option<i64>,
}

/// How much of what a lane has on disk is settled: all before `sequence`, and of that
/// run `settled` entries from its front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskPlace {
    pub endpoint: EndpointIndex,
    pub lane: Arc<str>,
    pub sequence: i64,
    pub settled: u32,
    pub entries_left: u32,
    pub events_left: u32,
    /// Of their bodies.
    pub bytes_left: u64,
    pub attempts: u32,
    pub first_attempt_unix_ms: Option<i64>,
}

/// Events that a disabled endpoint never gets, since it was disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    pub endpoint: EndpointIndex,
    /// Commit LSN of the first, and of the last.
    pub from: Lsn,
    pub to: Lsn,
    pub events: u64,
}

/// What tells a table's rows apart, from some place in the WAL on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyKnown {
    pub table: Arc<TableName>,
    pub hash: u64,
    /// Below it places may have been kept by another key.
    pub from: Lsn,
}

/// Events were settled, or lanes moved.
#[derive(Clone, Debug, Default)]
pub struct Advance {
    /// In runs of (commit LSN, count).
    pub settled: Vec<(Lsn, u64)>,
    pub places: Vec<LanePlace>,
    pub on_disk: Vec<DiskPlace>,
}

/// What is read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadKind {
    /// A message that is not transactional. It comes before a transaction with its LSN.
    Message,
    Transaction,
}

/// A transaction that was read to its end, or a message that is not transactional.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadTransaction {
    pub kind: ReadKind,
    /// Of a message where its record ends.
    pub commit_lsn: Lsn,
    /// Of a message a hash of it, by which it is known again.
    pub xid: u32,
    /// Microseconds since 2000-01-01 UTC; 0 of a message.
    pub commit_time_us: i64,
}

impl ReadTransaction {
    pub fn message(lsn: Lsn, hash: u32) -> Self {
        ReadTransaction {
            kind: ReadKind::Message,
            commit_lsn: lsn,
            xid: hash,
            commit_time_us: 0,
        }
    }

    /// What the stream is in the order of.
    pub fn place(&self) -> (Lsn, ReadKind) {
        (self.commit_lsn, self.kind)
    }

    /// A checkpoint or a start at `lsn` is behind it: what begins there is not.
    pub fn is_below(&self, lsn: Lsn) -> bool {
        self.place() < (lsn, ReadKind::Transaction)
    }
}

impl fmt::Display for ReadTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lsn = self.commit_lsn;
        match self.kind {
            ReadKind::Message => write!(f, "a message that ends at {lsn}"),
            ReadKind::Transaction => {
                write!(f, "transaction {} that commits at {lsn}", self.xid)
            }
        }
    }
}

/// What is to be made durable, in one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsaved {
    /// Higher than the one taken before, if any.
    pub checkpoint: Option<Lsn>,
    pub places: Vec<LanePlace>,
    pub on_disk: Vec<DiskPlace>,
    pub missed: Vec<Missed>,
    /// Of which all places that were kept by another key are below the checkpoint.
    pub keys: Vec<KeyKnown>,
    /// In the order of commit LSNs: all since the last time that are below the
    /// checkpoint, and of those above it the ones that `places` stand in.
    pub transactions: Vec<ReadTransaction>,
}

impl Unsaved {
    pub fn is_empty(&self) -> bool {
        self.checkpoint.is_none()
            && self.places.is_empty()
            && self.on_disk.is_empty()
            && self.missed.is_empty()
            && self.keys.is_empty()
    }
}

/// Shared by the reader, the endpoints and the checkpoint task.
#[derive(Debug)]
pub struct Tracker {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    ledger: Ledger,
    /// The checkpoint that was taken last.
    taken: Lsn,
    places: HashMap<(EndpointIndex, Arc<str>), LanePlace>,
    on_disk: HashMap<(EndpointIndex, Arc<str>), DiskPlace>,
    missed: HashMap<EndpointIndex, Missed>,
    missed_since: Vec<EndpointIndex>,
    keys: Vec<KeyKnown>,
    read: std::collections::VecDeque<ReadTransaction>,
    /// Its COMMIT was not read yet.
    being_read: Option<ReadTransaction>,
}

impl Tracker {
    pub fn new(checkpoint: Lsn) -> Self {
        Tracker {
            inner: Mutex::new(Inner {
                ledger: Ledger::new(checkpoint),
                taken: checkpoint,
                places: HashMap::new(),
                on_disk: HashMap::new(),
                missed: HashMap::new(),
                missed_since: Vec::new(),
                keys: Vec::new(),
                read: std::collections::VecDeque::new(),
                being_read: None,
            }),
        }
    }

    pub fn begin(&self, transaction: ReadTransaction) -> Result<(), LedgerError> {
        let mut inner = self.lock();
        inner.ledger.begin(transaction.commit_lsn)?;
        inner.being_read = Some(transaction);
        Ok(())
    }

    pub fn wanted(&self, events: u64) -> Result<(), LedgerError> {
        self.lock().ledger.wanted(events)
    }

    pub fn commit(&self, end_lsn: Lsn) -> Result<(), LedgerError> {
        let mut inner = self.lock();
        inner.ledger.commit(end_lsn)?;
        let transaction = inner.being_read.take();
        inner.read.extend(transaction);
        inner.forget();
        Ok(())
    }

    /// A message that is not transactional, with `events` events that are wanted.
    pub fn message(&self, message: ReadTransaction, events: u64) -> Result<(), LedgerError> {
        let mut inner = self.lock();
        inner.ledger.message(message.commit_lsn, events)?;
        inner.read.push_back(message);
        inner.forget();
        Ok(())
    }

    pub fn idle(&self, wal_end: Lsn) {
        self.lock().ledger.idle(wal_end);
    }

    pub fn advance(&self, advance: Advance) {
        let mut inner = self.lock();
        for (commit_lsn, events) in advance.settled {
            inner.ledger.settled(commit_lsn, events);
        }
        for place in advance.places {
            let key = (place.endpoint, Arc::clone(&place.lane));
            inner.places.insert(key, place);
        }
        for place in advance.on_disk {
            let key = (place.endpoint, Arc::clone(&place.lane));
            inner.on_disk.insert(key, place);
        }
    }

    /// `events` events of the transaction at `commit_lsn` are not for this endpoint any
    /// more: they are settled, and on record with the next checkpoint.
    pub fn missed(&self, endpoint: EndpointIndex, commit_lsn: Lsn, events: u64) {
        let mut inner = self.lock();
        inner.ledger.settled(commit_lsn, events);
        let missed = inner.missed.entry(endpoint).or_insert(Missed {
            endpoint,
            from: commit_lsn,
            to: commit_lsn,
            events: 0,
        });
        missed.to = missed.to.max(commit_lsn);
        missed.events += events;
        if !inner.missed_since.contains(&endpoint) {
            inner.missed_since.push(endpoint);
        }
    }

    /// The endpoint gets its events again: what it misses later is another gap.
    pub fn misses_no_more(&self, endpoint: EndpointIndex) {
        let mut inner = self.lock();
        if !inner.missed_since.contains(&endpoint) {
            inner.missed.remove(&endpoint);
        }
    }

    /// A table's rows are told apart by another key than is on record.
    pub fn key_known(&self, key: KeyKnown) {
        let mut inner = self.lock();
        inner.keys.retain(|known| known.table != key.table);
        inner.keys.push(key);
    }

    pub fn nothing_open(&self) -> bool {
        self.lock().ledger.nothing_open()
    }

    /// All before it may be made durable and confirmed.
    pub fn confirmable(&self) -> Lsn {
        self.lock().ledger.confirmable()
    }

    /// Nothing has changed since the last [`Tracker::take_unsaved`] but the position
    /// of keepalives.
    pub fn only_idle(&self) -> bool {
        let inner = self.lock();
        inner.places.is_empty()
            && inner.on_disk.is_empty()
            && inner.missed_since.is_empty()
            && inner.read.is_empty()
    }

    /// Takes what has changed since the last call.
    pub fn take_unsaved(&self) -> Unsaved {
        let mut inner = self.lock();
        let confirmable = inner.ledger.confirmable();
        let checkpoint = (confirmable > inner.taken).then_some(confirmable);
        inner.taken = confirmable;
        let missed = std::mem::take(&mut inner.missed_since);
        let of_now = |key: &mut KeyKnown| key.from <= confirmable;
        let keys = inner.keys.extract_if(.., of_now).collect();
        let below = inner
            .read
            .partition_point(|read| read.is_below(confirmable));
        let mut transactions: Vec<_> = inner.read.drain(..below).collect();
        let places: Vec<_> = inner.places.drain().map(|(_, place)| place).collect();
        transactions.extend(inner.stood_in(&places));
        Unsaved {
            checkpoint,
            places,
            on_disk: inner.on_disk.drain().map(|(_, place)| place).collect(),
            missed: missed
                .iter()
                .filter_map(|endpoint| inner.missed.get(endpoint).copied())
                .collect(),
            keys,
            transactions,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere ends the daemon; until then the state is whole, since no
        // method stops half way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What is both older than the journal is long and below the next checkpoint
    /// would be trimmed when it is stored.
    fn forget(&mut self) {
        while self.read.len() > JOURNAL_LENGTH
            && self
                .read
                .get(JOURNAL_LENGTH)
                .is_some_and(|later| later.is_below(self.ledger.confirmable()))
        {
            self.read.pop_front();
        }
    }

    /// The transactions above the checkpoint that lanes stand in, in their order.
    fn stood_in(&self, places: &[LanePlace]) -> Vec<ReadTransaction> {
        let mut lsns: Vec<Lsn> = places.iter().map(|place| place.position.lsn).collect();
        lsns.sort_unstable();
        lsns.dedup();
        let at = |lsn: Lsn| {
            let first = self.read.partition_point(|read| read.commit_lsn < lsn);
            let read = self.read.range(first..).chain(&self.being_read);
            read.take_while(move |read| read.commit_lsn == lsn)
        };
        lsns.into_iter().flat_map(at).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tracker: &Tracker, commit_lsn: u64, events: u64) {
        tracker.begin(transaction(commit_lsn)).unwrap();
        tracker.wanted(events).unwrap();
        tracker.commit(Lsn(commit_lsn + 8)).unwrap();
    }

    fn transaction(commit_lsn: u64) -> ReadTransaction {
        ReadTransaction {
            kind: ReadKind::Transaction,
            commit_lsn: Lsn(commit_lsn),
            xid: 7,
            commit_time_us: 0,
        }
    }

    fn place(lane: &str, lsn: u64, ordinal: u64) -> LanePlace {
        LanePlace {
            endpoint: EndpointIndex(0),
            lane: lane.into(),
            position: Position {
                lsn: Lsn(lsn),
                ordinal,
                n: 0,
            },
            attempts: 0,
            first_attempt_unix_ms: None,
        }
    }

    #[test]
    fn a_transaction_that_a_lane_stands_in_goes_with_its_place() {
        let tracker = Tracker::new(Lsn::ZERO);
        read(&tracker, 100, 2);
        read(&tracker, 200, 2);
        tracker.begin(transaction(300)).unwrap();
        tracker.wanted(1).unwrap();
        settle(&tracker, 200, Some(place("a", 200, 2)));
        let unsaved = tracker.take_unsaved();
        assert_eq!(unsaved.checkpoint, None);
        assert_eq!(unsaved.transactions, [transaction(200)]);
        // Also one whose COMMIT has not come; where no lane moved there is nothing to keep.
        settle(&tracker, 300, Some(place("b", 300, 2)));
        assert_eq!(tracker.take_unsaved().transactions, [transaction(300)]);
        // Below the checkpoint all of them are kept.
        for commit_lsn in [100, 100, 200] {
            settle(&tracker, commit_lsn, None);
        }
        let below = tracker.take_unsaved().transactions;
        assert_eq!(below, [transaction(100), transaction(200)]);
    }

    fn settle(tracker: &Tracker, commit_lsn: u64, place: Option<LanePlace>) {
        tracker.advance(Advance {
            settled: vec![(Lsn(commit_lsn), 1)],
            places: place.into_iter().collect(),
            ..Advance::default()
        });
    }

    #[test]
    fn what_is_missed_is_one_gap_until_the_endpoint_gets_its_events_again() {
        let tracker = Tracker::new(Lsn::ZERO);
        let endpoint = EndpointIndex(3);
        let missed = |from, to, events| {
            let (from, to) = (Lsn(from), Lsn(to));
            vec![Missed {
                endpoint,
                from,
                to,
                events,
            }]
        };
        for commit in [100, 200, 300] {
            read(&tracker, commit, 2);
        }
        tracker.missed(endpoint, Lsn(100), 2);
        assert_eq!(tracker.take_unsaved().missed, missed(100, 100, 2));
        tracker.missed(endpoint, Lsn(200), 2);
        let unsaved = tracker.take_unsaved();
        assert_eq!(unsaved.missed, missed(100, 200, 4));
        assert_eq!(unsaved.checkpoint, Some(Lsn(208)));
        assert!(tracker.take_unsaved().is_empty());
        tracker.misses_no_more(endpoint);
        tracker.missed(endpoint, Lsn(300), 2);
        assert_eq!(tracker.take_unsaved().missed, missed(300, 300, 2));
    }

    #[test]
    fn another_key_is_on_record_once_what_was_kept_by_the_old_one_is_below_the_checkpoint() {
        let tracker = Tracker::new(Lsn(50));
        let key = |hash, from| KeyKnown {
            table: Arc::new(TableName::new("public", "orders")),
            hash,
            from: Lsn(from),
        };
        tracker.key_known(key(1, 0));
        assert_eq!(tracker.take_unsaved().keys, [key(1, 0)]);
        read(&tracker, 100, 1);
        tracker.key_known(key(2, 108));
        assert!(tracker.take_unsaved().is_empty());
        settle(&tracker, 100, None);
        assert_eq!(tracker.take_unsaved().keys, [key(2, 108)]);
        assert!(tracker.take_unsaved().is_empty());
    }

    #[test]
    fn the_journal_holds_no_transaction_above_its_checkpoint() {
        let tracker = Tracker::new(Lsn::ZERO);
        read(&tracker, 100, 1);
        read(&tracker, 200, 1);
        assert!(tracker.take_unsaved().is_empty());
        settle(&tracker, 100, None);
        let unsaved = tracker.take_unsaved();
        assert_eq!(unsaved.checkpoint, Some(Lsn(108)));
        assert_eq!(unsaved.transactions.len(), 1);
        settle(&tracker, 200, None);
        assert_eq!(tracker.take_unsaved().transactions.len(), 1);
        assert!(tracker.take_unsaved().is_empty());
    }

    #[test]
    fn a_message_at_the_checkpoint_is_below_it_and_a_commit_is_not() {
        let tracker = Tracker::new(Lsn::ZERO);
        let message = ReadTransaction::message(Lsn(100), 5);
        tracker.message(message, 1).unwrap();
        settle(&tracker, 100, None);
        read(&tracker, 100, 1);
        let unsaved = tracker.take_unsaved();
        assert_eq!(unsaved.checkpoint, Some(Lsn(100)));
        assert_eq!(unsaved.transactions, [message]);
        settle(&tracker, 100, None);
        assert_eq!(tracker.take_unsaved().transactions, [transaction(100)]);
    }

    #[test]
    fn a_message_that_a_lane_stands_in_is_saved_with_its_place() {
        let tracker = Tracker::new(Lsn::ZERO);
        read(&tracker, 100, 1);
        let message = ReadTransaction::message(Lsn(200), 5);
        tracker.message(message, 1).unwrap();
        read(&tracker, 200, 1);
        settle(&tracker, 200, Some(place("all", 200, 1)));
        let unsaved = tracker.take_unsaved();
        assert_eq!(unsaved.checkpoint, None);
        assert_eq!(unsaved.transactions, [message, transaction(200)]);
    }

    #[test]
    fn of_a_lane_only_its_last_place_is_saved() {
        let tracker = Tracker::new(Lsn::ZERO);
        read(&tracker, 100, 2);
        settle(&tracker, 100, Some(place("all", 100, 1)));
        settle(&tracker, 100, Some(place("all", 100, 2)));
        assert_eq!(tracker.take_unsaved().places, [place("all", 100, 2)]);
    }

    #[test]
    fn the_journal_does_not_grow_while_nobody_takes_it() {
        let tracker = Tracker::new(Lsn::ZERO);
        for commit in 1..1000 {
            read(&tracker, commit * 100, 0);
        }
        let unsaved = tracker.take_unsaved();
        assert!(unsaved.transactions.len() <= JOURNAL_LENGTH + 1);
        assert_eq!(unsaved.transactions.last().unwrap().commit_lsn, Lsn(99_900));
    }
}
