//! The settings that are explored, each small, for the suite, or large, by hand.

use amends::DefinitionError;

use crate::{
    act::Act,
    happened::Happened::*,
    plans::{
        Decided, Keyed, Listed, Locked, Outer, Parallel, Reversible, Straight, Urgent, Waiting,
    },
    setting::{ActKind, Budget, Setting},
};

/// How much may go wrong on one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Enough for every rare event: a minute.
    Small,
    /// Much at once: more than ten million states, some minutes of two idle cores.
    Large,
}

/// What all settings of a kind have.
type Made = Result<Vec<Setting>, DefinitionError>;

const NONE: Budget = Budget {
    drops: 0,
    doubles: 0,
    crashes: 0,
    unknowns: 0,
    rejections: 0,
    breaks: 0,
    deferrals: 0,
    early: 0,
    late: 0,
    slow: 0,
    acts: 0,
    pairs: 0,
};

const fn plain(act: Act) -> ActKind {
    ActKind::Plain(act)
}

/// All settings, of this size.
///
/// # Errors
/// A plan is none.
pub(crate) fn settings(size: Size) -> Made {
    let kinds = [messages(size)?, operators(size)?, times(size)?, waits(size)?, nested(size)?];
    Ok(kinds.into_iter().flatten().collect())
}

impl Size {
    /// A setting with one of these budgets.
    const fn of(self, small: Budget, large: Budget) -> Budget {
        match self {
            Self::Small => small,
            Self::Large => large,
        }
    }
}

/// Messages that are lost, doubled and reordered, and replicas that die.
fn messages(size: Size) -> Made {
    Ok(vec![
        Setting::new(
            "lost",
            size.of(
                Budget { drops: 1, late: 2, rejections: 1, doubles: 1, ..NONE },
                Budget { drops: 2, late: 2, rejections: 1, doubles: 1, ..NONE },
            ),
        )
        .saga::<Straight>(1)?
        .reaches(&[Completed, Compensated, Stuck, TimedOut, OldAttempt, Conflict, Recheck])
        .reaches(&[DuplicateTrigger, Replayed, SentAgain]),
        Setting::new(
            "crash",
            size.of(
                Budget { crashes: 2, late: 1, drops: 1, ..NONE },
                Budget { crashes: 2, late: 2, drops: 1, ..NONE },
            ),
        )
        .saga::<Straight>(1)?
        .reaches(&[CrashBeforePublish, CrashBeforeAck, SentAgain]),
        Setting::new(
            "side by side",
            size.of(
                Budget { crashes: 1, pairs: 1, rejections: 1, ..NONE },
                Budget { crashes: 1, pairs: 1, rejections: 1, late: 1, ..NONE },
            ),
        )
        .saga::<Parallel>(1)?
        .reaches(&[CrashWhilePublishing, BothAtOnce, Compensated]),
        Setting::new(
            "no answer",
            size.of(
                Budget { unknowns: 2, breaks: 1, doubles: 1, late: 1, ..NONE },
                Budget { unknowns: 2, breaks: 1, doubles: 1, late: 2, ..NONE },
            ),
        )
        .saga::<Straight>(1)?
        .reaches(&[UnknownKept, UnknownLost]),
        Setting::new(
            "list",
            size.of(
                Budget { rejections: 1, drops: 1, late: 1, ..NONE },
                Budget { rejections: 1, drops: 1, late: 2, doubles: 1, ..NONE },
            ),
        )
        .saga::<Listed>(1)?
        .reaches(&[Completed, Compensated]),
        Setting::new(
            "one key",
            size.of(
                Budget { doubles: 2, crashes: 1, ..NONE },
                Budget { doubles: 2, crashes: 1, late: 1, rejections: 1, ..NONE },
            ),
        )
        .saga::<Keyed>(1)?
        .saga::<Keyed>(1)?
        .reaches(&[KeyHeld, KeyConflict, DuplicateTrigger]),
        Setting::new(
            "other body",
            size.of(
                Budget { doubles: 1, ..NONE },
                Budget { doubles: 2, crashes: 2, late: 1, ..NONE },
            ),
        )
        .saga::<Keyed>(1)?
        .saga::<Keyed>(11)?
        .reaches(&[OtherBody, KeyConflict]),
    ])
}

/// What operators do.
fn operators(size: Size) -> Made {
    Ok(vec![
        Setting::new(
            "cancel",
            size.of(
                Budget { acts: 1, late: 1, rejections: 1, ..NONE },
                Budget { acts: 2, late: 2, rejections: 1, drops: 1, crashes: 1, ..NONE },
            ),
        )
        .saga::<Straight>(1)?
        .act(0, plain(Act::Cancel))
        .reaches(&[Cancelled, CancelAgainstPivot, ActFound]),
        Setting::new(
            "cancel as seen",
            size.of(
                Budget { acts: 1, late: 1, ..NONE },
                Budget { acts: 2, late: 2, drops: 1, slow: 1, ..NONE },
            ),
        )
        .saga::<Straight>(1)?
        .act(0, plain(Act::CancelExactly))
        .reaches(&[Cancelled]),
        Setting::new(
            "call off",
            size.of(
                Budget { acts: 1, late: 2, ..NONE },
                Budget { acts: 1, late: 3, doubles: 1, ..NONE },
            ),
        )
        .saga::<Reversible>(1)?
        .act(0, plain(Act::Cancel))
        .reaches(&[LateSuccess, EmptyUndo, RefusedAction]),
        Setting::new(
            "hold",
            size.of(Budget { acts: 2, ..NONE }, Budget { acts: 3, late: 2, rejections: 1, ..NONE }),
        )
        .saga::<Straight>(1)?
        .act(0, plain(Act::Pause))
        .act(0, plain(Act::Resume))
        .act(0, plain(Act::Cancel))
        .reaches(&[ActOvertaken, ReplyWhilePaused]),
        Setting::new(
            "repair",
            size.of(
                Budget { acts: 1, rejections: 2, ..NONE },
                Budget { acts: 2, rejections: 2, late: 2, ..NONE },
            ),
        )
        .saga::<Reversible>(1)?
        .act(0, plain(Act::Retry))
        .act(0, ActKind::Skip)
        .act(0, ActKind::Resolve)
        .reaches(&[Stuck, Healed, CompensationRefused, Retried, Skipped, Resolved]),
    ])
}

