//! Where a saga's timer is to stand after a turn.

use std::time::Duration;

use crate::{StatusChange, machine::Time};

use super::{Due, Instance, Rearm, Timer};

/// A timer this close to its time may have been taken by another replica's clock.
const SLACK: Duration = Duration::from_secs(2);

/// After how long the status event of a change is published again, and again, until it is known to be
/// stored. A change that a timer caused has no message that would be delivered again.
const STATUS_EVENT_AGAIN: Duration = Duration::from_secs(10);

/// What is known of a saga's timer at the end of a batch.
pub(super) struct Situation {
    pub(super) now: Time,
    /// The timer fired.
    pub(super) fired: Option<Due>,
    /// Something may be in its inbox that the saga does not know of yet.
    pub(super) inbox: bool,
    /// Something moved it that is no message, which would be delivered again.
    pub(super) by_itself: bool,
    /// What was due before this batch; another replica may have set the timer to just that.
    pub(super) due_before: Option<Time>,
}

/// The timer of a saga that moved. It is written only when the one that stands would fire too late: an
/// early one fires, finds nothing due, and is set again.
pub(super) fn after(instance: &Instance, situation: &Situation) -> Timer {
    let Situation { now, fired, inbox, by_itself, due_before } = *situation;
    let changed = instance.changes.last().is_some_and(|c| c.seq + 1 == instance.state.seq);
    let ended = instance.state.status.ended();
    // What came after an end may have come before its event was published.
    let again = if changed { by_itself || fired.is_some() } else { ended };
    let again = again.then(|| now + STATUS_EVENT_AGAIN);
    let due = if inbox { Some(now) } else { instance.state.due() };
    let ended = ended && !inbox && again.is_none();
    let due = due.into_iter().chain(again).min();
    if let Some(fired) = fired {
        return match due {
            None if ended => Timer::Delete,
            due => Timer::Rearm(due, fired),
        };
    }
    match (due, instance.timer_at) {
        _ if ended => Timer::Delete,
        (Some(due), Some(at))
            if at <= due && at > now + SLACK && due_before.is_some_and(|before| before <= due) =>
        {
            Timer::Keep
        }
        (due, _) => Timer::Set(due),
    }
}

/// Whether the event of a change is to be published again, of which it is not known that it is stored.
pub(super) fn is_overdue(change: &StatusChange, now: Time) -> bool {
    change.at + STATUS_EVENT_AGAIN <= now
}

/// The timer of a saga that fired and led to nothing; `announced` is when the event of its last change was
/// published, if it may have to be published again.
pub(super) fn idle(instance: &Instance, fired: Due, announced: Option<Time>) -> Rearm {
    let again = announced.map(|at| at + STATUS_EVENT_AGAIN);
    match instance.state.due().into_iter().chain(again).min() {
        None if instance.state.status.ended() => Rearm::Delete(fired),
        due => Rearm::Set(fired, due),
    }
}
