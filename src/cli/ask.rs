//! Requests of a command: to the daemon when one runs, else to the state file.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{anyhow, bail};

use crate::lane::clock::unix_us;
use crate::store::{StateFiles, StateLock, Store, StoreError};
use crate::telemetry::control::{Request, Response, call, execute};

/// Stays with the first that answered: several requests are one conversation.
#[derive(Debug)]
pub struct Conversation {
    files: StateFiles,
    partner: Partner,
}

#[derive(Debug)]
enum Partner {
    NotYetKnown,
    Daemon,
    /// The lock is held until the conversation ends.
    StateFile(Box<Store>),
}

impl Conversation {
    pub fn with(state: &Path) -> anyhow::Result<Self> {
        Ok(Conversation {
            files: StateFiles::at(state)?,
            partner: Partner::NotYetKnown,
        })
    }

    pub fn is_with_daemon(&self) -> bool {
        matches!(self.partner, Partner::Daemon)
    }

    /// Never [`Response::Failed`], which is an error.
    pub fn ask(&mut self, request: &Request) -> anyhow::Result<Response> {
        let response = match &mut self.partner {
            Partner::StateFile(store) => execute(store, request, now_ms())?,
            Partner::Daemon => call(&self.files, request)?
                .ok_or_else(|| anyhow!("the daemon has ended meanwhile"))?,
            Partner::NotYetKnown => {
                let (partner, response) = first(&self.files, request)?;
                self.partner = partner;
                response
            }
        };
        match response {
            Response::Failed { message, hint } => Err(match hint {
                Some(hint) => anyhow!("{message}\n  hint: {hint}"),
                None => anyhow!(message),
            }),
            response => Ok(response),
        }
    }
}

/// A daemon that starts has the lock before it has the socket, so a lock that is
/// held is waited for a little.
fn first(files: &StateFiles, request: &Request) -> anyhow::Result<(Partner, Response)> {
    const TRIES: usize = 10;
    const PAUSE: Duration = Duration::from_millis(100);
    let mut tries = 1;
    loop {
        if let Some(response) = call(files, request)? {
            return Ok((Partner::Daemon, response));
        }
        // A command makes no state file, nor a lock beside none.
        if !files.state().exists() {
            bail!(
                "state file \"{}\" does not exist and no daemon runs with it",
                files.state().display()
            );
        }
        match StateLock::acquire(files.state()) {
            Ok(lock) => {
                let mut store = Store::open(lock)?;
                let response = execute(&mut store, request, now_ms())?;
                return Ok((Partner::StateFile(Box::new(store)), response));
            }
            Err(StoreError::Locked { .. }) if tries < TRIES => sleep(PAUSE),
            Err(error) => return Err(error.into()),
        }
        tries += 1;
    }
}

pub(super) fn now_ms() -> i64 {
    unix_us() / 1000
}

/// The daemon answered something else than what was asked for.
pub(super) fn unexpected() -> anyhow::Error {
    anyhow!("the answer does not fit the request")
}
