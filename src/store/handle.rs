//! The store's thread: SQLite blocks, so it runs beside the runtime.

use tokio::sync::{mpsc, oneshot};

use super::{Store, StoreError};

type Job = Box<dyn FnOnce(&mut Store) + Send>;

/// Jobs that may wait for the store. Each waiting caller holds one.
const JOBS_MAX: usize = 64;

/// Sends jobs to the thread that owns the [`Store`]. They run one after another, in
/// the order in which they were sent.
#[derive(Clone, Debug)]
pub struct StoreHandle {
    jobs: mpsc::Sender<Job>,
}

/// The half that the thread runs; it ends once every handle is dropped.
pub struct StoreThread {
    store: Store,
    jobs: mpsc::Receiver<Job>,
}

/// The daemon is ending: the store's thread has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state file's thread has stopped")]
pub struct StoreStopped;

impl StoreHandle {
    pub fn new(store: Store) -> (StoreHandle, StoreThread) {
        let (sender, jobs) = mpsc::channel(JOBS_MAX);
        (StoreHandle { jobs: sender }, StoreThread { store, jobs })
    }

    /// Runs `job` on the store and waits for what it returns. Once it was sent it runs
    /// to its end, also when this future is dropped.
    pub async fn call<T, F>(&self, job: F) -> Result<T, StoreCallError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |store| {
            // The caller may have gone.
            let _ = answer.send(job(store));
        });
        self.jobs
            .send(job)
            .await
            .map_err(|_| StoreCallError::Stopped(StoreStopped))?;
        match answered.await {
            Ok(result) => result.map_err(StoreCallError::Store),
            Err(_) => Err(StoreCallError::Stopped(StoreStopped)),
        }
    }
}

/// Why a job has no result.
#[derive(Debug, thiserror::Error)]
pub enum StoreCallError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Stopped(#[from] StoreStopped),
}

impl StoreThread {
    /// Blocks until every handle is dropped, then closes the store.
    pub fn run(mut self) {
        while let Some(job) = self.jobs.blocking_recv() {
            job(&mut self.store);
        }
    }
}
