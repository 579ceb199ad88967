//! `walhook run`: config before state file before runtime before sockets.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;

use super::Exit;
use super::printed::tell;
use crate::config::Config;
use crate::daemon::{Daemon, DaemonError};
use crate::store::{StateLock, Store, StoreError};

/// A command that works on the state file holds its lock for a moment.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// The pipeline is bound by one connection's decoding; more threads cost more wake-ups.
const WORKER_THREADS: usize = 2;

pub fn run(config: Config) -> anyhow::Result<Exit> {
    let lock = match acquire(&config.state) {
        Ok(lock) => lock,
        Err(error) => return failed(&DaemonError::from(error)),
    };
    let store = match Store::open(lock) {
        Ok(store) => store,
        Err(error) => return failed(&DaemonError::from(error)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let result = runtime.block_on(Daemon::new(config, store).run());
    // What hangs in a blocking call (name resolution) is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match result {
        Ok(()) => {
            tracing::info!("stopped");
            Ok(Exit::Done)
        }
        Err(error) => failed(&error),
    }
}

fn acquire(state: &Path) -> Result<StateLock, StoreError> {
    for _ in 1..LOCK_TRIES {
        match StateLock::acquire(state) {
            Err(StoreError::Locked { .. }) => sleep(LOCK_PAUSE),
            acquired => return acquired,
        }
    }
    StateLock::acquire(state)
}

/// Prints the error with its causes and its hint, once.
fn failed(error: &DaemonError) -> anyhow::Result<Exit> {
    tell(format_args!(
        "walhook: {}",
        crate::postgres::failure::chain(error)
    ));
    if let Some(hint) = error.hint() {
        tell(format_args!("  hint: {hint}"));
    }
    Ok(if error.is_definite() {
        Exit::Definite
    } else {
        Exit::Failed
    })
}
