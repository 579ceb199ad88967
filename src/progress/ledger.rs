//! The ledger: the only owner of the LSN that may be confirmed.
//!
//! It holds the transactions that are open, in commit order, each with the number
//! of its events that are not settled. A transaction is *open* until its COMMIT
//! was read and each of its events is delivered, spooled or dead. A message that is not
//! transactional is one of its own, read whole, at the LSN where its record ends.
//!
//! ```text
//!   confirmable        open                                     read
//!       |  [tx 0/100: 0 left] [tx 0/180: 2 left] [tx 0/210: ...] |
//! ------+--------------------------------------------------------+---> WAL
//! ```
//!
//! It refuses to know of time, of the disk and of the connection: whoever confirms
//! an LSN must have made it durable first.

use std::collections::VecDeque;

use crate::lsn::Lsn;

/// What is settled of what was read. See the module's picture.
#[derive(Debug)]
pub struct Ledger {
    open: VecDeque<OpenTransaction>,
    confirmable: Lsn,
}

#[derive(Debug)]
struct OpenTransaction {
    commit_lsn: Lsn,
    /// `None` until the COMMIT was read.
    end_lsn: Option<Lsn>,
    unsettled: u64,
}

/// The stream contradicts what was read before: the server's history is another one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    #[error(
        "transaction at {open} was half read, but the server sent the one at {sent} in its place"
    )]
    OtherHistory { open: Lsn, sent: Lsn },
    #[error("a COMMIT or a row came outside of a transaction")]
    OutsideTransaction,
    #[error("a message at {message} came inside of the transaction at {open}")]
    MessageInside { open: Lsn, message: Lsn },
}

impl Ledger {
    /// `checkpoint` is what is known to be settled when nothing has been read yet.
    pub fn new(checkpoint: Lsn) -> Self {
        Ledger {
            open: VecDeque::new(),
            confirmable: checkpoint,
        }
    }

    /// BEGIN was read. After a reconnect the transaction that was being read comes again.
    pub fn begin(&mut self, commit_lsn: Lsn) -> Result<(), LedgerError> {
        match self.open.back_mut() {
            Some(last) if last.end_lsn.is_none() && last.commit_lsn != commit_lsn => {
                Err(LedgerError::OtherHistory {
                    open: last.commit_lsn,
                    sent: commit_lsn,
                })
            }
            Some(last) if last.end_lsn.is_none() => Ok(()),
            // A message ended where this commit begins: they are settled together.
            Some(last) if last.commit_lsn == commit_lsn => {
                last.end_lsn = None;
                Ok(())
            }
            _ => {
                self.open.push_back(OpenTransaction {
                    commit_lsn,
                    end_lsn: None,
                    unsettled: 0,
                });
                Ok(())
            }
        }
    }

    /// `events` more events of the transaction that is being read are wanted.
    pub fn wanted(&mut self, events: u64) -> Result<(), LedgerError> {
        let transaction = self.being_read()?;
        transaction.unsettled += events;
        Ok(())
    }

    /// COMMIT was read; `end_lsn` is the position after the commit record.
    pub fn commit(&mut self, end_lsn: Lsn) -> Result<(), LedgerError> {
        self.being_read()?.end_lsn = Some(end_lsn);
        self.close_settled();
        Ok(())
    }

    /// A message that is not transactional was read, whose record ends at `lsn`, with
    /// `events` events that are wanted.
    pub fn message(&mut self, lsn: Lsn, events: u64) -> Result<(), LedgerError> {
        if let Some(last) = self.open.back().filter(|last| last.end_lsn.is_none()) {
            return Err(LedgerError::MessageInside {
                open: last.commit_lsn,
                message: lsn,
            });
        }
        self.open.push_back(OpenTransaction {
            commit_lsn: lsn,
            end_lsn: Some(lsn),
            unsettled: events,
        });
        self.close_settled();
        Ok(())
    }

    /// A keepalive came: all before `wal_end` was sent. It counts only while nothing is open.
    pub fn idle(&mut self, wal_end: Lsn) {
        if self.open.is_empty() {
            self.confirmable = self.confirmable.max(wal_end);
        }
    }

    /// `events` events of the transaction at `commit_lsn` are settled.
    pub fn settled(&mut self, commit_lsn: Lsn, events: u64) {
        let found = self
            .open
            .binary_search_by_key(&commit_lsn, |open| open.commit_lsn);
        debug_assert!(found.is_ok(), "settled an event of no open transaction");
        if let Some(transaction) = found.ok().and_then(|index| self.open.get_mut(index)) {
            debug_assert!(transaction.unsettled >= events, "settled an event twice");
            transaction.unsettled = transaction.unsettled.saturating_sub(events);
            self.close_settled();
        }
    }

    /// All before it is settled: it may be made durable, then confirmed. Never goes back.
    pub fn confirmable(&self) -> Lsn {
        self.confirmable
    }

    /// Nothing read is waiting for anything.
    pub fn nothing_open(&self) -> bool {
        self.open.is_empty()
    }

    fn being_read(&mut self) -> Result<&mut OpenTransaction, LedgerError> {
        self.open
            .back_mut()
            .filter(|last| last.end_lsn.is_none())
            .ok_or(LedgerError::OutsideTransaction)
    }