/// Time-outs, deadlines, leases.
fn times(size: Size) -> Made {
    Ok(vec![
        Setting::new(
            "deadline",
            size.of(
                Budget { late: 2, drops: 1, ..NONE },
                Budget { late: 3, drops: 1, doubles: 1, crashes: 1, ..NONE },
            ),
        )
        .saga::<Urgent>(1)?
        .reaches(&[DeadlineTurns, DeadlineNoted, ReplyAfterDeadline]),
        Setting::new(
            "held at the deadline",
            size.of(
                Budget { late: 1, acts: 2, ..NONE },
                Budget { late: 3, acts: 3, drops: 1, ..NONE },
            ),
        )
        .saga::<Urgent>(1)?
        .act(0, plain(Act::Pause))
        .act(0, plain(Act::Resume))
        .reaches(&[PausedAcrossDeadline]),
        Setting::new(
            "slow timer",
            size.of(
                Budget { slow: 1, acts: 1, late: 2, ..NONE },
                Budget { slow: 2, acts: 1, late: 3, ..NONE },
            ),
        )
        .saga::<Reversible>(1)?
        .act(0, plain(Act::Pause))
        .reaches(&[ConflictInLease, MovedInLease, LeaseRanOut]),
        Setting::new(
            "early timer",
            size.of(
                Budget { early: 2, drops: 1, ..NONE },
                Budget { early: 2, drops: 1, late: 2, slow: 1, ..NONE },
            ),
        )
        .saga::<Straight>(1)?
        .reaches(&[NothingDue]),
        Setting::new(
            "deferred",
            size.of(
                Budget { deferrals: 1, late: 1, ..NONE },
                Budget { deferrals: 2, late: 2, crashes: 1, ..NONE },
            ),
        )
        .saga::<Straight>(1)?
        .reaches(&[Deferred]),
    ])
}

/// Events and locks.
fn waits(size: Size) -> Made {
    Ok(vec![
        Setting::new(
            "event",
            size.of(
                Budget { doubles: 1, crashes: 1, late: 1, ..NONE },
                Budget { doubles: 1, crashes: 1, late: 2, slow: 1, ..NONE },
            ),
        )
        .saga::<Waiting>(1)?
        .event(1)
        .reaches(&[
            EventBeforeWait,
            EventAfterWait,
            EventTwice,
            EventTooLate,
            CrashBeforeWake,
        ]),
        Setting::new(
            "lock",
            size.of(
                Budget { crashes: 1, ..NONE },
                Budget { crashes: 1, slow: 1, late: 1, rejections: 1, doubles: 1, ..NONE },
            ),
        )
        .saga::<Locked>(1)?
        .saga::<Locked>(2)?
        .reaches(&[Queued, LockHandedOver]),
        Setting::new(
            "lock, held",
            size.of(
                Budget { acts: 2, ..NONE },
                Budget { acts: 2, late: 1, slow: 1, crashes: 1, ..NONE },
            ),
        )
        .saga::<Locked>(1)?
        .saga::<Locked>(2)?
        .act(0, plain(Act::Pause))
        .act(0, plain(Act::Resume))
        .act(1, plain(Act::Pause))
        .act(1, plain(Act::Resume))
        .reaches(&[HeldInQueue, LockHandedOver]),
    ])
}

/// Sagas within sagas.
fn nested(size: Size) -> Made {
    Ok(vec![
        Setting::new(
            "nested",
            size.of(
                Budget { rejections: 1, late: 1, ..NONE },
                Budget { rejections: 1, late: 1, crashes: 1, slow: 1, ..NONE },
            ),
        )
        .saga::<Outer>(1)?
        .nested()
        .reaches(&[NestedRejected, NestedUndone]),
        Setting::new(
            "nested, cancelled",
            size.of(
                Budget { acts: 1, ..NONE },
                Budget { acts: 1, late: 1, slow: 1, crashes: 1, ..NONE },
            ),
        )
        .saga::<Outer>(1)?
        .nested()
        .act(0, plain(Act::Cancel))
        .reaches(&[NestedUndone, NestedCalledOff]),
        Setting::new(
            "nested pivot",
            size.of(
                Budget { rejections: 1, crashes: 1, ..NONE },
                Budget { rejections: 1, crashes: 1, late: 1, slow: 1, ..NONE },
            ),
        )
        .saga::<Decided>(1)?
        .nested()
        .reaches(&[NestedRejected, Completed]),
    ])
}
