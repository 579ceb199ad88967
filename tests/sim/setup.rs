//! What a seed is played with: tables, rules, endpoints, how often things fail.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use walhook::change::{Operation, ReplicaIdentity};
use walhook::event::EndpointIndex;
use walhook::lane::options::{Batch, LaneOptions, Order, Retry, RetryThen};
use walhook::mapping::condition::Condition;
use walhook::mapping::rule::{
    ColumnSelection, NamePattern, Rule, TablePattern, TableRules, TypeTemplate, WhenError,
};
use walhook::store::SpoolFull;

pub const SYSTEM: u64 = 7_300_000_000_000_000_001;
pub const ENDPOINTS: usize = 3;
pub const ORIGIN: &str = "elsewhere";
pub const PARKED_STATUS: u16 = 422;

/// A table of the simulated database: `(id int8, n int8, note text)`.
pub struct Table {
    pub oid: u32,
    pub name: &'static str,
    pub identity: ReplicaIdentity,
    pub has_key: bool,
    pub operations: &'static [Operation],
}

use Operation::{Delete, Insert, Message, Truncate, Update};

pub const TABLES: [Table; 4] = [
    Table {
        oid: 16_401,
        name: "orders",
        identity: ReplicaIdentity::Default,
        has_key: true,
        operations: &[Insert, Insert, Update, Update, Delete, Truncate],
    },
    Table {
        oid: 16_402,
        name: "items",
        identity: ReplicaIdentity::Full,
        has_key: true,
        operations: &[Insert, Update, Update, Delete],
    },
    Table {
        oid: 16_403,
        name: "logs",
        identity: ReplicaIdentity::Default,
        has_key: false,
        operations: &[Insert],
    },
    Table {
        oid: 16_404,
        name: "quiet",
        identity: ReplicaIdentity::Default,
        has_key: true,
        operations: &[Insert, Update],
    },
];

/// In the place of a table: the messages of an entry.
pub const MESSAGES: usize = TABLES.len();
pub const PREFIX: &str = "sim.note";

pub fn name_of(table: usize) -> &'static str {
    TABLES.get(table).map_or(PREFIX, |table| table.name)
}

/// A rule, and when it matches by the row's `n`: kept apart from the condition's text,
/// which the mapper evaluates.
pub struct Wanted {
    pub table: usize,
    pub operation: Operation,
    pub event_type: &'static str,
    pub to: &'static [usize],
    pub when: Option<&'static str>,
    pub matches: fn(u64) -> bool,
    /// Its condition fails on the row: a dead letter.
    pub fails: fn(u64) -> bool,
}

const ALWAYS: fn(u64) -> bool = |_| true;
const NEVER: fn(u64) -> bool = |_| false;

const fn wanted(
    table: usize,
    operation: Operation,
    event_type: &'static str,
    to: &'static [usize],
) -> Wanted {
    Wanted {
        table,
        operation,
        event_type,
        to,
        when: None,
        matches: ALWAYS,
        fails: NEVER,
    }
}

pub const WANTED: [Wanted; 13] = [
    wanted(0, Insert, "order.created", &[0, 1, 2]),
    wanted(0, Update, "order.changed", &[0, 1]),
    Wanted {
        when: Some("new.n % 2 == 0"),
        matches: |n| n % 2 == 0,
        ..wanted(0, Update, "order.even", &[0])
    },
    wanted(0, Update, "order.seen", &[0, 2]),
    wanted(0, Delete, "order.deleted", &[0, 1, 2]),
    wanted(0, Truncate, "orders.truncated", &[0, 1, 2]),
    Wanted {
        when: Some("1 / (new.n % 9) >= 0"),
        fails: |n| n % 9 == 0,
        ..wanted(1, Insert, "item.added", &[1, 2])
    },
    wanted(1, Update, "item.changed", &[1, 2]),
    wanted(1, Delete, "item.removed", &[1]),
    wanted(2, Insert, "log.written", &[0, 2]),
    Wanted {
        when: Some("new.n < 0"),
        matches: NEVER,
        ..wanted(3, Update, "quiet.changed", &[0])
    },
    wanted(MESSAGES, Message, "note.taken", &[0, 1, 2]),
    Wanted {
        when: Some("1 / (new.data.n % 5) >= 0"),
        fails: |n| n % 5 == 0,
        ..wanted(MESSAGES, Message, "note.told", &[0])
    },
];

