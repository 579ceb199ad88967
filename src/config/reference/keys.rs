//! The keys, their shapes, their meaning.

use super::{Key, Shape};

const fn key(name: &'static str, value: Shape, about: &'static str) -> Key {
    Key {
        name,
        value,
        default: None,
        required: false,
        about,
    }
}

impl Key {
    const fn default(mut self, default: &'static str) -> Key {
        self.default = Some(default);
        self
    }

    const fn required(mut self) -> Key {
        self.required = true;
        self
    }
}

pub(super) const ROOT: &[Key] = &[
    key("source", Shape::Mapping(SOURCE), "The database that is watched.").required(),
    key(
        "state",
        Shape::Text,
        "The state file: checkpoint, positions, what waits, dead letters. Relative to the config's directory.",
    )
    .default("/var/lib/walhook/state.db"),
    key(
        "spool",
        Shape::Mapping(SPOOL),
        "What waits on disk for endpoints that are slow or down.",
    ),
    key("memory", Shape::Mapping(MEMORY), "What waits in memory."),
    key("admin", Shape::Mapping(ADMIN), "The port with /healthz, /readyz and /metrics. It only reads."),
    key("alerts", Shape::Mapping(ALERTS), "Events about walhook itself: endpoints that fail, a slot that lags, a spool that fills, gaps."),
    key("endpoints", Shape::Each("an endpoint's name: letters, digits, `_`, `-`, `.`, at most 63", ENDPOINT), "Where events go.").required(),
    key(
        "tables",
        Shape::Each("`schema.table`, or a pattern with `*`", TABLE),
        "Which tables make which events. A table takes its exact entry, else the pattern with the longest literal part. \
         Names are literal, not folded; a part with a dot or a star of its own stands in double quotes. \
         May be left out when there are `messages`.",
    ),
    key(
        "messages",
        Shape::Each("a prefix, or a pattern with `*`", MESSAGE),
        "Which logical messages (`pg_logical_emit_message`) make which events, by their prefix. A message takes its exact \
         entry, else the pattern with the longest literal part; a prefix with a star of its own stands in double quotes. \
         What no entry speaks of makes no event.",
    ),
    key(
        "ignore_origins",
        Shape::Names,
        "Changes and transactional messages from these replication origins make no event: one name or a list. \
         For what a receiver writes back, or another database replicates here.",
    ),
];

pub(super) const SOURCE: &[Key] = &[
    key(
        "url",
        Shape::Text,
        "What libpq takes: a URL, or keywords (`host=... dbname=...`). What is left out comes from PGHOST, PGUSER and the like.",
    )
    .required(),
    key(
        "slot",
        Shape::Matching("^[a-z0-9_]{1,63}$"),
        "The replication slot. Created when there is neither slot nor checkpoint.",
    )
    .default("walhook"),
    key(
        "publication",
        Shape::Text,
        "The publication, at most 56 bytes; a second one has `_insert` after this name. Created and kept equal to `tables`; \
         where the role may not, the SQL is printed. Default: the slot's name.",
    ),
];

pub(super) const SPOOL: &[Key] = &[
    key("max_bytes", Shape::Size, "Of waiting events and dead letters, or four fifths of what the disk has free, if that is less; 64KiB to 1PiB.").default("10GiB"),
    key(
        "full",
        Shape::OneOf(&["stop", "disable"]),
        "`stop`: reading stops for all until there is room. `disable`: the endpoint that fills it is disabled, and what it misses is recorded.",
    )
    .default("stop"),
];

pub(super) const MEMORY: &[Key] = &[key(
    "max_bytes",
    Shape::Size,
    "All events held in memory; 64KiB to 1TiB.",
)
.default("24MiB")];

pub(super) const ADMIN: &[Key] =
    &[key("listen", Shape::Text, "An address with a port, or `off`.").default("127.0.0.1:7373")];

pub(super) const ALERTS: &[Key] = &[key(
    "to",
    Shape::Names,
    "The endpoints that get them: one or a list. An alert about an endpoint never goes to that endpoint.",
)
.required()];

pub(super) const ENDPOINT: &[Key] = &[
    key("url", Shape::Text, "http or https. No template; credentials go into a header.").required(),
    key("insecure_http", Shape::Yes, "Allow http to another machine.").default("false"),
    key(
        "secret",
        Shape::Secret,
        "`whsec_` and the base64 of 24 to 64 random bytes; a list while rotating; `{file: name}`, relative to \
         $CREDENTIALS_DIRECTORY, else to the config's directory.",
    )
    .required(),
    key("headers", Shape::Headers, "Sent with every request; values are never shown. Not those of walhook and HTTP."),
    key(
        "order",
        Shape::OneOf(&["table", "key", "endpoint"]),
        "`table`: all changes of a table stay in order. `key`: those of a row; rows run side by side. `endpoint`: commit order across tables.",
    )
    .default("table"),
    key("key_lanes", Shape::Whole { min: 1, max: 1024 }, "With `order: key`: over so many lanes.").default("16"),
    key("concurrency", Shape::Whole { min: 1, max: 1000 }, "Requests in flight over all lanes of the endpoint.").default("16"),
    key("batch", Shape::Mapping(BATCH), "Several events a request, the body an array. Absent: one event a request."),
    key("timeout", Shape::Duration, "For connect, TLS, headers and body together; 1ms to 1h.").default("15s"),
    key("retry", Shape::Mapping(RETRY), "What follows when a request fails."),
    key(
        "max_body",
        Shape::Size,
        "Of one event's body, 1KiB to 1GiB; the default is what nginx takes where nobody told it otherwise.",
    )
    .default("1MiB"),
    key(
        "oversize",
        Shape::OneOf(&["reference", "dead_letter"]),
        "What becomes of a larger one. `reference`: in its place goes the standard body with the key's columns alone, \
         `\"oversize\":true` and `size`, the bytes of the whole one. `dead_letter`, or where the key \
         makes that too large as well: it is kept as a dead letter.",
    )
    .default("reference"),
    key(
        "large_numbers",
        Shape::OneOf(&["number", "string"]),
        "`string`: `int8` and `numeric` go as strings, for receivers whose numbers are doubles. Numbers within `json` stay what they are.",
    )
    .default("number"),
];

