//! The promises: what each endpoint is owed, worked out from what was committed and not
//! from what walhook made of it, and the validators that hold what happens against it.
//!
//! A validator panics, and names its promise.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};
use walhook::change::Operation;
use walhook::event::{Event, EventId, Fate, Position};
use walhook::lane::name::lanes_of;
use walhook::lane::options::Order;
use walhook::lsn::Lsn;
use walhook::mapping::message_hash;

use super::database::{Message, Row, Sent, Transaction, Written};
use super::setup::{ENDPOINTS, MESSAGES, ORIGIN, PREFIX, SYSTEM, Setup, TABLES, WANTED, name_of};

/// What orders an event with `order: key`: rows, by table and id.
#[derive(Clone, Debug, PartialEq)]
enum Rows {
    All,
    Some(Vec<(usize, u64)>),
}

/// An event that an endpoint is to get.
#[derive(Debug)]
pub struct Owed {
    pub id: EventId,
    pub position: Position,
    table: usize,
    rows: Rows,
    body_end: String,
    /// Its rule fails on the row: it becomes a dead letter without an attempt.
    fails: bool,
    /// A 2xx was read.
    pub delivered: bool,
    /// A dead letter, durably.
    pub dead: bool,
    /// The endpoint was disabled for a full spool.
    pub missed: bool,
    /// Once it was read: its lanes by name, and what it looked like.
    lanes: Vec<String>,
    body: Option<u64>,
    /// Attempted in this life of the daemon.
    attempted: bool,
    delivered_in_life: bool,
    /// Delivered before the daemon was stopped in good order.
    must_not_repeat: bool,
}

impl Owed {
    pub fn done(&self) -> bool {
        self.delivered || self.dead
    }
}

/// What one endpoint is owed, in the order of commits.
#[derive(Default)]
pub struct Account {
    pub owed: Vec<Owed>,
    by_id: HashMap<EventId, usize>,
    /// All before it is done or missed.
    done_to: usize,
    /// All before it has passed the check of what is confirmed.
    confirmed_to: usize,
}

pub struct Promises {
    pub accounts: Vec<Account>,
    orders: Vec<Order>,
    ignores_origin: bool,
    confirmed: Lsn,
    /// What happened, when it is to be told.
    pub notes: Option<Vec<String>>,
}

/// What an event's id is made of, and how its body ends.
struct Of {
    version: &'static [u8; 8],
    lsn: Lsn,
    /// The commit time, or the message's hash.
    distinct: [u8; 8],
    ordinal: u64,
    body_end: String,
}

impl Of {
    fn change(transaction: &Transaction, ordinal: u64) -> Self {
        let origin = if transaction.origin {
            format!(",\"origin\":\"{ORIGIN}\"")
        } else {
            String::new()
        };
        Of {
            version: b"walhook1",
            lsn: transaction.commit_lsn,
            distinct: transaction.commit_time_us.to_be_bytes(),
            ordinal,
            body_end: format!(
                ",\"lsn\":\"{}\",\"xid\":{},\"index\":{ordinal}{origin}}}}}",
                transaction.commit_lsn, transaction.xid
            ),
        }
    }

    fn message(message: &Message) -> Self {
        let hash = message_hash(message.prefix, message.content().as_bytes());
        Of {
            version: b"walhookm",
            lsn: message.lsn,
            distinct: hash.to_be_bytes(),
            ordinal: 0,
            body_end: format!(
                "\"transactional\":false,\"lsn\":\"{}\",\"xid\":null,\"index\":0}}}}",
                message.lsn
            ),
        }
    }

    /// As `mapping::id` documents it.
    fn id(&self, event_type: &str) -> EventId {
        let mut hash = Sha256::new();
        hash.update(self.version);
        hash.update(SYSTEM.to_be_bytes());
        hash.update(self.lsn.0.to_be_bytes());
        hash.update(self.distinct);
        hash.update(self.ordinal.to_be_bytes());
        hash.update(event_type);
        EventId(hash.finalize()[..16].try_into().unwrap())
    }
}

/// What rules see of a change.
struct Changed {
    table: usize,
    operation: Operation,
    n: u64,
    rows: Rows,
}

