//! Serving a few routes over HTTP, within bounds. Who asks is a monitor, which asks now and then and reads the
//! answer; whoever does neither is not to use up what a role needs for its work.

use std::{collections::VecDeque, time::Duration};

use axum::{Router, serve::Listener};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Connections at once. The next one is served, and the oldest is cut: one that waits for its turn would
/// wait for those that send nothing, and a monitor takes no answer for an outage.
const CONNECTIONS_MAX: usize = 64;

/// How long the head of a request may take, and how large it may be.
const HEAD: Duration = Duration::from_secs(5);
const HEAD_BYTES_MAX: usize = 16 << 10;

/// How long a connection may take from its first byte to its last: it serves one request, whose body is not
/// read.
const CONNECTION: Duration = Duration::from_secs(15);

/// How long answers may take that are under way when the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Serves routes until `stop`.
pub(super) async fn serve(mut listener: TcpListener, routes: Router, stop: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false);
    let (graceful, mut connections) = (GracefulShutdown::new(), Connections::default());
    // Not the listener's own, which leaves it to its caller what to do while there are no descriptors.
    while let Some((stream, _)) = stop.run_until_cancelled(Listener::accept(&mut listener)).await {
        let service = TowerToHyperService::new(routes.clone());
        let served = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        connections.begin(served).await;
    }
    // What is still open then is cut when `connections` is dropped.
    let _ = timeout(LAST_ANSWERS, graceful.shutdown()).await;
}

/// Connections that are open, the oldest first.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    handles: VecDeque<AbortHandle>,
}

impl Connections {
    /// Serves one more; the oldest makes room for it.
    async fn begin(&mut self, served: impl Future<Output = hyper::Result<()>> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.handles.retain(|handle| !handle.is_finished());
        while self.tasks.len() >= CONNECTIONS_MAX {
            if let Some(oldest) = self.handles.pop_front() {
                oldest.abort();
            }
            self.tasks.join_next().await;
        }
        self.handles.push_back(self.tasks.spawn(async {
            match timeout(CONNECTION, served).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a connection to the probes ended"),
                Err(_) => tracing::debug!("a connection to the probes took too long"),
            }
        }));
    }
}
