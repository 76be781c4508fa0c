//! What a proxy is told.

use std::time::Duration;

/// What happens to connections that are opened from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Newcomers {
    #[default]
    Pass,
    Swallow,
    Vanish,
    Refuse,
}

/// Connections are numbered; a fault meets those with a lower number than its own.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Orders {
    pub(super) swallowed: u64,
    pub(super) vanished: u64,
    /// Those in silence whose server has ended them.
    pub(super) forgotten: u64,
    pub(super) reset: u64,
    pub(super) newcomers: Newcomers,
    pub(super) delay: Duration,
    /// One of so many commits is not answered.
    pub(super) cut_every: Option<u64>,
}
