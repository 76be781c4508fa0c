//! What people, and outer sagas, ask of a saga.

use amends::machine::Time;

use crate::message::Answer;

/// What is told to a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Mail {
    pub(crate) id: i64,
    pub(crate) came: Time,
    pub(crate) what: Told,
}

/// What it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Told {
    /// By an operator, who saw so many facts.
    Act(Act, u32),
    /// By its outer saga.
    Undo,
}

/// An operator's act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    /// Turn back.
    Cancel,
    /// Turn back, if the saga is as the operator saw it.
    CancelExactly,
    /// Hold.
    Pause,
    /// Go on.
    Resume,
    /// Repeat what was given up.
    Retry,
    /// Go on without a step.
    Skip(u8),
    /// A step is done, or never will be: what the services say.
    Resolve(u8, Answer),
}