impl Changed {
    fn row(row: &Row) -> Self {
        Changed {
            table: row.table,
            operation: row.operation,
            n: row.n,
            rows: rows(row),
        }
    }

    /// Without a key those of a prefix are in order. `None`: no rule speaks of it.
    fn message(message: &Message) -> Option<Self> {
        (message.prefix == PREFIX).then(|| Changed {
            table: MESSAGES,
            operation: Operation::Message,
            n: message.n,
            rows: Rows::Some(vec![(MESSAGES, 0)]),
        })
    }
}

fn rows(row: &Row) -> Rows {
    let table = row.table;
    if !TABLES[table].has_key || row.operation == Operation::Truncate {
        return Rows::All;
    }
    match row.operation {
        Operation::Update if row.old_id != row.new_id => {
            Rows::Some(vec![(table, row.old_id), (table, row.new_id)])
        }
        Operation::Insert | Operation::Update => Rows::Some(vec![(table, row.new_id)]),
        Operation::Delete | Operation::Truncate | Operation::Message => {
            Rows::Some(vec![(table, row.old_id)])
        }
    }
}

impl Promises {
    pub fn new(setup: &Setup, traced: bool) -> Self {
        let endpoints = setup.endpoints.iter();
        Promises {
            accounts: endpoints.clone().map(|_| Account::default()).collect(),
            orders: endpoints.map(|options| options.order).collect(),
            ignores_origin: setup.ignores_origin,
            confirmed: Lsn::ZERO,
            notes: traced.then(Vec::new),
        }
    }

