//! The canary: the control connection, watched. At a shutdown of Postgres it ends at once,
//! while the walsender would wait for a confirmation that may never come.

use std::future::Future;

use tokio::sync::oneshot;

/// Ends with why the control connection ended. Dropped, it closes that connection.
pub(super) struct Canary {
    ended: oneshot::Receiver<String>,
    driver: tokio::task::JoinHandle<()>,
}

impl Canary {
    pub(super) fn keep(connection: impl Future<Output = String> + Send + 'static) -> Self {
        let (tell, ended) = oneshot::channel();
        let driver = tokio::spawn(async move {
            let _ = tell.send(connection.await);
        });
        Canary { ended, driver }
    }

    pub(super) async fn ended(&mut self) -> String {
        match (&mut self.ended).await {
            Ok(reason) => reason,
            Err(_) => "control connection ended".to_owned(),
        }
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