/// The rules as a config would give them.
pub struct Rules {
    pub tables: Arc<[TableRules]>,
    pub messages: Arc<[TableRules]>,
}

pub fn rules() -> Rules {
    let tables = TABLES.iter().enumerate();
    Rules {
        tables: tables
            .map(|(place, table)| entry(place, "public", table.name))
            .collect(),
        messages: Arc::new([entry(MESSAGES, "", PREFIX)]),
    }
}

fn entry(place: usize, schema: &str, name: &str) -> TableRules {
    let exact = |name: &str| NamePattern::Exact(name.to_owned());
    let wanted = WANTED.iter().filter(|wanted| wanted.table == place);
    TableRules {
        name: name.into(),
        pattern: TablePattern {
            schema: exact(schema),
            table: exact(name),
        },
        columns: ColumnSelection::All,
        key: None,
        outbox: None,
        rules: wanted
            .map(|wanted| Rule {
                name: wanted.event_type.into(),
                operation: wanted.operation,
                event_type: TypeTemplate::parse(wanted.event_type).unwrap(),
                when: wanted.when.map(|text| Condition::compile(text).unwrap()),
                when_error: WhenError::DeadLetter,
                endpoints: wanted.to.iter().map(|&to| EndpointIndex(to)).collect(),
                payload: None,
            })
            .collect(),
    }
}

/// What differs from seed to seed.
pub struct Setup {
    pub steps: usize,
    pub endpoints: Vec<LaneOptions>,
    pub memory_bytes: u64,
    pub spool_bytes: u64,
    pub spool_full: SpoolFull,
    /// Transactions without a published change are sent, as version 14 does.
    pub sends_empty: bool,
    /// `ignore_origins` names the one origin.
    pub ignores_origin: bool,
    /// One row in so many has a note of up to `note_bytes`.
    pub note_every: u64,
    pub note_bytes: usize,
    /// The weights of harm, in percent of what they can be.
    pub crashes: u32,
    pub server_crashes: u32,
    pub disconnects: u32,
    pub disk_faults: u32,
    pub moods: u32,
}

impl Setup {
    pub fn of(rng: &mut Rng) -> Self {
        let percent = |rng: &mut Rng| {
            if rng.u8(..3) == 0 {
                0
            } else {
                rng.u32(1..=100)
            }
        };
        let (note_every, note_bytes) = match rng.u8(..6) {
            0 => (6, 90_000),
            1 | 2 => (3, 4_000),
            _ => (u64::MAX, 0),
        };
        Setup {
            steps: rng.usize(60..400),
            endpoints: (0..ENDPOINTS).map(|_| options(rng)).collect(),
            memory_bytes: [6_000, 30_000, 1 << 20][rng.usize(..3)].max(note_bytes as u64 * 2),
            spool_bytes: if rng.u8(..6) == 0 { 6_000 } else { 1 << 30 },
            spool_full: if rng.bool() {
                SpoolFull::Stop
            } else {
                SpoolFull::Disable
            },
            sends_empty: rng.bool(),
            ignores_origin: rng.u8(..3) == 0,
            note_every,
            note_bytes,
            crashes: percent(rng),
            server_crashes: percent(rng),
            disconnects: percent(rng),
            disk_faults: percent(rng),
            moods: percent(rng),
        }
    }
}

fn options(rng: &mut Rng) -> LaneOptions {
    let order = match rng.u8(..3) {
        0 => Order::Table,
        1 => Order::Key {
            lanes: rng.u16(1..5),
        },
        _ => Order::Endpoint,
    };
    let batch = rng.bool().then(|| Batch {
        events_max: rng.usize(1..6),
        wait: Duration::from_millis(rng.u64(..50)),
        bytes_max: 1 << 20,
    });
    LaneOptions {
        order,
        concurrency: rng.usize(1..5),
        batch,
        retry: Retry {
            give_up_after: Duration::from_secs([20, 3_600][rng.usize(..2)]),
            then: if rng.u8(..3) == 0 {
                RetryThen::Block
            } else {
                RetryThen::DeadLetter
            },
            backoff_max: Duration::from_secs(8),
            park_statuses: vec![PARKED_STATUS],
        },
    }
}
