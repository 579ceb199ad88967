//! What a command is answered.

use std::error::Error;

use serde::{Deserialize, Serialize};

use super::status::Status;
use crate::store::{DeadLetter, DeadPage, DisabledBy, Dropped, StoreError};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Response {
    Status(Box<Status>),
    DeadList(DeadPage),
    DeadShow(Box<DeadLetter>),
    /// There is no dead letter of that number.
    DeadUnknown {},
    DeadRetried {
        count: u64,
    },
    DeadDropped {
        count: u64,
    },
    EndpointEnabled {
        /// `None`: it was not disabled.
        was_disabled_by: Option<DisabledBy>,
    },
    EndpointDropped(Dropped),
    /// The request was not carried out.
    Failed {
        /// A lowercase fragment, with its causes.
        message: String,
        hint: Option<String>,
    },
}

impl Response {
    pub fn failed(message: impl Into<String>) -> Self {
        Response::Failed {
            message: message.into(),
            hint: None,
        }
    }

    pub fn of_error(error: &StoreError) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Response::Failed {
            message,
            hint: error.hint().map(str::to_owned),
        }
    }
}
