//! Lineage: whether what the server sends goes on from what was read.
//!
//! A cluster restored from a snapshot, or a standby that was promoted too early, has the
//! same identity and the same LSNs, and other transactions at them. What it sends again
//! gives it away: that must be what was read before.
//!
//! ```text
//!             known from             read to
//! --------------|---- x x   x ----------|-------- x ---> WAL
//!   not known   |  all that was sent    |  x: a lane stands in it
//!                    ^ start: from here the server must send all of it again
//! ```
//!
//! What holds as long as the history is the same one:
//!
//! - Transactions come in the order of their commit LSNs, and a start at LSN `s` sends
//!   each one whose commit record begins at `s` or later, whole. So one that is known and
//!   stands at or above the start comes before any later one and before a keepalive beyond
//!   it; if not, it is *absent*.
//! - What was not sent is not sent later. Which tables a publication has, and what it
//!   publishes of them, is looked up in the catalog as of the change, so a table that was
//!   added or removed since changes nothing about older WAL. Transactions without a
//!   published change are sent by version 14 (as BEGIN and COMMIT) and by no later one,
//!   the same every time; a cluster cannot change its major version and keep its identity.
//!   So a transaction between `known from` and `read to` that is not known is *unknown*.
//! - A keepalive's position is that of the last record that was decoded, and a transaction
//!   is sent while its commit record is decoded. So all below a keepalive was sent.
//! - The slot's position may go back after a crash of the server: more is sent again, and
//!   what lies below `known from` cannot be judged. It is not used either: it is a repeat.
//!
//! A message that is not transactional stands in the stream where its record ends. It is
//! sent whatever is published, whole, unless its record begins below the start; so it is
//! known, due, unknown and absent as a transaction is. It was read once its events have
//! their room: until then it comes again.
//!
//! It refuses to know of time, of the state file and of the connection.

use std::collections::VecDeque;

use super::tracker::{JOURNAL_LENGTH, ReadKind, ReadTransaction};
use crate::lsn::Lsn;

/// What was read, as far back as it is remembered.
#[derive(Debug)]
pub struct ReadHistory {
    known_from: Lsn,
    read_to: Lsn,
    /// By commit LSN.
    known: VecDeque<ReadTransaction>,
    known_max: usize,
    /// Index of the next of `known` that the server must send again.
    due: usize,
}

/// How a transaction stands to what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It was read to its end before.
    Again,
    /// It was not, or only in part.
    New,
}

/// The server's history is another one. [`OtherHistory::from`] and `read_to` are the
/// interval in which it may differ.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtherHistory {
    #[error("it sent {sent}, which it did not send when the WAL up to {read_to} was read")]
    Unknown { sent: ReadTransaction, read_to: Lsn },
    #[error(
        "at {} it sent {}", .sent.commit_lsn, in_place(.known, .sent)
    )]
    Replaced {
        known: ReadTransaction,
        sent: ReadTransaction,
        read_to: Lsn,
    },
    #[error("it did not send {known} again, which was read before")]
    Absent {
        known: ReadTransaction,
        read_to: Lsn,
    },
}

fn in_place(known: &ReadTransaction, sent: &ReadTransaction) -> String {
    let (known, xid) = match sent.kind {
        ReadKind::Message => return "another message than when it was read".to_owned(),
        ReadKind::Transaction => (known.xid, sent.xid),
    };
    if known == xid {
        format!("transaction {xid} with another commit time than when it was read")
    } else {
        format!("transaction {xid} in the place of transaction {known}")
    }
}

impl OtherHistory {
    /// Where it differs, as far as it was compared.
    pub fn from(&self) -> Lsn {
        match self {
            OtherHistory::Unknown { sent, .. } | OtherHistory::Replaced { sent, .. } => {
                sent.commit_lsn
            }
            OtherHistory::Absent { known, .. } => known.commit_lsn,
        }
    }

    /// Up to where the other history was read.
    pub fn read_to(&self) -> Lsn {
        match self {
            OtherHistory::Unknown { read_to, .. }
            | OtherHistory::Replaced { read_to, .. }
            | OtherHistory::Absent { read_to, .. } => *read_to,
        }
    }
}

