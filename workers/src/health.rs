//! Whether a service is at work.

/// What a readiness probe wants to know of a service.
///
/// ```
/// use amends_workers::Service;
///
/// /// What `/readyz` answers. Take `service.health()` before `service.serve(…)` takes the service.
/// fn readiness(service: &Service) -> impl Fn() -> (u16, String) + use<> {
///     let health = service.health();
///     move || match health.borrow().ready() {
///         Ok(()) => (200, "ready".to_owned()),
///         Err(why) => (503, why),
///     }
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Its consumer has answered, and has not gone since.
    pub bound: bool,
    /// Why it is not bound, or what it lost last.
    pub error: Option<String>,
    /// What keeps the events that it emits from being published. They wait; commands are served.
    pub outbox: Option<String>,
    /// Its database does not answer: no command is taken or tried until it does.
    pub database: Option<String>,
    /// Its replies are not stored: they are sent again, and commands delivered again.
    pub replies: Option<String>,
    /// Its circuit breaker is open: no command is taken for a while, and then one to try.
    pub circuit_breaker: Option<String>,
}

impl Health {
    /// Whether it takes commands now.
    ///
    /// # Errors
    /// Why it does not.
    pub fn ready(&self) -> Result<(), String> {
        if !self.bound {
            let why = self.error.clone();
            return Err(why.unwrap_or_else(|| "not bound to its consumer yet".into()));
        }
        match self.database.iter().chain(&self.replies).chain(&self.circuit_breaker).next() {
            Some(why) => Err(why.clone()),
            None => Ok(()),
        }
    }
}
