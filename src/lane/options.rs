//! What the config says of an endpoint's lanes.

use std::time::Duration;

/// Which events of an endpoint stay in order with one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// All of a table.
    Table,
    /// All of a row; rows run side by side over `lanes` lanes.
    Key { lanes: u16 },
    /// All of the endpoint, in commit order across tables.
    Endpoint,
}

/// How events are gathered into one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub events_max: usize,
    /// How long the first event of a batch waits for others.
    pub wait: Duration,
    /// Of the body. A single event may be larger.
    pub bytes_max: usize,
}

/// What becomes of an event when `retry.for` is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryThen {
    DeadLetter,
    /// The lane goes on trying, for ever.
    Block,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// From an event's first attempt.
    pub give_up_after: Duration,
    pub then: RetryThen,
    /// Upper bound of the backoff between two attempts.
    pub backoff_max: Duration,
    /// Statuses that make a dead letter at once. Never 2xx, 429 or 410.
    pub park_statuses: Vec<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneOptions {
    pub order: Order,
    /// Requests in flight over all lanes of the endpoint, at least 1.
    pub concurrency: usize,
    /// `None`: one event a request, the body an object; else the body is an array.
    pub batch: Option<Batch>,
    pub retry: Retry,
}
