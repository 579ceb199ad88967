//! The exit codes of every command.

use crate::store::StoreError;
use crate::telemetry::control::CallError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    Failed,
    /// The config is wrong.
    ConfigWrong,
    /// A definite condition of the database or the state that a person must mend.
    NeedsPerson,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::ConfigWrong => 64,
            Exit::NeedsPerson => 69,
        }
    }

    /// Of a command that failed on the state file or the control socket.
    pub fn of_error(error: &anyhow::Error) -> Self {
        let needs_person = error.chain().any(|cause| {
            let store = cause.downcast_ref::<StoreError>();
            let call = cause.downcast_ref::<CallError>();
            store.is_some_and(StoreError::needs_person)
                || matches!(call, Some(CallError::Silent { .. }))
        });
        if needs_person {
            Exit::NeedsPerson
        } else {
            Exit::Failed
        }
    }
}

/// What to do about an error, printed below it.
pub fn hint(error: &anyhow::Error) -> Option<&'static str> {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<StoreError>()?.hint())
}
