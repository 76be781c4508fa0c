//! How an attempt ends, when not with its output.

use std::{error::Error, time::Duration};

/// Why a handler stopped. `?` on any error makes a [`Halt::Fault`].
///
/// A review by a person: the answer comes later, when somebody has read the case.
///
/// ```
/// # use std::time::Duration;
/// # use amends::{Rejection, Step};
/// # use amends_workers::{Act, Attempt, Halt, reject};
/// # pub struct Forged;
/// # impl Rejection for Forged { fn code(&self) -> &str { "forged" } }
/// # pub struct Approve;
/// # impl Step for Approve {
/// #     const NAME: &'static str = "review.approve";
/// #     type Input = String;
/// #     type Output = bool;
/// #     type Rejection = Forged;
/// # }
/// struct Review;
///
/// impl Act<Approve> for Review {
///     async fn act(&self, cx: &mut Attempt<'_>, case: String) -> Result<bool, Halt<Forged>> {
///         if case.is_empty() {
///             return reject(Forged); // final: the saga turns back
///         }
///         let insert = "insert into review.open_case (amends_id, text) values ($1, $2)";
///         let id = cx.id.to_string(); // the answer will name it
///         match sqlx::query(insert).bind(id).bind(case).execute(&mut *cx.tx).await {
///             Ok(_) => Err(Halt::Pending), // the row commits; the saga waits
///             Err(sqlx::Error::PoolTimedOut) => {
///                 Err(Halt::RetryAfter(Duration::from_secs(60), "too busy".to_owned()))
///             }
///             Err(error) => Err(error.into()), // as by `?`: repeated by the step's policy
///         }
///     }
/// }
/// ```
pub enum Halt<R> {
    /// A rejection: what the handler wrote is taken back, the rejection is remembered, and the step is
    /// never tried again. A [`Compensate`](crate::Compensate) cannot say it.
    Rejected(R),
    /// This attempt broke: all is rolled back, and the step's retry policy says when it is repeated.
    Fault(Box<dyn Error + Send + Sync>),
    /// As [`Halt::Fault`], with the delay until the next attempt and a message for people.
    RetryAfter(Duration, String),
    /// Accepted: what the handler wrote is committed, and the real reply is sent later with
    /// [`Replies`](crate::Replies), whose example shows how. Until then the saga waits: as long as the plan's
    /// `within` says, or for a day.
    Pending,
}

/// Answers with a rejection.
///
/// ```
/// # use amends::Rejection;
/// # use amends_workers::{Halt, reject};
/// struct SoldOut;
/// impl Rejection for SoldOut {
///     fn code(&self) -> &str {
///         "sold_out"
///     }
/// }
///
/// fn left(stock: i64, wanted: i64) -> Result<i64, Halt<SoldOut>> {
///     if stock < wanted { reject(SoldOut) } else { Ok(stock - wanted) }
/// }
/// assert!(matches!(left(1, 2), Err(Halt::Rejected(SoldOut))));
/// ```
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
