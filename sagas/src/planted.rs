//! Bugs that tests plant, one at a time, to prove that the checkers of [`crate::testing`] find them.
//! Outside of this crate's own tests no bug is ever planted, and the compiler removes the question.

macro_rules! bugs {
    ($($bug:ident),+ $(,)?) => {
        /// A bug of the protocol.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Bug {
            $($bug),+
        }

        #[cfg(test)]
        impl Bug {
            pub(crate) const ALL: &[Self] = &[$(Self::$bug),+];
        }
    };
}

bugs! {
    // What the machine decides.
    UnknownIsFailure,
    LateSuccessIsDropped,
    LateReplyOfStuckStepIsDropped,
    UndoneInForwardOrder,
    UndoneWhileSiblingIsInFlight,
    RejectedStepIsUndone,
    OldUndoingCountsAfterLateSuccess,
    UndoneWithoutOutput,
    NextStageTooEarly,
    TurnedBackAndStillRepeats,
    DoneTwice,
    OldAttemptBreaksNewOne,
    AnotherServiceMayAnswer,
    UnsentAttemptMayAnswer,
    RepeatedEventSendsNothing,
    NoTimer,
    NeverGivesUp,
    GivesUpEarly,
    AttemptNumberIsReused,
    TimeLimitIsIgnored,
    GivenUpIsNotStuck,
    NoReasonIsGiven,
    FoldForgetsSends,
    StaleActIsTaken,
    CancelledAfterPivot,
    SentWhilePaused,
    ListRunsAllAtOnce,
    ListIsNotUndone,
    EventIsTakenTwice,
    NestedSagaIsNotUndone,
    NestedSagasShareAnId,
    LocksAreIgnored,
    DeadlineIsIgnored,
    DeadlineAfterTheEnd,
    // Ids and delays.
    AttemptInEffectId,
    IdOfDelivery,
    NoDelay,
    // The barrier of a service.
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
    EndOfNestedSagaIsNotTold,
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
