//! How an attempt ends, when not with its output.

use std::{error::Error, time::Duration};

/// Why a handler stopped. `?` on any error makes a [`Halt::Fault`].
pub enum Halt<R> {
    /// A rejection: what the handler wrote is taken back, the rejection is remembered, and the step is
    /// never tried again. A [`Compensate`](crate::Compensate) cannot say it.
    Rejected(R),
    /// This attempt broke: all is rolled back, and the step's retry policy says when it is repeated.
    Fault(Box<dyn Error + Send + Sync>),
    /// As [`Halt::Fault`], with the delay until the next attempt and a message for people.
    RetryAfter(Duration, String),
    /// Accepted: what the handler wrote is committed, and the real reply is sent later with
    /// [`Replies`](crate::Replies).
    Pending,
}

/// Answers with a rejection.
///
/// # Errors
/// Always, with [`Halt::Rejected`].
pub fn reject<T, R>(rejection: R) -> Result<T, Halt<R>> {
    Err(Halt::Rejected(rejection))
}

impl<R, E: Error + Send + Sync + 'static> From<E> for Halt<R> {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}
