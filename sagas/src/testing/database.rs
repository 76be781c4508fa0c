//! The simulated Postgres, beside the facts of each saga: timers, acts, keys, waits and locks, as the
//! orchestrator's statements keep them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    breach::{Kept, hold},
    saga::Saga,
};
use crate::{
    SagaId,
    machine::{Event, OperatorAct, Time},
    turn::{Due, KeyHolder, OpenAct, Rearm, Rows, Timer},
};

/// How long an orchestrator has for a timer that it took, before it fires again.
const LEASE: Duration = Duration::from_secs(10);

/// The sagas that are stored.
pub(super) type Sagas = BTreeMap<SagaId, Saga>;

#[derive(Default)]
pub(super) struct Database {
    /// When each timer fires; none is never.
    timers: BTreeMap<SagaId, Option<Time>>,
    acts: Vec<Noted>,
    /// Acts whose decisions are written.
    decided: BTreeSet<i64>,
    noted: i64,
    keys: BTreeMap<(String, String), KeyHolder>,
    /// Steps that wait for an event, and its key.
    waits: BTreeMap<(SagaId, String), String>,
    /// Sagas that want or have locks, and whether nobody else holds them.
    locks: BTreeMap<SagaId, bool>,
}

/// An act, or what the outer saga asks for.
struct Noted {
    id: i64,
    came: Time,
    saga: SagaId,
    event: Event,
}

impl Database {
    /// The version check: another turn came first, a key is taken, or an act is decided.
    pub(super) fn conflicts(&self, sagas: &Sagas, rows: &Rows) -> Option<SagaId> {
        let conflict = rows.sagas.iter().find(|(id, change)| {
            let stored = sagas.get(id).map_or(0, |saga| saga.store.seq());
            let taken = change.facts.first().is_some_and(|first| first.seq < stored);
            let key = change.start.as_ref().and_then(|new| {
                let key = (new.definition.clone(), new.key.clone()?);
                self.keys.get(&key)
            });
            taken || key.is_some_and(|holder| holder.id != *id)
        });
        let decided = rows.acts.iter().find(|act| self.decided.contains(&act.id));
        conflict.map(|(id, _)| *id).or(decided.map(|act| act.saga))
    }

    /// What a batch writes beside facts, in the same transaction.
    pub(super) fn write(&mut self, rows: &Rows) -> Kept {
        for (id, change) in &rows.sagas {
            if let Some(new) = &change.start
                && let Some(key) = &new.key
            {
                let holder = KeyHolder { id: *id, digest: new.input.digest() };
                self.keys.insert((new.definition.clone(), key.clone()), holder);
            }
            self.set(*id, change.timer)?;
        }
        rows.wakes.iter().for_each(|id| self.wake(*id, rows.now));
        for noted in self.acts.extract_if(.., |noted| rows.acts.iter().any(|a| a.id == noted.id)) {
            self.decided.extend(matches!(noted.event, Event::Act(_)).then_some(noted.id));
        }
        for new in &rows.waits {
            self.waits.insert((new.saga, new.wait.step.clone()), new.wait.key.clone());
        }
        for (id, step) in &rows.waits_over {
            self.waits.remove(&(*id, step.clone()));
        }
        for (id, _) in &rows.locks {
            self.locks.insert(*id, false);
        }
        for (id, reason) in &rows.undo {
            self.note(*id, Event::Undo(reason.clone()), rows.now);
        }
        Ok(())
    }

    fn set(&mut self, id: SagaId, timer: Timer) -> Kept {
        match timer {
            Timer::Keep => hold!(self.timers.contains_key(&id), Ends, "{id} has no timer to keep"),
            Timer::Set(due) => self.fire_by(id, due),
            Timer::Rearm(due, fired) => {
                let moved = self.timers.get(&id).map(|at| *at != Some(fired.leased_until));
                match moved {
                    Some(true) => self.fire_by(id, due),
                    Some(false) => drop(self.timers.insert(id, due)),
                    // Deleted meanwhile, by the turn that ended the saga: an update finds nothing.
                    None => {}
                }
            }
            Timer::Delete => drop(self.timers.remove(&id)),
        }
        Ok(())
    }

