//! Where a saga stands, as a type.

use amends::{Json, JsonError, machine};
use machine::Failure;
use serde::de::DeserializeOwned;

/// Where a saga stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status<O> {
    /// Goes forward.
    Running,
    /// Turned back: undoing what was done.
    Compensating,
    /// Waits for a lock.
    Queued,
    /// Held by an operator.
    Paused,
    /// Cannot go on by itself: an operator must speak.
    Stuck(Failure),
    /// All done, with this output.
    Completed(O),
    /// All undone, for this reason.
    Compensated(Failure),
}

/// How a wait for a saga ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a saga may have been turned back"]
pub enum End<O> {
    /// All done, with this output.
    Completed(O),
    /// All undone, for this reason: a step was rejected, its outcome stayed unknown, somebody cancelled it.
    Compensated(Failure),
    /// An operator must speak, for this reason: waiting any longer by itself is in vain.
    Stuck(Failure),
    /// It goes on, and stood so at the last look.
    TimedOut(Status<O>),
}

impl<O> Status<O> {
    /// Whether it has ended.
    #[must_use]
    pub const fn ended(&self) -> bool {
        matches!(self, Self::Completed(_) | Self::Compensated(_))
    }

    /// Whether waiting is over: it has ended, or a person is needed.
    pub(crate) const fn settled(&self) -> bool {
        self.ended() || matches!(self, Self::Stuck(_))
    }
}

impl<O: DeserializeOwned> Status<O> {
    /// From the columns of `amends.sagas`.
    pub(crate) fn read(
        status: &str,
        output: Option<String>,
        error: Option<String>,
    ) -> Result<Self, JsonError> {
        let payload =
            |text: Option<String>| text.map_or_else(Json::null, |text| Json::trusted(&text));
        Ok(match Json::of(status)?.read()? {
            machine::Status::Running => Self::Running,
            machine::Status::Compensating => Self::Compensating,
            machine::Status::Queued => Self::Queued,
            machine::Status::Paused => Self::Paused,
            machine::Status::Stuck => Self::Stuck(payload(error).read()?),
            machine::Status::Completed => Self::Completed(payload(output).read()?),
            machine::Status::Compensated => Self::Compensated(payload(error).read()?),
        })
    }
}

impl<O> From<Status<O>> for End<O> {
    fn from(last: Status<O>) -> Self {
        match last {
            Status::Completed(output) => Self::Completed(output),
            Status::Compensated(why) => Self::Compensated(why),
            Status::Stuck(why) => Self::Stuck(why),
            going => Self::TimedOut(going),
        }
    }
}