    pub fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(notes) = &mut self.notes {
            notes.push(what());
        }
    }

    /// A transaction was committed, or a message written that is not transactional: their
    /// events are owed.
    pub fn committed(&mut self, sent: &Sent) {
        let transaction = match sent {
            Sent::Transaction(transaction) => transaction,
            Sent::Message(message) => {
                if let Some(changed) = Changed::message(message) {
                    self.owe(&Of::message(message), &changed);
                }
                return;
            }
        };
        if transaction.origin && self.ignores_origin {
            return;
        }
        for (written, ordinal) in transaction.written.iter().zip(1..) {
            let changed = match written {
                Written::Row(row) => Some(Changed::row(row)),
                Written::Message(message) => Changed::message(message),
            };
            if let Some(changed) = changed {
                self.owe(&Of::change(transaction, ordinal), &changed);
            }
        }
    }

    fn owe(&mut self, of: &Of, changed: &Changed) {
        let mut counts = [0; ENDPOINTS];
        let matching = WANTED.iter().filter(|wanted| {
            wanted.table == changed.table
                && wanted.operation == changed.operation
                && (wanted.matches)(changed.n)
        });
        for wanted in matching {
            for &endpoint in wanted.to {
                let position = Position {
                    lsn: of.lsn,
                    ordinal: of.ordinal,
                    n: counts[endpoint],
                };
                counts[endpoint] += 1;
                self.accounts[endpoint].owe(Owed {
                    id: of.id(wanted.event_type),
                    position,
                    table: changed.table,
                    rows: changed.rows.clone(),
                    body_end: of.body_end.clone(),
                    fails: (wanted.fails)(changed.n),
                    delivered: false,
                    dead: false,
                    missed: false,
                    lanes: Vec::new(),
                    body: None,
                    attempted: false,
                    delivered_in_life: false,
                    must_not_repeat: false,
                });
            }
        }
    }

    /// P4: an event was read. It is one that is owed, with its id and its body.
    pub fn read(&mut self, endpoint: usize, event: &Event) {
        let order = self.orders[endpoint];
        let owed = self.accounts[endpoint].of(event);
        owed.seen(event);
        if owed.lanes.is_empty() {
            owed.lanes = lanes_of(event, order)
                .iter()
                .map(ToString::to_string)
                .collect();
        }
    }

    pub fn missed(&mut self, endpoint: usize, id: EventId) {
        self.accounts[endpoint].get(id).missed = true;
    }

    /// P3 and P4: an attempt begins.
    pub fn attempted(&mut self, endpoint: usize, events: &[&Event]) {
        let order = self.orders[endpoint];
        self.note(|| format!("endpoint {endpoint} <- {}", places(events)));
        let account = &mut self.accounts[endpoint];
        let batch: HashSet<usize> = events
            .iter()
            .map(|event| account.by_id[&event.id])
            .collect();
        assert_eq!(batch.len(), events.len(), "P3: an event twice in a request");
        let mut before: Option<usize> = None;
        for event in events {
            let place = account.by_id[&event.id];
            assert!(before < Some(place), "P3: a batch is out of order");
            before = Some(place);
            account.owed[place].seen(event);
            account.in_order(order, place, &batch);
            let owed = &mut account.owed[place];
            assert!(
                !owed.fails,
                "P1: {} is sent though its rule failed",
                owed.id
            );
            assert!(
                !owed.delivered_in_life,
                "P1: {:?} is sent again though a 2xx was read",
                owed.position
            );
            assert!(
                !owed.must_not_repeat,
                "P1: {:?} is sent again after a stop in good order",
                owed.position
            );
            owed.attempted = true;
        }
    }

    /// A dead letter is sent again: it moves nothing.
    pub fn retried(&mut self, endpoint: usize, events: &[&Event]) {
        self.note(|| format!("endpoint {endpoint} <- again {}", places(events)));
        for event in events {
            let owed = self.accounts[endpoint].of(event);
            assert!(owed.dead, "P3: {} is no dead letter", owed.id);
            owed.seen(event);
        }
    }

    /// A 2xx was read.
    pub fn delivered(&mut self, endpoint: usize, id: EventId, retried: bool) {
        let owed = self.accounts[endpoint].get(id);
        owed.delivered = true;
        owed.delivered_in_life |= !retried;
        let position = owed.position;
        self.note(|| format!("endpoint {endpoint} has {position}"));
    }

    /// The event is a dead letter on disk.
    pub fn dead(&mut self, endpoint: usize, id: EventId) {
        let owed = self.accounts[endpoint].get(id);
        owed.dead = true;
        let position = owed.position;
        self.note(|| format!("endpoint {endpoint}: {position} is dead"));
    }

    /// P1 and P2: the slot is told a position. `waits` says what is on disk.
    pub fn confirmed(
        &mut self,
        lsn: Lsn,
        durable: Lsn,
        waits: impl Fn(usize, EventId) -> bool,
        recorded: impl Fn(usize, Lsn) -> bool,
    ) {
        assert!(
            lsn <= durable,
            "P2: {lsn} is confirmed, durable is {durable}"
        );
        if lsn <= self.confirmed {
            return;
        }
        self.confirmed = lsn;
        for (endpoint, account) in self.accounts.iter_mut().enumerate() {
            while let Some(owed) = account.owed.get(account.confirmed_to) {
                // A message at it is behind it: its record ends there.
                if (owed.position.lsn, owed.position.ordinal.min(1)) >= (lsn, 1) {
                    break;
                }
                assert!(
                    owed.done()
                        || waits(endpoint, owed.id)
                        || owed.missed && recorded(endpoint, owed.position.lsn),
                    "P1: {lsn} is confirmed, and event {:?} of endpoint {endpoint} is nowhere: {owed:?}",
                    owed.position
                );
                account.confirmed_to += 1;
            }
        }
    }

    /// P1: a lane's position on disk passes nothing that is not settled.
    pub fn stands_at(
        &mut self,
        endpoint: usize,
        lane: &str,
        position: Position,
        waits: impl Fn(usize, EventId) -> bool,
    ) {
        self.note(|| format!("on disk: endpoint {endpoint}, {lane} is at {position}"));
        let account = &mut self.accounts[endpoint];
        account.pass_done();
        for owed in &account.owed[account.done_to..] {
            if owed.position >= position {
                break;
            }
            let passed = owed.lanes.iter().any(|name| name == lane);
            assert!(
                !passed || owed.done() || owed.missed || waits(endpoint, owed.id),
                "P1: lane \"{lane}\" of endpoint {endpoint} stands at {position}, and {:?} is nowhere",
                owed.position
            );
        }
    }

    /// P1: what leaves the disk is delivered or dead.
    pub fn leaves_disk(&mut self, endpoint: usize, id: EventId) {
        let owed = self.accounts[endpoint].get(id);
        assert!(
            owed.done(),
            "P1: {:?} of endpoint {endpoint} leaves the disk, not delivered",
            owed.position
        );
        let position = owed.position;
        self.note(|| format!("off disk: endpoint {endpoint}, {position}"));
    }

    /// P1: a dead letter leaves the disk.
    pub fn dead_leaves_disk(&mut self, endpoint: usize, id: EventId) {
        let owed = self.accounts[endpoint].get(id);
        assert!(owed.delivered, "P1: dead letter {id} is dropped");
    }

    /// The daemon begins anew. After a stop in good order nothing is repeated.
    pub fn restarted(&mut self, in_good_order: bool) {
        for owed in self.accounts.iter_mut().flat_map(|it| &mut it.owed) {
            owed.attempted = false;
            owed.must_not_repeat = in_good_order && owed.delivered_in_life && !owed.dead;
            owed.delivered_in_life = false;
        }
    }

    /// Whether all that the endpoint is owed is done.
    pub fn is_done(&mut self, endpoint: usize) -> bool {
        let account = &mut self.accounts[endpoint];
        account.pass_done();
        account.done_to == account.owed.len()
    }

    /// The first that is not.
    pub fn open(&mut self, endpoint: usize) -> Option<&Owed> {
        let account = &mut self.accounts[endpoint];
        account.pass_done();
        account.owed.get(account.done_to)
    }
}