impl ReadHistory {
    /// From the state file: `journal` is in the order of commit LSNs and has every
    /// transaction that was sent between `known_from` and the checkpoint.
    pub fn restored(journal: Vec<ReadTransaction>, known_from: Lsn, checkpoint: Lsn) -> Self {
        ReadHistory {
            known_from,
            read_to: checkpoint,
            known_max: journal.len().max(JOURNAL_LENGTH),
            known: journal.into(),
            due: 0,
        }
    }

    /// A stream begins that sends what commits at `start` or later.
    pub fn resume(&mut self, start: Lsn) {
        self.due = self.known.partition_point(|known| known.is_below(start));
    }

    /// BEGIN was read.
    pub fn begin(&mut self, sent: ReadTransaction) -> Result<Sent, OtherHistory> {
        let read_to = self.read_to;
        self.nothing_due_before(&sent)?;
        let at = self.place_of(&sent);
        let is_known = self.is_known(at, sent)?;
        if sent.commit_lsn >= read_to {
            if !is_known {
                self.remember(at, sent);
            }
            self.read_to = sent.commit_lsn;
            return Ok(Sent::New);
        }
        // What is older cannot be judged.
        if !is_known && self.known_from <= sent.commit_lsn {
            return Err(OtherHistory::Unknown { sent, read_to });
        }
        Ok(Sent::Again)
    }

    /// A message came that is not transactional. If it is new, it is to be given to
    /// [`ReadHistory::message_read`].
    pub fn message(&mut self, sent: ReadTransaction) -> Result<Sent, OtherHistory> {
        let (lsn, read_to) = (sent.commit_lsn, self.read_to);
        self.nothing_due_before(&sent)?;
        let is_known = self.is_known(self.place_of(&sent), sent)?;
        if lsn > read_to {
            return Ok(Sent::New);
        }
        // Its record begins below where it ends.
        if !is_known && self.known_from < lsn {
            return Err(OtherHistory::Unknown { sent, read_to });
        }
        Ok(Sent::Again)
    }

    /// Its events have their room.
    pub fn message_read(&mut self, message: ReadTransaction) {
        let at = self.place_of(&message);
        if self.known.get(at) != Some(&message) {
            self.remember(at, message);
        }
        self.read_to = self.read_to.max(message.commit_lsn);
    }

    /// COMMIT was read.
    pub fn commit(&mut self, end_lsn: Lsn) {
        self.read_to = self.read_to.max(end_lsn);
    }

    /// A keepalive came outside of a transaction: all before `wal_end` was sent.
    pub fn idle(&mut self, wal_end: Lsn) -> Result<(), OtherHistory> {
        self.due_comes_after(|known| known.is_below(wal_end))?;
        self.read_to = self.read_to.max(wal_end);
        Ok(())
    }

    /// What is remembered, by commit LSN.
    pub fn known(&self) -> impl Iterator<Item = &ReadTransaction> {
        self.known.iter()
    }

    /// All before it was read.
    pub fn read_to(&self) -> Lsn {
        self.read_to
    }

    fn place_of(&self, sent: &ReadTransaction) -> usize {
        let before = |known: &ReadTransaction| known.place() < sent.place();
        self.known.partition_point(before)
    }

    /// Whether the one at this place is known; if it is, it must be this one.
    fn is_known(&mut self, at: usize, sent: ReadTransaction) -> Result<bool, OtherHistory> {
        let place = sent.place();
        let Some(known) = self.known.get(at).filter(|known| known.place() == place) else {
            return Ok(false);
        };
        if *known != sent {
            return Err(OtherHistory::Replaced {
                known: *known,
                sent,
                // A lane may stand in it.
                read_to: self.read_to.max(Lsn(sent.commit_lsn.0 + 1)),
            });
        }
        self.due = self.due.max(at + 1);
        Ok(true)
    }

    fn nothing_due_before(&self, sent: &ReadTransaction) -> Result<(), OtherHistory> {
        self.due_comes_after(|known| known.place() < sent.place())
    }

    /// What must be sent next is not among what would have come by now.
    fn due_comes_after(
        &self,
        passed: impl Fn(&ReadTransaction) -> bool,
    ) -> Result<(), OtherHistory> {
        match self.known.get(self.due) {
            Some(known) if passed(known) => Err(OtherHistory::Absent {
                known: *known,
                read_to: self.read_to.max(Lsn(known.commit_lsn.0 + 1)),
            }),
            _ => Ok(()),
        }
    }

