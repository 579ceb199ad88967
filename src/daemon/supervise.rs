//! Supervision: every task is named and joined; a panic in one is an error of the daemon.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::source::SourceError;
use crate::store::StoreCallError;

/// What a task is, in messages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskName {
    Source,
    Endpoint(Arc<str>),
    Checkpoint,
    Admin,
    Control,
    Refresh,
    Alerts,
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskName::Source => f.write_str("source"),
            TaskName::Endpoint(name) => write!(f, "endpoint {name}"),
            TaskName::Checkpoint => f.write_str("checkpoint"),
            TaskName::Admin => f.write_str("admin port"),
            TaskName::Control => f.write_str("control socket"),
            TaskName::Refresh => f.write_str("watch"),
            TaskName::Alerts => f.write_str("alerts"),
        }
    }
}

/// Why a task ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("failed to keep the state")]
    Store(#[from] StoreCallError),
    #[error("failed to serve")]
    Serve(#[from] std::io::Error),
    #[error("the {0} task ended unasked")]
    Ended(TaskName),
    #[error("the {0} task panicked")]
    Panicked(TaskName),
}

/// The tokens of the shutdown's steps, in their order.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    pub reading: CancellationToken,
    pub endpoints: CancellationToken,
    pub checkpoint: CancellationToken,
    pub stream: CancellationToken,
    pub rest: CancellationToken,
}

/// All of a shutdown.
const SHUTDOWN_MAX: Duration = Duration::from_secs(18);
/// Of it, what the endpoints may take to end their attempts.
const ENDPOINTS_MAX: Duration = Duration::from_secs(15);

/// The running tasks.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<(TaskName, Result<(), TaskError>)>,
    running: BTreeSet<TaskName>,
}

impl Tasks {
    pub fn spawn<F>(&mut self, name: TaskName, task: F)
    where
        F: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        self.running.insert(name.clone());
        let named = name.clone();
        self.set.spawn(async move {
            // A panic would lose the name; so the task is joined here.
            let joined = AbortOnDrop(tokio::spawn(task)).await;
            let result = match joined {
                Ok(result) => result,
                Err(error) if error.is_panic() => Err(TaskError::Panicked(name)),
                Err(_) => Ok(()),
            };
            (named, result)
        });
    }

    /// The next task that ends.
    pub async fn ended(&mut self) -> Option<(TaskName, Result<(), TaskError>)> {
        let (name, result) = self.set.join_next().await?.ok()?;
        self.running.remove(&name);
        Some((name, result))
    }

    /// Ends all tasks in the order of the module's list. The first error wins.
    pub async fn shut_down(&mut self, stop: &Stop) -> Result<(), TaskError> {
        let deadline = Instant::now() + SHUTDOWN_MAX;
        let mut result = Ok(());
        stop.reading.cancel();
        stop.endpoints.cancel();
        let endpoints_deadline = Instant::now() + ENDPOINTS_MAX;
        self.wait_for(endpoints_deadline, &mut result, |name| {
            matches!(name, TaskName::Endpoint(_))
        })
        .await;
        stop.checkpoint.cancel();
        self.wait_for(deadline, &mut result, |name| *name == TaskName::Checkpoint)
            .await;
        stop.stream.cancel();
        self.wait_for(deadline, &mut result, |name| *name == TaskName::Source)
            .await;
        stop.rest.cancel();
        self.wait_for(deadline, &mut result, |_| true).await;
        self.set.shutdown().await;
        result
    }

    async fn wait_for(
        &mut self,
        deadline: Instant,
        result: &mut Result<(), TaskError>,
        which: impl Fn(&TaskName) -> bool,
    ) {
        while self.running.iter().any(&which) {
            match timeout_at(deadline, self.ended()).await {
                Ok(Some((_, Ok(())))) => {}
                Ok(Some((name, Err(error)))) => {
                    if result.is_ok() {
                        *result = Err(error);
                    } else {
                        error!(task = %name, %error, "a task failed during shutdown");
                    }
                }
                Ok(None) => return,
                Err(_) => {
                    let late: Vec<String> = self
                        .running
                        .iter()
                        .filter(|name| which(name))
                        .map(TaskName::to_string)
                        .collect();
                    warn!(
                        tasks = late.join(", "),
                        "not waiting any longer for tasks to end"
                    );
                    self.running.retain(|name| !which(name));
                    return;
                }
            }
        }
    }
}

/// A task that is dropped with its joiner.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, JoinError>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(context)
    }
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    pub fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub async fn next(&mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "stopping");
    }
}
