//! Waiting for something that must come, without guessing how long it takes.

use std::time::{Duration, Instant};

/// The longest that anything may take, on a slow machine with every test at once.
const PATIENCE: Duration = Duration::from_secs(180);

/// Looks again and again until `look` finds something.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look).await
}

/// As [`eventually`], where a time is promised.
pub(crate) async fn within<T>(
    bound: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let began = Instant::now();
    let mut beat = tokio::time::interval(Duration::from_millis(50));
    loop {
        beat.tick().await;
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < bound, "{what} did not come in {bound:?}");
    }
}
