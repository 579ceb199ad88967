//! What a command asks for.

use serde::{Deserialize, Serialize};

use crate::store::DeadFilter;

/// `{"dead_show":{"id":7,"body_from":0}}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    Status {},
    /// A page.
    DeadList {
        filter: DeadFilter,
    },
    /// With a part of the body.
    DeadShow {
        id: i64,
        body_from: u64,
    },
    /// With a limit: the next ones, until none is left.
    DeadRetry {
        filter: DeadFilter,
    },
    DeadDrop {
        filter: DeadFilter,
    },
    EndpointEnable {
        name: String,
    },
    EndpointDrop {
        name: String,
    },
}
