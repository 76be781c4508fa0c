//! Subjects whose events JetStream refuses now.
//!
//! What it refuses (no stream captures the subject, the stream is full, the user may not publish it)
//! it refuses for all events of a subject. They are set aside without being sent, so that they hold
//! up no others; one of them tries again when the pause is over.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::ACK_WAIT;

const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_CAP: Duration = Duration::from_secs(30);
/// How long the others wait for the one that tries again.
const MEANWHILE: Duration = Duration::from_secs(1);
/// A pause that nobody has asked about for so long is forgotten.
const STALE: Duration = Duration::from_secs(600);

#[derive(Default)]
pub(super) struct PausedSubjects(Mutex<HashMap<String, Pause>>);

struct Pause {
    until: Instant,
    length: Duration,
    /// One event tries again; until it knows, or should know, the others wait.
    probing: bool,
    reason: String,
}

/// Why an event is not sent now, and how long it waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Deferral {
    pub(super) reason: String,
    pub(super) wait: Duration,
}

impl PausedSubjects {
    /// Whether an event of this subject may be sent.
    pub(super) fn admit(&self, subject: &str, now: Instant) -> Result<(), Deferral> {
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pause) = pauses.get_mut(subject) else { return Ok(()) };
        if pause.until <= now {
            pause.probing = true;
            pause.until = now + 2 * ACK_WAIT;
            return Ok(());
        }
        let wait = if pause.probing { MEANWHILE } else { pause.until - now };
        Err(Deferral { reason: pause.reason.clone(), wait })
    }

    /// Notes a refusal: how long to wait, and whether it is the first.
    pub(super) fn refused(&self, subject: &str, reason: &str, now: Instant) -> (Duration, bool) {
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = !pauses.contains_key(subject);
        pauses.retain(|_, pause| pause.until + STALE > now);
        let pause = pauses.entry(subject.to_owned()).or_insert_with(|| Pause {
            until: now,
            length: PAUSE_FIRST / 2,
            probing: true,
            reason: String::new(),
        });
        // Of events that were under way side by side only one makes the pause longer.
        if pause.probing {
            pause.length = (pause.length * 2).min(PAUSE_CAP);
            pause.until = now + pause.length;
            pause.probing = false;
        }
        reason.clone_into(&mut pause.reason);
        (pause.until.saturating_duration_since(now), first)
    }

    /// Ends a pause; whether there was one.
    pub(super) fn stored(&self, subject: &str) -> bool {
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.remove(subject).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(wait: Duration) -> Result<(), Deferral> {
        Err(Deferral { reason: "no stream".into(), wait })
    }

    #[test]
    fn one_event_tries_again_and_the_others_wait() {
        let (pauses, t) = (PausedSubjects::default(), Instant::now());
        assert_eq!(pauses.admit("a", t), Ok(()));
        assert_eq!(pauses.refused("a", "no stream", t), (PAUSE_FIRST, true));
        // Another of the same round neither says it again nor makes the pause longer.
        assert_eq!(pauses.refused("a", "no stream", t), (PAUSE_FIRST, false));
        assert_eq!(pauses.admit("b", t), Ok(()));
        assert_eq!(pauses.admit("a", t + PAUSE_FIRST / 4), wait(PAUSE_FIRST * 3 / 4));
        assert_eq!(pauses.admit("a", t + PAUSE_FIRST), Ok(()));
        assert_eq!(pauses.admit("a", t + PAUSE_FIRST), wait(MEANWHILE));
        assert_eq!(pauses.refused("a", "no stream", t + PAUSE_FIRST), (2 * PAUSE_FIRST, false));
        assert_eq!(pauses.admit("a", t + PAUSE_FIRST), wait(2 * PAUSE_FIRST));
        assert!(pauses.stored("a"));
        assert!(!pauses.stored("a"));
        assert_eq!(pauses.admit("a", t + PAUSE_FIRST), Ok(()));
    }

    #[test]
    fn a_lost_trial_does_not_close_a_subject_for_ever() {
        let (pauses, t) = (PausedSubjects::default(), Instant::now());
        pauses.refused("a", "no stream", t);
        assert_eq!(pauses.admit("a", t + PAUSE_FIRST), Ok(()));
        assert_eq!(pauses.admit("a", t + PAUSE_FIRST + 2 * ACK_WAIT), Ok(()));
    }

    #[test]
    fn pauses_grow_to_a_cap_and_go_when_they_are_stale() {
        let (pauses, mut t) = (PausedSubjects::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(pauses.admit("a", t), Ok(()));
            t += pauses.refused("a", "no stream", t).0;
        }
        assert_eq!(pauses.admit("a", t), Ok(()));
        assert_eq!(pauses.refused("a", "no stream", t).0, PAUSE_CAP);
        pauses.refused("b", "no stream", t + PAUSE_CAP + STALE);
        assert!(!pauses.stored("a"));
    }
}
