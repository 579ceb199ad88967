//! Reading: from the messages of the stream to events in the endpoints' inboxes.
//!
//! ```text
//! payload --step--> change --map--> events --room in memory?--> staged --flush--> inboxes
//!                      |                                                  `--> tracker
//!                      `-- read before, or settled before the checkpoint: dropped
//! ```
//!
//! It outlives connections: what was read stays read when the stream breaks and
//! Postgres sends it again. Synchronous; whoever drives it waits for bytes and memory.

mod mapping;
mod relations;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use self::mapping::{Changed, Mapping};
use super::known_keys::KnownKeys;
use super::types_read::TypesRead;
use crate::change::{NO_TIME, Relation, Transaction};
use crate::event::Event;
use crate::lane::budget::Holder;
use crate::lane::clock::{POSTGRES_EPOCH_UNIX_US, unix_us};
use crate::lane::inbox::Inbox;
use crate::lsn::Lsn;
use crate::mapping::rule::TableRules;
use crate::mapping::{EndpointMapping, Mapper, SourceIdentity, message_hash};
use crate::pgoutput::value::Types;
use crate::pgoutput::{self, DecodeError, MessagePlace, Reader, RelationHeader, Step};
use crate::progress::ledger::LedgerError;
use crate::progress::lineage::{OtherHistory, ReadHistory, Sent};
use crate::progress::tracker::{ReadKind, ReadTransaction, Tracker};
use crate::telemetry::metrics::Metrics;

/// The stream says something that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("failed to decode the replication stream")]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    History(#[from] OtherHistory),
}

/// What the driver must do before the next message.
#[derive(Debug)]
pub enum Next {
    Go,
    /// Complete the relation from the catalog and give it to [`Reading::bind`].
    Describe(Announced),
    /// These types may have changed: read them again, give them to [`Reading::retype`],
    /// and the message once more.
    Reread(Vec<u32>),
}

/// A Relation message, kept while the catalog is asked.
#[derive(Debug)]
pub struct Announced {
    pub relation: Relation,
    /// Types of its columns that are not known yet.
    pub unknown_types: Vec<u32>,
}

#[derive(Debug)]
pub struct Reading {
    reader: Reader,
    mapping: Mapping,
    rules: Rules,
    types: Types,
    types_read: TypesRead,
    tracker: Arc<Tracker>,
    inboxes: Vec<Arc<Inbox>>,
    holders: Vec<Arc<Holder>>,
    /// What was read, here and before the checkpoint: Postgres sends some of it again.
    history: ReadHistory,
    /// The transaction being read was read before as a whole.
    repeat: bool,
    /// The last message, when it is one that is not transactional and not read before.
    alone: Option<ReadTransaction>,
    /// By endpoint, with room in memory taken, not in the inboxes yet.
    staged: Vec<Vec<Event>>,
    staged_count: u64,
    keys: KnownKeys,
    /// Leaves of partitioned tables that were announced, by the OIDs of all tables above them.
    leaves: HashMap<u32, BTreeSet<u32>>,
}

/// What a mapper is made with.
#[derive(Debug)]
struct Rules {
    tables: Arc<[TableRules]>,
    messages: Arc<[TableRules]>,
    endpoints: Arc<[EndpointMapping]>,
    ignored_origins: Arc<[String]>,
}

fn read_transaction(transaction: &Transaction) -> ReadTransaction {
    ReadTransaction {
        kind: ReadKind::Transaction,
        commit_lsn: transaction.commit_lsn,
        xid: transaction.xid,
        commit_time_us: transaction.commit_time_us,
    }
}

fn announced(header: RelationHeader<'_>, types: &Types) -> Announced {
    let relation = header.into_relation(Vec::new());
    let mut unknown_types: Vec<u32> = relation
        .columns
        .iter()
        .flat_map(|column| types.missing(column.type_oid))
        .collect();
    unknown_types.sort_unstable();
    unknown_types.dedup();
    Announced {
        relation,
        unknown_types,
    }
}

/// What a reading is made with.
#[derive(Debug)]
pub struct Parts {
    pub rules: Arc<[TableRules]>,
    /// The entries of `messages:`.
    pub messages: Arc<[TableRules]>,
    pub ignored_origins: Arc<[String]>,
    /// By endpoint.
    pub endpoints: Arc<[EndpointMapping]>,
    pub tracker: Arc<Tracker>,
    pub metrics: Arc<Metrics>,
    /// By endpoint.
    pub inboxes: Vec<Arc<Inbox>>,
    pub holders: Vec<Arc<Holder>>,
    pub history: ReadHistory,
}

impl Reading {
    pub fn new(parts: Parts) -> Self {
        Reading {
            reader: Reader::new(),
            mapping: Mapping::new(parts.metrics),
            rules: Rules {
                tables: parts.rules,
                messages: parts.messages,
                endpoints: parts.endpoints,
                ignored_origins: parts.ignored_origins,
            },
            types: Types::default(),
            types_read: TypesRead::default(),
            tracker: parts.tracker,
            staged: parts.inboxes.iter().map(|_| Vec::new()).collect(),
            inboxes: parts.inboxes,
            holders: parts.holders,
            history: parts.history,
            repeat: false,
            alone: None,
            staged_count: 0,
            keys: KnownKeys::default(),
            leaves: HashMap::new(),
        }
    }

    /// With the hashes of keys that are on record, by [`crate::store::of_key`] of the table.
    pub fn with_keys(mut self, hashes: HashMap<String, u64>) -> Self {
        self.keys = KnownKeys::on_record(hashes);
        self
    }

