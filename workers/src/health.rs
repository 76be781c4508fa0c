//! Whether a service is at work.

/// What a readiness probe wants to know of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Its consumer has answered, and has not gone since.
    pub bound: bool,
    /// Why it is not bound, or what it lost last.
    pub error: Option<String>,
    /// What keeps the events that it emits from being published. They wait; commands are served.
    pub outbox: Option<String>,
}
