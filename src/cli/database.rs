//! Commands that look at the database without the daemon: a control connection for a while.

use std::future::Future;

use anyhow::anyhow;

use super::Exit;
use super::printed::tell;
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::failure::{Failure, Phase, chain, judge};
use crate::postgres::{Client, connect};

/// Runs `work` with a client. A definite failure is printed, and is exit code 69.
pub(super) fn with_client<F>(
    info: &ConnInfo,
    work: impl FnOnce(Client) -> F,
) -> anyhow::Result<Exit>
where
    F: Future<Output = anyhow::Result<Exit>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // The replication connection first, as the daemon does: it never gives the
        // password in clear text to who might listen, and pg_hba.conf is tried for it.
        let connected = async {
            match connect::replication(info).await {
                Ok(replication) => drop(replication),
                // The preflight says it with all else that is wrong.
                Err(error) if error.is_not_allowed() => {}
                Err(error) => return Err(error),
            }
            connect::control(info).await
        };
        let (control, connection) = match connected.await {
            Ok(connected) => connected,
            Err(error) => {
                return match judge(&error, Phase::Starting) {
                    Failure::Definite(text) => {
                        tell(format_args!("walhook: {text}"));
                        Ok(Exit::Definite)
                    }
                    Failure::Transient(text) => Err(anyhow!(text)),
                };
            }
        };
        let driver = tokio::spawn(connection);
        connect::pin(&control.client).await.map_err(told)?;
        let result = work(control.client).await;
        driver.abort();
        result
    })
}

/// An error of Postgres as text without what may hold values.
pub(super) fn told(error: impl std::error::Error + 'static) -> anyhow::Error {
    anyhow!("failed to {}", chain(&error))
}
