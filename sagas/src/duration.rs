//! Durations as data: in milliseconds, and for people.

use std::time::Duration;

/// At least a millisecond, at most a year: times stay within what a timestamp holds.
pub(crate) fn millis(duration: Duration) -> u64 {
    const YEAR_MS: u128 = 366 * 24 * 60 * 60 * 1000;
    u64::try_from(duration.as_millis().clamp(1, YEAR_MS)).unwrap_or(1)
}

/// A time for people.
pub(crate) fn span(ms: u64) -> String {
    if ms.is_multiple_of(1000) { format!("{} s", ms / 1000) } else { format!("{ms} ms") }
}
