//! When an attempt that broke is repeated: a pure function of policy, attempt and effect id.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::duration::span;

/// How often and how fast an operation is repeated. Delays grow by doubling from `first` to `cap`;
/// each is then spread over its upper half by a hash of effect id and attempt, so that sagas which
/// broke together do not come back together, and the same saga always gets the same delays.
///
/// ```
/// use std::time::Duration;
/// use amends::Retry;
/// let retry = Retry::exponential(Duration::from_millis(200), Duration::from_secs(30)).limit(8);
/// let delay = retry.delay(3, "saga:step:action");
/// assert!(delay >= Duration::from_millis(400) && delay <= Duration::from_millis(800));
/// assert_eq!(delay, retry.delay(3, "saga:step:action"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    pub(crate) first_ms: u64,
    pub(crate) cap_ms: u64,
    limit: u32,
}

/// Longest delay between attempts: a day.
const CAP_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// After so many doublings the shortest delay, 1 ms, is above the longest.
const DOUBLINGS_MAX: u32 = 32;

impl Retry {
    /// The default of actions: from 500 ms to 30 s, 10 attempts.
    pub const ACTION: Self = Self { first_ms: 500, cap_ms: 30_000, limit: 10 };

    /// The default of whatever must happen (pivot, retriable steps, compensations): from 500 ms to
    /// 60 s, 30 attempts, which takes about 17 minutes beside the attempts themselves; then the saga
    /// is stuck and an operator speaks.
    pub const PERSISTENT: Self = Self { first_ms: 500, cap_ms: 60_000, limit: 30 };

    /// Delays doubling from `first` to `cap` (each at least 1 ms, at most a day), with the limit of
    /// [`Retry::ACTION`] attempts.
    #[must_use]
    pub fn exponential(first: Duration, cap: Duration) -> Self {
        let cap_ms = clamp_ms(cap);
        Self { first_ms: clamp_ms(first).min(cap_ms), cap_ms, limit: Self::ACTION.limit }
    }

    /// At most `attempts` sendings in all; 0 counts as 1.
    #[must_use]
    pub const fn limit(self, attempts: u32) -> Self {
        Self { limit: if attempts == 0 { 1 } else { attempts }, ..self }
    }

    /// How many sendings there are at most.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.limit
    }

    /// The longest that all delays together can be, when every attempt breaks.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use amends::Retry;
    /// let retry = Retry::exponential(Duration::from_secs(1), Duration::from_secs(3)).limit(5);
    /// assert_eq!(retry.delays_max(), Duration::from_secs(1 + 2 + 3 + 3));
    /// ```
    #[must_use]
    pub fn delays_max(&self) -> Duration {
        let delays = self.limit.saturating_sub(1);
        let doubling = delays.min(DOUBLINGS_MAX);
        let growing =
            (1..=doubling).map(|attempt| self.full_ms(attempt)).fold(0, u64::saturating_add);
        let rest = u64::from(delays - doubling).saturating_mul(self.cap_ms);
        Duration::from_millis(growing.saturating_add(rest))
    }

    /// The delay after attempt `attempt` (from 1) broke. Total: every input has an answer.
    #[must_use]
    pub fn delay(&self, attempt: u32, effect_id: &str) -> Duration {
        let full = self.full_ms(attempt);
        let half = full / 2;
        Duration::from_millis(full - half + spread(attempt, effect_id) % (half + 1))
    }

    /// The longest delay after the first attempt, in milliseconds.
    pub(crate) fn first_ms(&self) -> u64 {
        self.full_ms(1)
    }

    /// The delay after this attempt before it is spread.
    fn full_ms(&self, attempt: u32) -> u64 {
        let doublings = attempt.saturating_sub(1).min(DOUBLINGS_MAX);
        self.first_ms.saturating_mul(1 << doublings).min(self.cap_ms).max(1)
    }
}

/// As people write it: `8 attempts, 200 ms to 30 s apart`.
impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, cap) = (span(self.first_ms), span(self.cap_ms));
        match self.limit {
            1 => write!(f, "1 attempt"),
            limit if first == cap => write!(f, "{limit} attempts, {first} apart"),
            limit => write!(f, "{limit} attempts, {first} to {cap} apart"),
        }
    }
}

fn spread(attempt: u32, effect_id: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(attempt.to_be_bytes());
    hash.update(effect_id.as_bytes());
    let hash = hash.finalize();
    hash.iter().take(8).fold(0, |n, byte| (n << 8) | u64::from(*byte))
}

fn clamp_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(CAP_MS_MAX).clamp(1, CAP_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn delays_stay_in_their_half(first in 0_u64..1 << 40, cap in 0_u64..1 << 40, attempt: u32, id in ".*") {
            let retry = Retry::exponential(Duration::from_millis(first), Duration::from_millis(cap));
            let delay = retry.delay(attempt, &id);
            prop_assert!(delay <= Duration::from_millis(retry.cap_ms));
            prop_assert!(delay >= Duration::from_millis(1));
            let later = retry.delay(attempt.saturating_add(1), &id);
            prop_assert!(later * 2 + Duration::from_millis(2) >= delay);
        }

        #[test]
        fn all_delays_stay_below_their_sum(first in 1_u64..100_000, cap in 1_u64..1_000_000, limit in 0_u32..80, id in ".*") {
            let retry = Retry::exponential(Duration::from_millis(first), Duration::from_millis(cap)).limit(limit);
            let delays: Duration = (1..retry.attempts()).map(|attempt| retry.delay(attempt, &id)).sum();
            prop_assert!(delays <= retry.delays_max());
            prop_assert!(retry.delays_max() <= delays * 2 + Duration::from_millis(u64::from(limit)));
        }
    }

    #[test]
    fn the_sum_of_endless_delays_is_a_number() {
        let retry = Retry::exponential(Duration::from_millis(1), Duration::MAX).limit(u32::MAX);
        assert!(retry.delays_max() > Duration::from_secs(1 << 30));
    }

    #[test]
    fn it_reads_well() {
        assert_eq!(Retry::ACTION.to_string(), "10 attempts, 500 ms to 30 s apart");
        assert_eq!(Retry::ACTION.limit(1).to_string(), "1 attempt");
    }

    #[test]
    fn sagas_that_broke_together_are_spread() {
        let retry = Retry::exponential(Duration::from_secs(10), Duration::from_secs(60));
        let delays: std::collections::BTreeSet<_> =
            (0..100).map(|n| retry.delay(1, &format!("saga-{n}"))).collect();
        assert!(delays.len() > 90);
    }
}
