//! The signals by which a person ends a command.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, SIGTERM and SIGHUP, from its making on.
#[derive(Debug)]
pub(super) struct Ended {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Ended {
    pub fn new() -> std::io::Result<Self> {
        Ok(Ended {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Comes back at the first of them.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
