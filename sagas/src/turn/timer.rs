//! Where a saga's timer is to stand after a turn.

use std::time::Duration;

use crate::machine::Time;

use super::{Due, Instance, Rearm, Timer};

/// A timer this close to its time may have been taken by another replica's clock.
const SLACK: Duration = Duration::from_secs(2);

/// When the status event of a change that a timer caused is published again, in case its first
/// publication was lost in a crash.
const STATUS_EVENT_AGAIN: Duration = Duration::from_secs(10);

/// What is known of a saga's timer at the end of a batch.
pub(super) struct Situation {
    pub(super) now: Time,
    /// The timer fired.
    pub(super) fired: Option<Due>,
    /// Something may be in its inbox that the saga does not know of yet.
    pub(super) inbox: bool,
    /// What was due before this batch; another replica may have set the timer to just that.
    pub(super) due_before: Option<Time>,
}

/// The timer of a saga that moved. It is written only when the one that stands would fire too late: an
/// early one fires, finds nothing due, and is set again.
pub(super) fn after(instance: &Instance, situation: &Situation) -> Timer {
    let Situation { now, fired, inbox, due_before } = *situation;
    let due = if inbox { Some(now) } else { instance.state.due() };
    let ended = instance.state.status.ended() && !inbox;
    if let Some(fired) = fired {
        let changed = instance.changes.last().is_some_and(|c| c.seq + 1 == instance.state.seq);
        let again = changed.then(|| now + STATUS_EVENT_AGAIN);
        return match due.into_iter().chain(again).min() {
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

/// The timer of a saga that fired and led to nothing.
pub(super) fn idle(instance: &Instance, fired: Due) -> Rearm {
    match instance.state.due() {
        None if instance.state.status.ended() => Rearm::Delete(fired),
        due => Rearm::Set(fired, due),
    }
}
