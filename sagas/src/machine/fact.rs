//! What is recorded of a turn.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{EventId, Json, Op, wire};

/// Points in time. Facts are stored with microseconds.
pub type Time = chrono::DateTime<chrono::Utc>;

/// The status of a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Goes forward.
    Running,
    /// Turned back: undoing what was done.
    Compensating,
    /// All done.
    Completed,
    /// All undone.
    Compensated,
    /// Cannot go on by itself: an operator must speak.
    Stuck,
    /// Held by an operator.
    Paused,
    /// Waits for a lock.
    Queued,
}

impl Status {
    /// The word used in SQL and subjects.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Stuck => "stuck",
            Self::Paused => "paused",
            Self::Queued => "queued",
        }
    }

    /// Whether the saga has ended.
    #[must_use]
    pub const fn ended(self) -> bool {
        matches!(self, Self::Completed | Self::Compensated)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not a word that is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a known word here: is the database newer than this program?")]
pub struct UnknownWord(pub String);

impl FromStr for Status {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        use Status::*;
        [Running, Compensating, Completed, Compensated, Stuck, Paused, Queued]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The saga began.
    Started,
    /// An operation was done.
    Done,
    /// An action was rejected, or a compensation, which must not be.
    Rejected,
    /// An attempt broke.
    Broke,
    /// An attempt, or the wait for a deferred reply, took too long.
    TimedOut,
    /// An operation was accepted; its real reply comes later.
    Pending,
    /// The delay after a broken attempt is over: the next is sent.
    Resumed,
    /// An action that the saga had given up was done after all.
    Late,
    /// A value could not be computed from what the steps answered.
    Unmappable,
    /// An operator had it repeated now, with fresh patience.
    Retried,
    /// An operator goes on without this operation.
    Skipped,
    /// An operator says how an operation ended; the fact that follows says it.
    Resolved,
    /// An operator turned the saga back.
    Cancelled,
    /// An operator holds the saga.
    Paused,
    /// An operator lets it go on.
    Unpaused,
    /// A list is known: its elements begin. The detail is the array of their inputs.
    Expanded,
    /// A step's condition does not hold: it is left out.
    Omitted,
    /// The saga has all its locks.
    Granted,
    /// The saga's deadline has passed.
    Deadline,
    /// The outer saga undoes this one.
    UndoAsked,
    /// An operator took a lock from it.
    Unlocked,
    /// An operator asked for something: written with the act, so that no turn that was decided without it
    /// is committed after it. What becomes of it is another fact, or none when it is refused.
    Asked,
}

impl Kind {
    const ALL: [Self; 22] = [
        Self::Started,
        Self::Done,
        Self::Rejected,
        Self::Broke,
        Self::TimedOut,
        Self::Pending,
        Self::Resumed,
        Self::Late,
        Self::Unmappable,
        Self::Retried,
        Self::Skipped,
        Self::Resolved,
        Self::Cancelled,
        Self::Paused,
        Self::Unpaused,
        Self::Expanded,
        Self::Omitted,
        Self::Granted,
        Self::Deadline,
        Self::UndoAsked,
        Self::Unlocked,
        Self::Asked,
    ];

    /// Whether an operator did it.
    #[must_use]
    pub const fn is_act(self) -> bool {
        matches!(
            self,
            Self::Retried
                | Self::Skipped
                | Self::Resolved
                | Self::Cancelled
                | Self::Paused
                | Self::Unpaused
                | Self::Unlocked
        )
    }

    /// The word used in SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Done => "done",
            Self::Rejected => "rejected",
            Self::Broke => "broke",
            Self::TimedOut => "timed_out",
            Self::Pending => "pending",
            Self::Resumed => "resumed",
            Self::Late => "late",
            Self::Unmappable => "unmappable",
            Self::Retried => "retry",
            Self::Skipped => "skip",
            Self::Resolved => "resolve",
            Self::Cancelled => "cancel",
            Self::Paused => "pause",
            Self::Unpaused => "resume",
            Self::Expanded => "expanded",
            Self::Omitted => "omitted",
            Self::Granted => "granted",
            Self::Deadline => "deadline",
            Self::UndoAsked => "undo",
            Self::Unlocked => "break_lock",
            Self::Asked => "asked",
        }
    }
}

impl FromStr for Kind {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

/// One thing that happened, and what followed from it. Facts are only ever added, numbered from 0;
/// (saga, seq) is the key that keeps two turns of one saga apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Its number within the saga.
    pub seq: u32,
    /// When it was decided.
    pub at: Time,
    /// What happened.
    pub kind: Kind,
    /// To which step: its position in [`State::steps`](super::State::steps).
    pub step: Option<usize>,
    /// To which half of it.
    pub op: Option<Op>,
    /// In which attempt; 0 when none.
    pub attempt: u32,
    /// The output; or why not: `code` and `message` of a rejection, of a value that cannot be computed
    /// (`unmappable`) and of what took too long (`timed_out`), `message` of what broke.
    pub detail: Option<Json>,
    /// What followed.
    pub next: Next,
}

/// What followed from a fact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Next {
    /// Attempts that are sent.
    pub sends: Vec<Send>,
    /// When the operation is taken up again: end of the delay, or of the wait for a deferred reply.
    pub due: Option<Time>,
    /// The saga's new status.
    pub status: Option<Status>,
    /// Why the saga turned back, or is stuck.
    pub error: Option<Failure>,
    /// The saga's output.
    pub output: Option<Json>,
    /// The event that a step took.
    pub event: Option<EventId>,
}

/// An attempt that is sent; of a wait or a nested saga, that it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send {
    /// The step: its position in [`State::steps`](super::State::steps).
    pub step: usize,
    /// Action or compensation.
    pub op: Op,
    /// Which attempt.
    pub attempt: u32,
    /// When it counts as broken, or a wait is over; none when it may take for ever.
    pub due: Option<Time>,
    /// The step's input, with the first attempt of the action.
    pub input: Option<Json>,
}

/// Why a saga turned back or is stuck.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The step it began with; empty when none.
    pub step: String,
    /// A word for programs: the rejection's code, or `unknown`, `given_up`, `unmappable`, `late`,
    /// `timed_out`, `cancelled`, `deadline`, `undone`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// The code of a value that cannot be computed, or does not fit its type.
pub(super) const UNMAPPABLE: &str = "unmappable";

/// The code of a wait or an attempt that took too long.
pub(super) const TIMED_OUT: &str = "timed_out";

impl Failure {
    /// As a payload for SQL.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::of(self).unwrap_or_else(|_| Json::null())
    }
}

/// What a person reads about a broken attempt, kept in the fact.
pub(super) fn message_json(code: Option<&str>, message: &str) -> Json {
    let mut object = serde_json::Map::new();
    if let Some(code) = code {
        object.insert("code".into(), code.into());
    }
    object.insert("message".into(), wire::cut(message.to_owned()).into());
    Json::of(&object).unwrap_or_else(|_| Json::null())
}
