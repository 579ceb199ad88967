//! What systemd is told: READY once changes are streamed, STATUS on every change,
//! WATCHDOG while the daemon can do its work.
//!
//! <https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>

use sd_notify::NotifyState;

/// Changes are streamed.
pub fn ready() {
    notify(&[NotifyState::Ready, NotifyState::Status("streaming")]);
}

/// What the daemon waits for.
pub fn waiting(reason: &str) {
    notify(&[NotifyState::Status(reason)]);
}

pub fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// The daemon can do its work. Nothing happens where the unit has no `WatchdogSec`.
pub fn alive() {
    if sd_notify::watchdog_enabled().is_some() {
        notify(&[NotifyState::Watchdog]);
    }
}

/// Without systemd there is no socket and nothing happens.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "failed to notify systemd");
    }
}
