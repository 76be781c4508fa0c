//! Bugs that tests plant, one at a time, to prove that the checkers of [`crate::testing`] find them.
//! Outside of this crate's own tests no bug is ever planted, and the compiler removes the question.

/// A bug of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bug {
    // The barrier of a participant.
    AttemptInBarrierKey,
    NoTombstone,
    RejectedIsUndone,
    UndoRunsAgain,
    ActionAfterItsUndo,
    RejectionIsForgotten,
    ActionRunsAgain,
    ReplyBeforeCommit,
    // The orchestrator around the machine.
    AckBeforeCommit,
    AckBeforePublish,
    PublishBeforeCommit,
    NoVersionCheck,
    OutdatedIsBuried,
    IdOfDelivery,
}

/// Whether the bug is planted.
#[cfg(not(test))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

#[cfg(test)]
pub(crate) use seam::{plant, planted};

#[cfg(test)]
mod seam {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    pub(crate) fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Plants a bug in this thread, or takes it out.
    pub(crate) fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }
}
