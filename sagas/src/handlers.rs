//! What services can do, as data: what `amends_workers::Service` says of itself, or what is known of
//! a worker in another language.

/// One operation that a service handles.
///
/// ```
/// use amends::Handler;
/// let book = Handler::with_compensation("hotel.book");
/// let tickets = Handler::action("mail.tickets");
/// assert_eq!((book.service(), book.operation()), ("hotel", "book"));
/// assert!(book.compensates() && !tickets.compensates());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handler {
    step: String,
    compensates: bool,
}

impl Handler {
    /// Handles the action of `<service>.<operation>` only.
    #[must_use]
    pub fn action(step: &str) -> Self {
        Self { step: step.to_owned(), compensates: false }
    }

    /// Handles action and compensation of `<service>.<operation>`.
    #[must_use]
    pub fn with_compensation(step: &str) -> Self {
        Self { step: step.to_owned(), compensates: true }
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &str {
        self.step.split_once('.').map_or(&self.step, |(service, _)| service)
    }

    /// The operation.
    #[must_use]
    pub fn operation(&self) -> &str {
        self.step.split_once('.').map_or("", |(_, operation)| operation)
    }

    /// Whether it also handles the compensation.
    #[must_use]
    pub const fn compensates(&self) -> bool {
        self.compensates
    }
}
