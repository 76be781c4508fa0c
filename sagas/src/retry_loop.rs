//! Something that is repeated until it succeeds: for programs that wait for a server.

use std::time::Duration;

use crate::Retry;

/// Counts the failures in a row of a loop that repeats something without end, and says how long it
/// waits after each. It sleeps nowhere: that is the loop's part.
///
/// ```
/// use std::time::Duration;
/// use amends::RetryLoop;
/// let mut retries = RetryLoop::new(Duration::from_millis(50), Duration::from_secs(2), "clock");
/// assert!(retries.failed() <= Duration::from_millis(50));
/// assert!(retries.is_first()); // the time to log it
/// assert!(retries.failed() <= Duration::from_millis(100));
/// assert!(!retries.is_first());
/// retries.succeeded();
/// assert!(retries.failed() <= Duration::from_millis(50));
/// ```
#[derive(Debug, Clone)]
pub struct RetryLoop {
    retry: Retry,
    name: String,
    failures: u32,
}

impl RetryLoop {
    /// Delays as [`Retry::exponential`] has them; loops of different names are spread apart.
    #[must_use]
    pub fn new(first: Duration, cap: Duration, name: &str) -> Self {
        Self { retry: Retry::exponential(first, cap), name: name.to_owned(), failures: 0 }
    }

    /// It failed once more: how long to wait before the next try.
    #[must_use]
    pub fn failed(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.retry.delay(self.failures, &self.name)
    }

    /// It succeeded: the next failure is the first of its row.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// How many failures in a row there were.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether the last failure was the first in a row: it is logged then, and not at every try.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.failures == 1
    }
}
