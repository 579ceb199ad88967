//! What the failure of a command on the state file or the control socket means.

use super::Exit;
use crate::store::StoreError;
use crate::telemetry::control::CallError;

/// The exit code that an error asks for.
pub fn exit(error: &anyhow::Error) -> Exit {
    let needs_person = error.chain().any(|cause| {
        let store = cause.downcast_ref::<StoreError>();
        let call = cause.downcast_ref::<CallError>();
        store.is_some_and(StoreError::needs_person)
            || matches!(call, Some(CallError::Silent { .. }))
    });
    if needs_person {
        Exit::Definite
    } else {
        Exit::Failed
    }
}

/// What to do about it, to be printed below it.
pub fn hint(error: &anyhow::Error) -> Option<&'static str> {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<StoreError>()?.hint())
}