    /// Sets timers again that led to nothing, unless somebody moved them.
    pub(super) fn rearm(&mut self, rearm: &[Rearm]) {
        for rearm in rearm {
            let (Rearm::Set(fired, _) | Rearm::Delete(fired)) = rearm;
            if self.timers.get(&fired.saga) == Some(&Some(fired.leased_until)) {
                match rearm {
                    Rearm::Set(fired, due) => drop(self.timers.insert(fired.saga, *due)),
                    Rearm::Delete(fired) => drop(self.timers.remove(&fired.saga)),
                }
            }
        }
    }

    /// Makes a saga's timer due, if it is not earlier.
    pub(super) fn wake(&mut self, id: SagaId, now: Time) {
        self.fire_by(id, Some(now));
    }

    /// Sets a timer, unless it stands earlier. What stands may be a lease: whoever has it must see that
    /// somebody came by.
    fn fire_by(&mut self, id: SagaId, due: Option<Time>) {
        let earlier = self.timers.get(&id).copied().flatten();
        let earlier = earlier.map(|at| at - Duration::from_micros(1));
        self.timers.insert(id, earlier.into_iter().chain(due).min());
    }

    /// Wakes sagas with acts that their timers have forgotten; whether there are any.
    pub(super) fn wake_acts(&mut self, now: Time) -> bool {
        let forgotten: Vec<_> = self.acts.iter().map(|noted| noted.saga).collect();
        forgotten.iter().for_each(|id| self.wake(*id, now));
        !forgotten.is_empty()
    }

    /// The timer that fires next.
    pub(super) fn next_timer(&self) -> Option<(Time, SagaId)> {
        self.timers.iter().filter_map(|(id, at)| Some(((*at)?, *id))).min()
    }

    /// Takes a timer under a lease, if there is one.
    pub(super) fn claim(&mut self, saga: SagaId, now: Time) -> Option<Due> {
        let at = self.timers.get_mut(&saga)?;
        let leased_until = now + LEASE;
        *at = Some(leased_until);
        Some(Due { saga, leased_until, now })
    }

    /// Where a saga's timer stands, as it is read with the saga: not if it may be a lease.
    pub(super) fn timer_at(&self, id: SagaId, now: Time) -> Option<Time> {
        self.timers.get(&id).copied().flatten().filter(|at| *at > now + LEASE)
    }

    /// Whether a saga's timer fires by then, or when a lease on it is over.
    pub(super) fn fires_by(&self, id: SagaId, due: Time, now: Time) -> bool {
        let at = self.timers.get(&id).copied().flatten();
        at.is_some_and(|at| at <= due.max(now + LEASE))
    }

    pub(super) fn has_timer(&self, id: SagaId) -> bool {
        self.timers.contains_key(&id)
    }

    pub(super) fn note(&mut self, saga: SagaId, event: Event, came: Time) {
        self.noted += 1;
        self.acts.push(Noted { id: self.noted, came, saga, event });
    }

    /// An operator's act: noted, and its saga woken.
    pub(super) fn act(&mut self, saga: SagaId, act: OperatorAct, now: Time) {
        self.note(saga, Event::Act(act), now);
        self.wake(saga, now);
    }

    pub(super) fn open_acts(&self, saga: SagaId) -> Vec<OpenAct> {
        let open = self.acts.iter().filter(|noted| noted.saga == saga);
        let act = |noted: &Noted| {
            let (id, came, event) = (noted.id, noted.came, Ok(noted.event.clone()));
            OpenAct { id, came, event, exact: false }
        };
        open.map(act).collect()
    }

    pub(super) fn holder(&self, definition: &str, key: &str) -> Option<KeyHolder> {
        self.keys.get(&(definition.to_owned(), key.to_owned())).copied()
    }

    /// The steps of a saga that wait for events, and their keys.
    pub(super) fn waits(&self, saga: SagaId) -> impl Iterator<Item = (&str, &str)> {
        let of_saga = self.waits.iter().filter(move |((id, _), _)| *id == saga);
        of_saga.map(|((_, step), key)| (step.as_str(), key.as_str()))
    }

    /// Whether a saga gets its locks; otherwise it is woken when whoever holds one lets it go.
    pub(super) fn acquires(&self, saga: SagaId) -> bool {
        self.locks.get(&saga).copied().unwrap_or(false)
    }

    /// Nobody else holds a lock that a saga wants.
    pub(super) fn lock_is_free(&mut self, saga: SagaId) {
        self.locks.insert(saga, true);
    }
}