    /// Which cluster and database the changes are of; it does not change.
    pub fn of_source(&mut self, source: SourceIdentity) {
        if self.mapping.mapper.is_none() {
            let Rules {
                tables,
                messages,
                endpoints,
                ignored_origins,
            } = &self.rules;
            let mapper = Mapper::new(Arc::clone(tables), Arc::clone(endpoints), source)
                .with_messages(messages)
                .ignoring(Arc::clone(ignored_origins));
            self.mapping.mapper = Some(mapper);
        }
    }

    /// A new connection: relations are announced anew, and what was not staged is
    /// sent again, from `start` on.
    pub fn reconnected(&mut self, start: Lsn) {
        self.history.resume(start);
        self.reader = Reader::new();
        self.types = Types::default();
        self.types_read = TypesRead::default();
        self.leaves.clear();
        self.mapping.events.clear();
        self.mapping.mapped_to = self.mapping.staged_to;
        self.repeat = false;
        self.alone = None;
    }

    /// Takes one pgoutput message. Afterwards [`Reading::stage`] must be called until
    /// it says that there is room.
    pub fn message(&mut self, payload: &[u8]) -> Result<Next, ReadError> {
        let message = pgoutput::decode(payload)?;
        match self.reader.step(message)? {
            Step::Begin(transaction) => {
                let begun = read_transaction(transaction);
                // Before anything of it is used: of another history nothing may be.
                self.repeat = self.history.begin(begun)? == Sent::Again;
                if !self.repeat {
                    self.tracker.begin(begun)?;
                }
            }
            Step::Change(change) => {
                let changed = self.mapping.change(&change, self.repeat, &self.types_read);
                if let Changed::Misfits(types) = changed {
                    self.reader.unread_change();
                    return Ok(Next::Reread(types));
                }
            }
            Step::Truncate(truncation) => {
                for change in truncation.changes() {
                    self.mapping.change(&change, self.repeat, &self.types_read);
                }
            }
            Step::Commit { end_lsn, .. } => self.commit(end_lsn)?,
            Step::Relation(header) => return Ok(Next::Describe(announced(header, &self.types))),
            Step::Message(message) => match message.place {
                MessagePlace::Change {
                    transaction,
                    ordinal,
                } => {
                    let place = (transaction.commit_lsn, ordinal);
                    self.mapping.message(&message, 0, place, self.repeat);
                }
                MessagePlace::Alone { lsn } => {
                    let hash = message_hash(&message.prefix, message.content);
                    let read = ReadTransaction::message(lsn, hash as u32);
                    let repeat = self.history.message(read)? == Sent::Again;
                    self.mapping.message(&message, hash, (lsn, 0), repeat);
                    self.alone = Some(read).filter(|_| !repeat);
                    if self.alone.is_some() && self.mapping.events.is_empty() {
                        self.stage()?;
                    }
                }
            },
            Step::Nothing => {}
        }
        Ok(Next::Go)
    }

    /// A keepalive: all before `wal_end` was sent.
    pub fn keepalive(&mut self, wal_end: Lsn) -> Result<(), ReadError> {
        if self.reader.transaction().is_none() {
            self.history.idle(wal_end)?;
            self.tracker.idle(wal_end);
        }
        Ok(())
    }

    pub fn history(&self) -> &ReadHistory {
        &self.history
    }

    /// The transaction whose BEGIN was read and whose COMMIT was not.
    pub fn half_read(&self) -> Option<ReadTransaction> {
        self.reader.transaction().map(read_transaction)
    }

    /// Bytes that the events of the last message take.
    pub fn pending_bytes(&self) -> u64 {
        let events = self.mapping.events.iter();
        events.map(Event::memory_bytes).sum()
    }

    pub fn has_pending(&self) -> bool {
        !self.mapping.events.is_empty()
    }

    /// Who holds memory, by endpoint.
    pub fn holders(&self) -> &[Arc<Holder>] {
        &self.holders
    }

    /// Stages the events of the last message: their room in memory was taken. A message
    /// that is not transactional is read with that.
    pub fn stage(&mut self) -> Result<(), ReadError> {
        let mapping = &mut self.mapping;
        for mut event in mapping.events.drain(..) {
            if event.commit_time_us == NO_TIME {
                event.commit_time_us = unix_us() - POSTGRES_EPOCH_UNIX_US;
            }
            let endpoint = event.endpoint.0;
            let ways = self
                .staged
                .get_mut(endpoint)
                .zip(self.holders.get(endpoint));
            if let Some((staged, holder)) = ways {
                self.staged_count += 1;
                event.room = holder.room(event.memory_bytes());
                self.keys.apply(&mut event);
                staged.push(event);
            }
        }
        mapping.staged_to = mapping.mapped_to;
        if let Some(read) = self.alone.take() {
            self.tracker.message(read, self.staged_count)?;
            self.hand_over();
            self.history.message_read(read);
        }
        Ok(())
    }

    /// Puts what is staged into the inboxes, the tracker first.
    pub fn flush(&mut self) -> Result<(), ReadError> {
        if self.staged_count > 0 {
            self.tracker.wanted(self.staged_count)?;
            self.hand_over();
        }
        Ok(())
    }

    fn hand_over(&mut self) {
        self.staged_count = 0;
        for (inbox, staged) in self.inboxes.iter().zip(&mut self.staged) {
            inbox.put(staged);
        }
    }

    fn commit(&mut self, end_lsn: Lsn) -> Result<(), ReadError> {
        if self.repeat {
            self.repeat = false;
            return Ok(());
        }
        self.flush()?;
        self.tracker.commit(end_lsn)?;
        self.history.commit(end_lsn);
        Ok(())
    }
}
