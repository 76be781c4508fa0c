//! How a role ends: asked by a signal, with time to finish what is under way.

use std::time::Duration;

use amends_postgres::Database;
use tokio::{
    signal::unix,
    task::{JoinError, JoinHandle},
};
use tokio_util::sync::CancellationToken;

use crate::failed::{During as _, Failed};

/// How long a drain may take before the process ends anyway: whatever is cut off is repeated.
const DRAIN: Duration = Duration::from_secs(10);

/// How long acks may take to reach the server.
const FLUSH: Duration = Duration::from_secs(1);

/// A token that SIGTERM and SIGINT cancel.
///
/// # Errors
/// When the system does not hand over signals.
pub fn stop_on_signal() -> Result<CancellationToken, Failed> {
    let stop = CancellationToken::new();
    let mut term = unix::signal(unix::SignalKind::terminate()).during("SIGTERM")?;
    let mut int = unix::signal(unix::SignalKind::interrupt()).during("SIGINT")?;
    let cancelled = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => tracing::info!("SIGTERM: draining"),
            _ = int.recv() => tracing::info!("SIGINT: draining"),
        }
        cancelled.cancel();
    });
    Ok(stop)
}

/// Waits for a role to end; after `stop` only as long as a drain may take, and then it is `None`.
pub(super) async fn ended<T>(
    mut role: JoinHandle<T>,
    stop: &CancellationToken,
) -> Option<Result<T, JoinError>> {
    tokio::select! {
        result = &mut role => Some(result),
        () = async { stop.cancelled().await; tokio::time::sleep(DRAIN).await } => {
            tracing::warn!("not drained after {DRAIN:?}: what is cut off is repeated by others");
            None
        }
    }
}

/// Closes a role's connections, as far as its servers still answer.
pub(super) async fn close(database: Database, client: &async_nats::Client) {
    // Acks are fire-and-forget: flushed, they reach the server before the connection ends.
    let _ = tokio::time::timeout(FLUSH, client.flush()).await;
    database.close();
}
