//! Whether NATS lets this process in. A server that is away is waited for without end; one that is
//! there and refuses the login needs a person, so that is not waited for without end.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use crate::failed::Failed;

/// What came of the last tries to log in, shared by all who want to know.
#[derive(Clone)]
pub(super) struct Login {
    patience: Duration,
    refusal: Arc<watch::Sender<Option<Refusal>>>,
}

/// NATS was there at every try since, and let nobody in.
#[derive(Clone)]
struct Refusal {
    since: Instant,
    why: String,
    advice: &'static str,
}

impl Login {
    /// A login that may be refused for so long.
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, refusal: Arc::new(watch::Sender::new(None)) }
    }

    /// Notes a connection.
    pub(super) fn accepted(&self) {
        if self.forget() {
            tracing::info!("NATS accepts the login again");
        }
    }

    /// Notes that a server did not answer, or something else than the login went wrong.
    pub(super) fn unanswered(&self) {
        self.forget();
    }

    fn forget(&self) -> bool {
        self.refusal.send_if_modified(|refusal| refusal.take().is_some())
    }

    /// Notes a refusal, which is logged once, not at each try.
    pub(super) fn refused(&self, why: &str, advice: &'static str) {
        let news = self.refusal.send_if_modified(|refusal| {
            let since = match refusal {
                Some(known) if known.why == why => return false,
                Some(known) => known.since,
                None => Instant::now(),
            };
            *refusal = Some(Refusal { since, why: why.to_owned(), advice });
            true
        });
        if news {
            tracing::error!("{why}: {advice}; this process ends after {:?} of it", self.patience);
        }
    }

    /// Why it was refused last, if it was.
    pub(super) fn refusal(&self) -> Option<String> {
        self.refusal.borrow().as_ref().map(|refusal| refusal.why.clone())
    }

    /// Waits until every try was refused for as long as may be; then says so.
    pub(super) async fn given_up(&self) -> Failed {
        let mut refusals = self.refusal.subscribe();
        loop {
            let known = refusals.borrow_and_update().clone();
            let end = async {
                match &known {
                    Some(refusal) => tokio::time::sleep_until(refusal.since + self.patience).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // Its sender lives as long as this does.
                _ = refusals.changed() => {}
                () = end => if let Some(Refusal { why, advice, .. }) = known {
                    let patience = self.patience;
                    return Failed::new(format!("{why}, at every try for {patience:?}: {advice}"));
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_end_it_and_nothing_else_does() {
        let login = Login::new(PATIENCE);
        let waiting = login.clone();
        let given_up = tokio::spawn(async move { (waiting.given_up().await, Instant::now()) });
        for settled in [Login::accepted, Login::unanswered] {
            login.refused("no", "ask");
            assert_eq!(login.refusal().as_deref(), Some("no"));
            tokio::time::sleep(PATIENCE - seconds(1)).await;
            settled(&login);
            assert_eq!(login.refusal(), None);
            tokio::time::sleep(2 * PATIENCE).await;
            assert!(!given_up.is_finished());
        }
        let began = Instant::now();
        login.refused("no", "ask");
        tokio::time::sleep(seconds(30)).await;
        login.refused("still no", "ask");
        let (failed, ended) = given_up.await.unwrap();
        assert_eq!(failed.to_string(), "still no, at every try for 60s: ask");
        assert!(ended - began < PATIENCE + seconds(1), "{:?}", ended - began);
    }
}
