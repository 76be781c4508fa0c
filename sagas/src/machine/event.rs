//! What may move a saga on, and what is decided of it.

use super::{Fact, Failure, Send, State, Status, Time};
use crate::{EventId, Json, Op, wire::Reply};

/// Something that may move a saga on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A worker answered.
    Reply(ReplyEvent),
    /// It is time to look at what is due.
    TimerFired,
    /// Something else has come at this time: the limits that had passed by then hold first. What only
    /// goes on with time, a delay or the next attempt, is left to [`Event::TimerFired`].
    Overdue(Time),
    /// An operator acts.
    Act(OperatorAct),
    /// An event came, or had come, that a step waits for.
    Arrived(Arrival),
    /// A nested saga has ended.
    Child(ChildEnd),
    /// The saga has all its locks.
    Granted,
    /// The outer saga undoes this one, also when it was completed; with the reason.
    Undo(String),
    /// The saga was started once more, by a redelivery of its trigger or by its business key.
    StartedAgain,
}

/// An event that a step waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The step's name.
    pub step: std::sync::Arc<str>,
    /// Which event: a saga takes each once, whichever of its steps it is kept for.
    pub event: EventId,
    /// The event's body.
    pub body: Json,
}

/// How a nested saga ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildEnd {
    /// The step's name.
    pub step: std::sync::Arc<str>,
    /// `Completed` or `Compensated`.
    pub status: Status,
    /// Its output, when it was completed.
    pub output: Option<Json>,
    /// Why it turned back, when it did.
    pub error: Option<Failure>,
}

/// A worker's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyEvent {
    /// The step's name.
    pub step: std::sync::Arc<str>,
    /// Action or compensation.
    pub op: Op,
    /// The attempt that it answers.
    pub attempt: u32,
    /// The service that it came from.
    pub service: String,
    /// What it says.
    pub reply: Reply,
}

/// What an operator may do to a saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorCommand {
    /// Repeat now what was given up or waits to be repeated, with fresh patience.
    Retry,
    /// Go on without this compensation, or without this step after the pivot.
    Skip {
        /// The step.
        step: String,
    },
    /// A person knows how the step ended: `Ok` or `Rejected`.
    Resolve {
        /// The step.
        step: String,
        /// How it ended.
        outcome: Reply,
    },
    /// The saga's output could not be computed, and a person gives it; `None` is none, `null`.
    GiveOutput(Option<Json>),
    /// Turn back, as if a step had been rejected; lifts a pause.
    Cancel,
    /// Send nothing more until resumed. Replies are still recorded.
    Pause,
    /// Go on.
    Resume,
    /// A lock was taken from it, which is done already: this puts it on record.
    Unlock,
}

/// An operator's command, and who answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorAct {
    /// What to do.
    pub command: OperatorCommand,
    /// Who acts.
    pub by: String,
    /// Why.
    pub reason: String,
    /// How many facts the saga had when the operator looked: another operator's act since then
    /// refuses this one.
    pub seen: u32,
}

/// What an event means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Something new: facts to record, at [`State::seq`] and after, and the state after them.
    Turn(Box<Turn>),
    /// Known already. The attempts that the same event sent the first time, as far as they are
    /// still in flight: their publication may have been lost in a crash. What a second fact of that
    /// turn sent, and what a wake sent, is left to its timer.
    Known(Vec<Send>),
    /// An operator's act that the saga's state does not allow, with the reason. If the state at hand
    /// may be outdated, ask again with a fresh one.
    Refused(String),
    /// Not possible in this saga. If the state at hand may be outdated, ask again with a fresh one.
    Unexpected(Unexpected),
}

/// A decided turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// What to record.
    pub facts: Vec<Fact>,
    /// The state after it.
    pub next: State,
}

/// Why a reply cannot belong to a saga.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unexpected {
    /// No such step.
    #[error("the saga has no step `{0}`")]
    Step(String),
    /// Another service's step.
    #[error("the step `{step}` belongs to the service `{owner}`, not to `{service}`")]
    Service {
        /// The step.
        step: String,
        /// Its service.
        owner: String,
        /// The one that answered.
        service: String,
    },
    /// Not a service's work.
    #[error("the step `{0}` is not done by a service")]
    NoCall(String),
    /// Never asked.
    #[error("attempt {attempt} of the {op} of `{step}` was never sent")]
    NeverSent {
        /// The step.
        step: String,
        /// Action or compensation.
        op: Op,
        /// The attempt.
        attempt: u32,
    },
}
