//! Failpoints: places at which a test makes the daemon crash, panic, fail or wait.
//!
//! ```text
//! WALHOOK_FAILPOINT="before status update=crash@3;before send=delay"
//! ```
//!
//! At the third pass the process aborts, as by `kill -9`; `panic` and `error` act once, too,
//! `delay` from its pass on each time. A build without debug assertions, as a release is,
//! has none of it: [`before`] and [`after`] are empty there.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tracing::warn;

const VARIABLE: &str = "WALHOOK_FAILPOINT";
const DELAY: Duration = Duration::from_millis(30);

/// A test wants this to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failpoint")]
pub struct Failed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Crash,
    Panic,
    Error,
    Delay,
}

struct Point {
    name: String,
    action: Action,
    /// The pass at which it acts, from 1.
    at: u32,
    passed: AtomicU32,
}

/// To be called before `what` is done: nothing, or what a test asked for.
#[inline]
pub fn before(what: &str) -> Result<(), Failed> {
    if cfg!(debug_assertions) {
        pass("before", what)
    } else {
        Ok(())
    }
}

/// The same once it is done.
#[inline]
pub fn after(what: &str) -> Result<(), Failed> {
    if cfg!(debug_assertions) {
        pass("after", what)
    } else {
        Ok(())
    }
}

fn pass(side: &str, what: &str) -> Result<(), Failed> {
    let Some(action) = due(side, what) else {
        return Ok(());
    };
    warn!("failpoint {side} {what}: {action:?}");
    match action {
        Action::Crash => std::process::abort(),
        Action::Panic => panic!("failpoint {side} {what}"),
        Action::Error => Err(Failed),
        Action::Delay => {
            std::thread::sleep(DELAY);
            Ok(())
        }
    }
}

fn due(side: &str, what: &str) -> Option<Action> {
    static POINTS: OnceLock<Vec<Point>> = OnceLock::new();
    let points = POINTS.get_or_init(|| {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        text.split(';').filter_map(point).collect()
    });
    points
        .iter()
        .filter(|point| point.name.split_once(' ') == Some((side, what)))
        .find_map(|point| {
            let pass = point.passed.fetch_add(1, Ordering::Relaxed) + 1;
            let is_due = match point.action {
                Action::Delay => pass >= point.at,
                Action::Crash | Action::Panic | Action::Error => pass == point.at,
            };
            is_due.then_some(point.action)
        })
}

fn point(text: &str) -> Option<Point> {
    let (name, action) = text.split_once('=')?;
    let (action, at) = action.split_once('@').unwrap_or((action, "1"));
    Some(Point {
        name: name.to_owned(),
        action: match action {
            "crash" => Action::Crash,
            "panic" => Action::Panic,
            "error" => Action::Error,
            "delay" => Action::Delay,
            _ => return None,
        },
        at: at.parse().ok()?,
        passed: AtomicU32::new(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_name_an_action_and_a_pass() {
        let read = |text| point(text).map(|point| (point.name, point.action, point.at));
        let send = || "before send".to_owned();
        assert_eq!(
            read("before send=crash@3"),
            Some((send(), Action::Crash, 3))
        );
        assert_eq!(read("before send=delay"), Some((send(), Action::Delay, 1)));
        assert_eq!(read(""), None);
        assert_eq!(read("before send=explode"), None);
    }

    #[test]
    fn without_the_variable_all_pass() {
        assert_eq!(before("send"), Ok(()));
    }
}
