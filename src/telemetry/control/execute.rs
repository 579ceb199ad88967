//! A request carried out on the store: by the daemon's store thread, or by the
//! command itself where no daemon runs.
//!
//! The daemon does more around it: it completes the status, has its endpoints read
//! the dead letters to retry, wakes an endpoint that was enabled, and refuses to
//! drop an endpoint that its config has.

use super::request::Request;
use super::response::Response;
use super::status::Status;
use crate::store::{DisabledBy, Dropped, EndpointState, Store, StoreError};

pub fn execute(store: &mut Store, request: &Request, now_ms: i64) -> Result<Response, StoreError> {
    match request {
        Request::Status {} => Ok(Response::Status(Box::new(Status::of_store(store)?))),
        Request::DeadList { filter } => store.dead_list(filter).map(Response::DeadList),
        Request::DeadShow { id, body_from } => Ok(match store.dead_show(*id, *body_from)? {
            Some(letter) => Response::DeadShow(Box::new(letter)),
            None => Response::DeadUnknown {},
        }),
        Request::DeadRetry { filter } => {
            let count = store.dead_retry(filter)?;
            Ok(Response::DeadRetried { count })
        }
        Request::DeadDrop { filter } => {
            let count = store.dead_drop(filter)?;
            Ok(Response::DeadDropped { count })
        }
        Request::EndpointEnable { name } => {
            let was_disabled_by = enable(store, name, now_ms)?;
            Ok(Response::EndpointEnabled { was_disabled_by })
        }
        Request::EndpointDrop { name } => {
            let mut sum: Option<Dropped> = None;
            for slot in store.slots()? {
                if let Some(dropped) = store.drop_endpoint(&slot, name, now_ms)? {
                    let sum = sum.get_or_insert_default();
                    sum.positions += dropped.positions;
                    sum.waiting_events += dropped.waiting_events;
                    sum.dead_letters += dropped.dead_letters;
                }
            }
            Ok(sum.map_or_else(
                || {
                    Response::failed(format!(
                        "the state file has nothing of an endpoint \"{}\"",
                        name.escape_debug()
                    ))
                },
                Response::EndpointDropped,
            ))
        }
    }
}

fn enable(store: &mut Store, name: &str, now_ms: i64) -> Result<Option<DisabledBy>, StoreError> {
    let mut was_disabled_by = None;
    for slot in store.slots()? {
        let state = store.load(&slot)?;
        let row = state.endpoints.iter().find(|row| row.endpoint == name);
        if let Some(EndpointState::Disabled(by)) = row.map(|row| row.state) {
            store.set_endpoint(&slot, name, EndpointState::Enabled, now_ms)?;
            was_disabled_by = Some(by);
        }
    }
    Ok(was_disabled_by)
}