impl Account {
    fn owe(&mut self, owed: Owed) {
        let before = self.by_id.insert(owed.id, self.owed.len());
        assert_eq!(before, None, "P4: two events have the id {}", owed.id);
        self.owed.push(owed);
    }

    fn get(&mut self, id: EventId) -> &mut Owed {
        match self.by_id.get(&id) {
            Some(&place) => &mut self.owed[place],
            None => panic!("P4: nobody is owed an event {id}"),
        }
    }

    fn of(&mut self, event: &Event) -> &mut Owed {
        self.get(event.id)
    }

    fn pass_done(&mut self) {
        while let Some(owed) = self.owed.get(self.done_to) {
            if !owed.done() && !owed.missed {
                break;
            }
            self.done_to += 1;
        }
    }

    /// P3: all ahead of it in its lane is done, or goes in the same request. And in one
    /// life of the daemon nothing is attempted for the first time behind its back.
    fn in_order(&mut self, order: Order, place: usize, batch: &HashSet<usize>) {
        self.pass_done();
        let event = &self.owed[place];
        for (at, earlier) in self.owed.iter().enumerate().take(place).skip(self.done_to) {
            assert!(
                !together(order, earlier, event)
                    || earlier.done()
                    || earlier.missed
                    || batch.contains(&at),
                "P3: {:?} is attempted before {:?}",
                event.position,
                earlier.position
            );
        }
        if event.attempted {
            return;
        }
        for later in self.owed.iter().skip(place + 1) {
            assert!(
                !(later.attempted && together(order, event, later)),
                "P3: {:?} is attempted after {:?}",
                event.position,
                later.position
            );
        }
    }
}

impl Owed {
    /// P4: it looks as it should, and as it did before.
    fn seen(&mut self, event: &Event) {
        assert_eq!(event.position, self.position, "P4: its position");
        assert_eq!(event.table.table, name_of(self.table), "P4: its table");
        assert_eq!(
            event.fate != Fate::Deliver && !self.dead,
            self.fails && !self.dead,
            "P1: the fate of {:?}",
            self.position
        );
        assert!(
            event.body.ends_with(self.body_end.as_bytes()),
            "P4: the body of {:?}",
            self.position
        );
        let digest = Sha256::digest(&event.body);
        let body = u64::from_be_bytes(digest[..8].try_into().unwrap());
        assert_eq!(*self.body.get_or_insert(body), body, "P4: another body");
    }
}

fn places(events: &[&Event]) -> String {
    let places = events.iter().map(|event| event.position.to_string());
    places.collect::<Vec<_>>().join(", ")
}

/// Whether the order of two events of an endpoint is kept.
fn together(order: Order, a: &Owed, b: &Owed) -> bool {
    match order {
        Order::Table => a.table == b.table,
        Order::Endpoint => true,
        Order::Key { .. } => match (&a.rows, &b.rows) {
            (Rows::All, _) | (_, Rows::All) => true,
            (Rows::Some(a), Rows::Some(b)) => a.iter().any(|row| b.contains(row)),
        },
    }
}
