//! What is done beside relaying: how long the outbox is goes to the metrics, and the keys of events
//! that were sent long ago are forgotten.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{round::Round, table};

/// Between two times.
const PERIOD: Duration = Duration::from_secs(15);

/// How long a sent key is remembered: longer than anybody repeats a request to the service.
const KEYS_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Keys forgotten by one statement.
const KEYS_MAX: i32 = 1000;

pub(super) async fn run(round: &Arc<Round>, stop: &CancellationToken) {
    loop {
        // A task of its own: a statement is never cancelled.
        let done = tokio::spawn(once(Arc::clone(round), stop.clone()));
        if let Ok(Err(error)) = done.await {
            tracing::debug!(service = round.service, %error, "the outbox was not looked after");
        }
        if stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_none() {
            return;
        }
    }
}

async fn once(round: Arc<Round>, stop: CancellationToken) -> sqlx::Result<()> {
    measure_backlog(&round).await?;
    forget_sent_keys(&round, &stop).await
}

async fn measure_backlog(round: &Round) -> sqlx::Result<()> {
    let (waiting, oldest) = table::backlog(&round.database).await?;
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    let waiting = waiting as f64;
    let service = || round.service.clone();
    metrics::gauge!("amends_outbox_waiting", "service" => service()).set(waiting);
    metrics::gauge!("amends_outbox_oldest_seconds", "service" => service()).set(oldest);
    Ok(())
}

async fn forget_sent_keys(round: &Round, stop: &CancellationToken) -> sqlx::Result<()> {
    let mut more = true;
    while more && !stop.is_cancelled() {
        let forgotten = table::forget_sent_keys(&round.database, KEYS_KEPT, KEYS_MAX).await?;
        more = forgotten == i64::from(KEYS_MAX);
    }
    Ok(())
}
