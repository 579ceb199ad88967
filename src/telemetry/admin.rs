//! The admin port: /healthz, /readyz and /metrics. It only reads.
//!
//! - `/healthz` answers 200 while the process can answer.
//! - `/readyz` answers 200 while changes are streamed, else 503 with the reason.
//! - `/metrics` is the Prometheus text format.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::view::{EndpointHealth, StreamState, View};

/// The address is taken or not ours.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address} for the admin port")]
pub struct AdminError {
    pub address: SocketAddr,
    #[source]
    pub source: io::Error,
}

/// What the pages are made of. `refresh` brings the gauges up to date.
#[derive(Clone)]
pub struct Pages {
    pub metrics: Arc<Metrics>,
    pub view: Arc<View>,
    pub refresh: Arc<dyn Fn() + Send + Sync>,
}

pub async fn bind(address: SocketAddr) -> Result<TcpListener, AdminError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| AdminError { address, source })
}

/// Serves until `stop`; does not wait for open connections.
pub fn serve(
    listener: TcpListener,
    pages: Pages,
    stop: CancellationToken,
) -> impl Future<Output = io::Result<()>> + Send {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(pages);
    async move {
        tokio::select! {
            served = axum::serve(listener, router) => served,
            () = stop.cancelled() => Ok(()),
        }
    }
}

async fn readyz(State(pages): State<Pages>) -> (StatusCode, String) {
    let shown = pages.view.shown();
    let (mut status, mut text) = match shown.stream {
        StreamState::Streaming => (StatusCode::OK, "streaming\n".to_owned()),
        StreamState::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n".to_owned()),
        StreamState::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned()),
        StreamState::Waiting { reason } | StreamState::Stuck { reason } => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n"))
        }
    };
    if shown.spool.stops {
        status = StatusCode::SERVICE_UNAVAILABLE;
    }
    if let Some(warning) = shown.spool.warning {
        text.push_str(&warning);
        text.push('\n');
    }
    // A failing endpoint is told, and harms only itself.
    for endpoint in shown.endpoints {
        match endpoint.health {
            EndpointHealth::Ok => {}
            EndpointHealth::Failing { last, .. } => {
                text.push_str(&format!("endpoint {} is failing: {last}\n", endpoint.name));
            }
            EndpointHealth::Disabled { by } => {
                text.push_str(&format!("endpoint {} is disabled: {by}\n", endpoint.name));
            }
        }
    }
    for warning in shown.warnings {
        text.push_str(&warning);
        text.push('\n');
    }
    (status, text)
}

async fn metrics(State(pages): State<Pages>) -> Response {
    (pages.refresh)();
    match pages.metrics.render() {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