pub(super) const BATCH: &[Key] = &[
    key(
        "events",
        Shape::Whole {
            min: 1,
            max: 10_000,
        },
        "Events of a request at most.",
    )
    .default("100"),
    key(
        "wait",
        Shape::Duration,
        "How long the first waits for others, up to 1min.",
    )
    .default("5ms"),
    key(
        "bytes",
        Shape::Size,
        "Of the body; a single event may be larger; 1KiB to 64MiB.",
    )
    .default("1MiB"),
];

pub(super) const RETRY: &[Key] = &[
    key("for", Shape::Duration, "From an event's first attempt; 0s to 10years.").default("3d"),
    key(
        "then",
        Shape::OneOf(&["dead_letter", "block"]),
        "`dead_letter`: the event is kept apart and the lane goes on. `block`: the lane goes on trying for ever.",
    )
    .default("dead_letter"),
    key("max", Shape::Duration, "The longest pause between two attempts.").default("30s"),
    key("park_statuses", Shape::Statuses, "Statuses that make a dead letter at once. Never 2xx, 410 and 429."),
];

pub(super) const TABLE: &[Key] = &[
    key(
        "to",
        Shape::Names,
        "The endpoints of the rules that have none of their own: one or a list.",
    ),
    key(
        "columns",
        Shape::Mapping(COLUMNS),
        "What `data` and `previous` have: all columns, or `include`, or `exclude`.",
    ),
    key(
        "key",
        Shape::List,
        "The columns by which `order: key` tells rows apart. Default: the primary key, else the replica identity.",
    ),
    key(
        "events",
        Shape::Mapping(EVENTS),
        "Operation to rules. Every rule that matches emits. Required, unless there is an `outbox`.",
    ),
    key(
        "outbox",
        Shape::Mapping(OUTBOX),
        "In place of `events`: each inserted row is an event, and these columns say which. Updates and deletes of rows make none.",
    ),
];

pub(super) const OUTBOX: &[Key] = &[
    key(
        "type",
        Shape::Text,
        "The column with the event's type. What it has beside letters, digits, `_` and `.` becomes `_`. A row without a type \
         goes to the dead letters, as `untyped`.",
    )
    .required(),
    key(
        "payload",
        Shape::Text,
        "The column whose value is the event's `data`. A json or jsonb column goes as its JSON.",
    )
    .required(),
    key(
        "key",
        Shape::Text,
        "The column by which `order: key` orders; in `source.outbox.key`. Default: the table's key, which orders nothing among rows.",
    ),
    key(
        "id",
        Shape::Text,
        "The column with the application's id of the event; in `source.outbox.id`. The event's own `id` is walhook's, as for every change.",
    ),
];

pub(super) const MESSAGE: &[Key] = &[
    key(
        "to",
        Shape::Names,
        "The endpoints of the rules that have none of their own: one or a list.",
    ),
    key(
        "key",
        Shape::List,
        "Members of the content by which `order: key` orders the messages of this entry; one that is not there counts as null. \
         Default: their prefix.",
    ),
    key(
        "events",
        Shape::Rules(RULE),
        "A type, in which `{prefix}` may stand, a rule, or a list of them. In `when` and `payload` a message is a row: \
         `new.data` (the content, when it is JSON), `new.data_base64` (when it is not), `new.prefix` and `new.transactional`.",
    )
    .required(),
];

pub(super) const COLUMNS: &[Key] = &[
    key("include", Shape::List, "These alone."),
    key("exclude", Shape::List, "All but these."),
];

pub(super) const EVENTS: &[Key] = &[
    key("insert", Shape::Rules(RULE), "Of inserted rows."),
    key(
        "update",
        Shape::Rules(RULE),
        "Of updated rows; the table needs a replica identity.",
    ),
    key(
        "delete",
        Shape::Rules(RULE),
        "Of deleted rows; the table needs a replica identity.",
    ),
    key(
        "truncate",
        Shape::Rules(RULE),
        "Of a TRUNCATE of the table; `data` is null.",
    ),
];

pub(super) const RULE: &[Key] = &[
    key("type", Shape::Text, "The event's type: letters, digits, `_` and `.`; `{schema}`, `{table}`, `{operation}` may stand in it.").required(),
    key(
        "when",
        Shape::Text,
        "A condition in CEL over `new`, `old`, `operation`, `schema`, `table` and `changed(\"column\")`.",
    ),
    key(
        "when_error",
        Shape::OneOf(&["skip", "emit", "dead_letter"]),
        "When the condition or the payload fails on a row. `skip`: no event, counted. `emit`: as if it were true. \
         `dead_letter`: the event goes to the dead letters.",
    )
    .default("skip"),
    key("to", Shape::Names, "In place of the table's endpoints: one or a list."),
    key(
        "payload",
        Shape::Tree,
        "The body in place of the standard one: any tree with `{{CEL}}` in its strings, not in its keys. A string that is one expression keeps the value's type and digits.",
    ),
];
