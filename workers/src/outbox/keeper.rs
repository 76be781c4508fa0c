//! What is done beside relaying: telling how long the outbox is, and forgetting old keys.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{round::Round, table};

const BEAT: Duration = Duration::from_secs(15);

/// How long a key is remembered: longer than anybody repeats a request to the service.
const KEYS_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Keys forgotten by one statement.
const KEYS_MAX: i32 = 1000;

pub(super) async fn keep(round: &Arc<Round>, stop: &CancellationToken) {
    loop {
        // A task of its own: a statement is never cancelled.
        let kept = tokio::spawn(once(Arc::clone(round), stop.clone()));
        if let Ok(Err(error)) = kept.await {
            tracing::debug!(service = round.service, %error, "the outbox was not looked after");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(BEAT) => {}
        }
    }
}

async fn once(round: Arc<Round>, stop: CancellationToken) -> sqlx::Result<()> {
    let (waiting, oldest) = table::backlog(&round.pool).await?;
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    let waiting = waiting as f64;
    let service = || round.service.clone();
    metrics::gauge!("amends_outbox_waiting", "service" => service()).set(waiting);
    metrics::gauge!("amends_outbox_oldest_seconds", "service" => service()).set(oldest);
    while !stop.is_cancelled()
        && table::forget(&round.pool, KEYS_KEPT, KEYS_MAX).await? == i64::from(KEYS_MAX)
    {}
    Ok(())
}