    fn remember(&mut self, at: usize, sent: ReadTransaction) {
        self.known.insert(at, sent);
        self.due = self.due.max(at + 1);
        while self.known.len() > self.known_max {
            if let Some(forgotten) = self.known.pop_front() {
                self.known_from = self.known_from.max(Lsn(forgotten.commit_lsn.0 + 1));
            }
            self.due = self.due.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(commit_lsn: u64) -> ReadTransaction {
        ReadTransaction {
            kind: ReadKind::Transaction,
            commit_lsn: Lsn(commit_lsn),
            xid: u32::try_from(commit_lsn / 10).unwrap(),
            commit_time_us: 1_000_000,
        }
    }

    /// Transactions at 100, 200 and 300 were read, a keepalive at 350, a lane stands at 400.
    fn restored() -> ReadHistory {
        let journal = [100, 200, 300, 400].map(transaction);
        ReadHistory::restored(journal.to_vec(), Lsn(100), Lsn(350))
    }

    fn begins(history: &mut ReadHistory, commit_lsn: u64) -> Result<Sent, OtherHistory> {
        let sent = history.begin(transaction(commit_lsn))?;
        history.commit(Lsn(commit_lsn + 8));
        Ok(sent)
    }

    #[test]
    fn the_same_history_goes_on() {
        let mut history = restored();
        history.resume(Lsn(200));
        assert_eq!(begins(&mut history, 200), Ok(Sent::Again));
        assert_eq!(begins(&mut history, 300), Ok(Sent::Again));
        history.idle(Lsn(350)).unwrap();
        // Between the checkpoint and where a lane stands anything may come.
        assert_eq!(begins(&mut history, 370), Ok(Sent::New));
        assert_eq!(begins(&mut history, 400), Ok(Sent::New));
        assert_eq!(begins(&mut history, 500), Ok(Sent::New));
        assert_eq!(history.read_to(), Lsn(508));
    }

    #[test]
    fn a_start_behind_the_journal_sends_what_cannot_be_judged() {
        let mut history = restored();
        history.resume(Lsn(20));
        for known in [30, 60, 100, 200, 300] {
            assert_eq!(begins(&mut history, known), Ok(Sent::Again));
        }
    }

    #[test]
    fn a_transaction_that_was_not_there_is_another_history() {
        let mut history = restored();
        history.resume(Lsn(300));
        assert_eq!(begins(&mut history, 300), Ok(Sent::Again));
        let error = begins(&mut history, 320).unwrap_err();
        assert_eq!((error.from(), error.read_to()), (Lsn(320), Lsn(350)));
    }

    #[test]
    fn another_transaction_at_the_same_place_is_another_history() {
        for (xid, commit_time_us) in [(31, 1_000_000), (30, 1_000_001)] {
            let mut history = restored();
            history.resume(Lsn(300));
            let sent = ReadTransaction {
                xid,
                commit_time_us,
                ..transaction(300)
            };
            let error = history.begin(sent).unwrap_err();
            assert_eq!((error.from(), error.read_to()), (Lsn(300), Lsn(350)));
        }
    }

    #[test]
    fn a_transaction_that_does_not_come_again_is_another_history() {
        let mut history = restored();
        history.resume(Lsn(200));
        let absent = begins(&mut history, 300).unwrap_err();
        assert_eq!((absent.from(), absent.read_to()), (Lsn(200), Lsn(350)));
        // A keepalive beyond it says as much.
        history.resume(Lsn(300));
        history.idle(Lsn(300)).unwrap();
        assert_eq!(history.idle(Lsn(301)).unwrap_err().from(), Lsn(300));
    }

    #[test]
    fn one_that_a_lane_stands_in_must_come_as_it_was() {
        let mut history = restored();
        history.resume(Lsn(350));
        let absent = begins(&mut history, 500).unwrap_err();
        assert_eq!((absent.from(), absent.read_to()), (Lsn(400), Lsn(401)));
    }

    #[test]
    fn the_server_is_not_obliged_to_send_what_is_below_its_start() {
        let mut history = restored();
        history.resume(Lsn(350));
        history.idle(Lsn(360)).unwrap();
        assert_eq!(begins(&mut history, 400), Ok(Sent::New));
    }

    #[test]
    fn a_half_read_transaction_comes_again_and_is_not_a_repeat() {
        let mut history = restored();
        history.resume(Lsn(350));
        assert_eq!(history.begin(transaction(400)), Ok(Sent::New));
        history.resume(Lsn(350));
        assert_eq!(history.begin(transaction(400)), Ok(Sent::New));
        history.commit(Lsn(408));
        history.resume(Lsn(400));
        assert_eq!(history.begin(transaction(400)), Ok(Sent::Again));
        // One that would have come before it.
        history.resume(Lsn(350));
        assert!(history.begin(transaction(390)).is_err());
    }

    #[test]
    fn what_is_forgotten_is_not_held_against_the_server() {
        let mut history = ReadHistory::restored(Vec::new(), Lsn::ZERO, Lsn::ZERO);
        history.resume(Lsn::ZERO);
        for commit in 1..=200 {
            assert_eq!(begins(&mut history, commit * 100), Ok(Sent::New));
        }
        history.resume(Lsn(5_000));
        assert_eq!(begins(&mut history, 5_050), Ok(Sent::Again));
        for commit in 137..=200 {
            assert_eq!(begins(&mut history, commit * 100), Ok(Sent::Again));
        }
        history.resume(Lsn(15_000));
        assert!(begins(&mut history, 15_050).is_err());
    }

    fn message(lsn: u64) -> ReadTransaction {
        ReadTransaction::message(Lsn(lsn), u32::try_from(lsn).unwrap())
    }

    fn comes(history: &mut ReadHistory, lsn: u64) -> Result<Sent, OtherHistory> {
        let sent = history.message(message(lsn))?;
        if sent == Sent::New {
            history.message_read(message(lsn));
        }
        Ok(sent)
    }

    /// A message ends at 300, where a commit begins, and at 340; a lane stands in one
    /// that ends at 400, where a commit begins too.
    fn with_messages() -> ReadHistory {
        let journal = [
            transaction(100),
            message(300),
            transaction(300),
            message(340),
            message(400),
            transaction(400),
        ];
        ReadHistory::restored(journal.to_vec(), Lsn(100), Lsn(340))
    }

    #[test]
    fn a_message_comes_before_the_commit_that_begins_where_it_ends() {
        let mut history = with_messages();
        history.resume(Lsn(200));
        assert_eq!(comes(&mut history, 300), Ok(Sent::Again));
        assert_eq!(begins(&mut history, 300), Ok(Sent::Again));
        assert_eq!(comes(&mut history, 340), Ok(Sent::Again));
        history.idle(Lsn(340)).unwrap();
        assert_eq!(comes(&mut history, 400), Ok(Sent::New));
        assert_eq!(begins(&mut history, 400), Ok(Sent::New));
        // A start where it ends is behind it.
        history.resume(Lsn(400));
        assert_eq!(begins(&mut history, 400), Ok(Sent::Again));
        history.resume(Lsn(399));
        assert_eq!(comes(&mut history, 400), Ok(Sent::Again));
    }

    #[test]
    fn a_message_that_is_missing_unknown_or_another_is_another_history() {
        let from = |history: &mut ReadHistory, sent| history.message(sent).unwrap_err().from();
        let mut history = with_messages();
        history.resume(Lsn(200));
        assert_eq!(begins(&mut history, 300).unwrap_err().from(), Lsn(300));
        assert_eq!(from(&mut history, message(250)), Lsn(250));
        let other = ReadTransaction::message(Lsn(300), 1);
        assert_eq!(from(&mut history, other), Lsn(300));
        history.resume(Lsn(340));
        assert_eq!(history.idle(Lsn(400)).unwrap_err().from(), Lsn(400));
        // At the slot's first position only what ends behind it is known of.
        let mut history = ReadHistory::restored(Vec::new(), Lsn(100), Lsn(100));
        assert_eq!(history.message(message(100)), Ok(Sent::Again));
    }

    #[test]
    fn a_message_that_had_no_room_yet_comes_again_and_is_not_a_repeat() {
        let mut history = with_messages();
        history.resume(Lsn(340));
        for _ in 0..2 {
            assert_eq!(history.message(message(400)), Ok(Sent::New));
            history.resume(Lsn(340));
        }
        assert_eq!(comes(&mut history, 400), Ok(Sent::New));
        history.resume(Lsn(340));
        assert_eq!(comes(&mut history, 400), Ok(Sent::Again));
    }
}
