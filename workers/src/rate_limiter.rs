//! At most so many attempts a second.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota};

pub(crate) struct RateLimiter {
    limiter: Option<(NonZeroU32, DefaultDirectRateLimiter)>,
}

impl RateLimiter {
    pub(crate) fn new(per_second: Option<NonZeroU32>) -> Self {
        let limiter = |limit| (limit, governor::RateLimiter::direct(Quota::per_second(limit)));
        Self { limiter: per_second.map(limiter) }
    }

    /// Waits until one more attempt may begin.
    pub(crate) async fn wait(&self) {
        if let Some((_, limiter)) = &self.limiter {
            limiter.until_ready().await;
        }
    }

    /// How many commands may be taken at once: those of about a second, so that none which was taken
    /// waits much longer than that, and the rest is there for other replicas.
    pub(crate) fn burst(&self) -> usize {
        let limit = self.limiter.as_ref().map(|(limit, _)| limit.get());
        limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[tokio::test]
    async fn no_more_begin_than_the_rate_allows() {
        let limiter = RateLimiter::new(NonZeroU32::new(20));
        let began = Instant::now();
        // A second's worth at once, then one every 50 ms.
        for _ in 0..30 {
            limiter.wait().await;
        }
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(450), "{took:?}");
        assert_eq!(limiter.burst(), 20);
    }

    #[tokio::test]
    async fn without_a_rate_nothing_waits() {
        let limiter = RateLimiter::new(None);
        for _ in 0..100_000 {
            limiter.wait().await;
        }
        assert_eq!(limiter.burst(), usize::MAX);
    }
}
