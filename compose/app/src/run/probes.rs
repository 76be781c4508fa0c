//! `/livez`, `/readyz` and `/metrics`.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{http, telemetry};
use crate::failed::{During as _, Failed};

/// Why a role cannot do its work now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotReady(String);

impl NotReady {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// Whether a role can do its work now.
pub(crate) type Readiness = Arc<dyn Fn() -> Result<(), NotReady> + Send + Sync>;

#[derive(Clone)]
struct Probes {
    ready: Readiness,
    metrics: PrometheusHandle,
}

/// Serves the probes until `stop`. The port is open before anything else is: a role that waits for
/// its servers is alive, and not ready.
///
/// # Errors
/// When the address cannot be listened on.
async fn serve(
    addr: Option<SocketAddr>,
    ready: Readiness,
    stop: CancellationToken,
) -> Result<Option<JoinHandle<()>>, Failed> {
    let Some(addr) = addr else { return Ok(None) };
    let probes = Probes { ready, metrics: telemetry::metrics()? };
    let listener = TcpListener::bind(addr).await.during(&format!("cannot listen on {addr}"))?;
    let addr = listener.local_addr().during("cannot tell the address listened on")?;
    tracing::info!("probes and metrics on http://{addr}/livez /readyz /metrics");
    let routes = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(probes);
    Ok(Some(tokio::spawn(http::serve(listener, routes, stop))))
}

/// Runs a role, and serves its probes until it has ended.
///
/// # Errors
/// The role's, or an address that cannot be listened on.
pub(crate) async fn beside(
    addr: Option<SocketAddr>,
    ready: Readiness,
    role: impl Future<Output = Result<(), Failed>>,
) -> Result<(), Failed> {
    let ended = CancellationToken::new();
    let probes = serve(addr, ready, ended.clone()).await?;
    let result = role.await;
    ended.cancel();
    if let Some(probes) = probes {
        let _ = probes.await;
    }
    result
}

async fn readyz(State(probes): State<Probes>) -> (StatusCode, String) {
    match (probes.ready)() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn metrics(State(probes): State<Probes>) -> String {
    probes.metrics.run_upkeep();
    probes.metrics.render()
}