    fn close_settled(&mut self) {
        while let Some(first) = self.open.front() {
            let Some(end_lsn) = first.end_lsn.filter(|_| first.unsettled == 0) else {
                break;
            };
            self.confirmable = self.confirmable.max(end_lsn);
            self.open.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ledger: &mut Ledger, commit_lsn: u64, events: u64) {
        ledger.begin(Lsn(commit_lsn)).unwrap();
        ledger.wanted(events).unwrap();
        ledger.commit(Lsn(commit_lsn + 8)).unwrap();
    }

    #[test]
    fn a_transaction_nobody_wants_is_settled_at_its_commit() {
        let mut ledger = Ledger::new(Lsn(50));
        ledger.begin(Lsn(100)).unwrap();
        assert_eq!(ledger.confirmable(), Lsn(50));
        ledger.commit(Lsn(108)).unwrap();
        assert_eq!(ledger.confirmable(), Lsn(108));
    }

    #[test]
    fn a_later_transaction_does_not_pass_an_open_one() {
        let mut ledger = Ledger::new(Lsn::ZERO);
        read(&mut ledger, 100, 2);
        read(&mut ledger, 200, 1);
        ledger.settled(Lsn(200), 1);
        assert_eq!(ledger.confirmable(), Lsn::ZERO);
        ledger.settled(Lsn(100), 1);
        assert_eq!(ledger.confirmable(), Lsn::ZERO);
        ledger.settled(Lsn(100), 1);
        assert_eq!(ledger.confirmable(), Lsn(208));
        assert!(ledger.nothing_open());
    }

    #[test]
    fn settled_events_do_not_close_a_transaction_before_its_commit() {
        let mut ledger = Ledger::new(Lsn::ZERO);
        ledger.begin(Lsn(100)).unwrap();
        ledger.wanted(1).unwrap();
        ledger.settled(Lsn(100), 1);
        assert_eq!(ledger.confirmable(), Lsn::ZERO);
        ledger.wanted(1).unwrap();
        ledger.commit(Lsn(108)).unwrap();
        assert_eq!(ledger.confirmable(), Lsn::ZERO);
        ledger.settled(Lsn(100), 1);
        assert_eq!(ledger.confirmable(), Lsn(108));
    }

    #[test]
    fn a_keepalive_counts_only_while_nothing_is_open_and_never_goes_back() {
        let mut ledger = Ledger::new(Lsn(10));
        ledger.idle(Lsn(500));
        assert_eq!(ledger.confirmable(), Lsn(500));
        ledger.idle(Lsn(400));
        assert_eq!(ledger.confirmable(), Lsn(500));
        ledger.begin(Lsn(600)).unwrap();
        ledger.idle(Lsn(700));
        ledger.wanted(1).unwrap();
        ledger.commit(Lsn(608)).unwrap();
        ledger.idle(Lsn(700));
        assert_eq!(ledger.confirmable(), Lsn(500));
        ledger.settled(Lsn(600), 1);
        assert_eq!(ledger.confirmable(), Lsn(608));
    }

    #[test]
    fn a_half_read_transaction_goes_on_after_a_reconnect() {
        let mut ledger = Ledger::new(Lsn::ZERO);
        ledger.begin(Lsn(100)).unwrap();
        ledger.wanted(3).unwrap();
        ledger.begin(Lsn(100)).unwrap();
        ledger.wanted(1).unwrap();
        ledger.commit(Lsn(108)).unwrap();
        ledger.settled(Lsn(100), 4);
        assert_eq!(ledger.confirmable(), Lsn(108));
    }

    #[test]
    fn a_message_holds_the_slot_until_it_is_settled() {
        let mut ledger = Ledger::new(Lsn(50));
        ledger.message(Lsn(60), 0).unwrap();
        assert_eq!(ledger.confirmable(), Lsn(60));
        ledger.message(Lsn(70), 2).unwrap();
        ledger.message(Lsn(80), 0).unwrap();
        ledger.idle(Lsn(90));
        assert_eq!(ledger.confirmable(), Lsn(60));
        ledger.settled(Lsn(70), 2);
        assert_eq!(ledger.confirmable(), Lsn(80));
    }

    #[test]
    fn a_message_that_ends_where_a_commit_begins_is_settled_with_it() {
        for settled_before in [0, 1, 2] {
            let mut ledger = Ledger::new(Lsn::ZERO);
            ledger.message(Lsn(100), 2).unwrap();
            ledger.settled(Lsn(100), settled_before);
            read(&mut ledger, 100, 3);
            assert_eq!(
                ledger.confirmable().0,
                if settled_before == 2 { 100 } else { 0 }
            );
            ledger.settled(Lsn(100), 5 - settled_before);
            assert_eq!(ledger.confirmable(), Lsn(108));
            assert!(ledger.nothing_open());
        }
    }

    #[test]
    fn no_message_comes_inside_of_a_transaction() {
        let mut ledger = Ledger::new(Lsn::ZERO);
        ledger.begin(Lsn(100)).unwrap();
        assert_eq!(
            ledger.message(Lsn(90), 1),
            Err(LedgerError::MessageInside {
                open: Lsn(100),
                message: Lsn(90)
            })
        );
    }

    #[test]
    fn another_transaction_in_its_place_is_another_history() {
        let mut ledger = Ledger::new(Lsn::ZERO);
        ledger.begin(Lsn(100)).unwrap();
        assert_eq!(
            ledger.begin(Lsn(104)),
            Err(LedgerError::OtherHistory {
                open: Lsn(100),
                sent: Lsn(104)
            })
        );
        ledger.commit(Lsn(108)).unwrap();
        assert_eq!(ledger.wanted(1), Err(LedgerError::OutsideTransaction));
        assert_eq!(ledger.commit(Lsn(9)), Err(LedgerError::OutsideTransaction));
    }
}
