//! The names that a config may have, by the mapping they stand in.

/// The keys of one mapping.
pub struct Keys {
    pub known: &'static [&'static str],
    /// Names that a later version will read: refused, so that none is ignored in silence.
    pub later: &'static [&'static str],
}

impl Keys {
    /// What to write, for messages.
    pub fn wanted(&self) -> String {
        match self.known {
            [one] => format!("the key {one}"),
            all => format!("the keys {}", all.join(", ")),
        }
    }
}

pub const ROOT: Keys = Keys {
    known: &[
        "source",
        "state",
        "spool",
        "memory",
        "admin",
        "alerts",
        "endpoints",
        "tables",
        "messages",
        "ignore_origins",
    ],
    later: &[],
};

pub const SOURCE: Keys = now(&["url", "slot", "publication"]);

pub const SPOOL: Keys = now(&["max_bytes", "full"]);
pub const MEMORY: Keys = now(&["max_bytes"]);
pub const ADMIN: Keys = now(&["listen"]);
pub const ALERTS: Keys = now(&["to"]);

pub const ENDPOINT: Keys = Keys {
    known: &[
        "url",
        "insecure_http",
        "secret",
        "headers",
        "order",
        "key_lanes",
        "concurrency",
        "batch",
        "timeout",
        "retry",
        "max_body",
        "oversize",
        "large_numbers",
    ],
    later: &[],
};

pub const SECRET: Keys = now(&["file"]);
pub const BATCH: Keys = now(&["events", "wait", "bytes"]);
pub const RETRY: Keys = now(&["for", "then", "max", "park_statuses"]);

pub const TABLE: Keys = now(&["to", "columns", "key", "events", "outbox"]);
pub const COLUMNS: Keys = now(&["include", "exclude"]);
pub const EVENTS: Keys = now(&["insert", "update", "delete", "truncate"]);
pub const RULE: Keys = now(&["type", "when", "when_error", "to", "payload"]);

pub const OUTBOX: Keys = now(&["type", "payload", "key", "id"]);
pub const MESSAGE: Keys = now(&["to", "key", "events"]);

const fn now(known: &'static [&'static str]) -> Keys {
    Keys { known, later: &[] }
}

/// A variable without `__` in its name is read when it has the name of one of these.
pub fn is_root(name: &str) -> bool {
    ROOT.known.contains(&name) || ROOT.later.contains(&name)
}

/// Where a name belongs that stands in the wrong mapping.
pub fn home(key: &str) -> Option<&'static str> {
    const HOMES: [(&str, &Keys); 10] = [
        ("the top level", &ROOT),
        ("source", &SOURCE),
        ("admin", &ADMIN),
        ("an endpoint", &ENDPOINT),
        ("an endpoint's retry", &RETRY),
        ("a table", &TABLE),
        ("a table's columns", &COLUMNS),
        ("a table's events", &EVENTS),
        ("a rule", &RULE),
        ("an endpoint's batch", &BATCH),
    ];
    HOMES
        .iter()
        .find(|(_, keys)| keys.known.contains(&key))
        .map(|(home, _)| *home)
}
