//! Postgres, as the orchestrator's statements keep it: facts, timers, mailboxes, keys, waits, kept events
//! and locks.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use amends::{
    Definition, Json, NextRecord, Op, Record, SendRecord, StepKind,
    machine::{Kind, State, Status, Time},
    turn::{Change, Due, Rearm, Rows, Timer},
};

use crate::{
    act::{Act, Mail, Told},
    bug::Bug,
    happened::{Breach, Happened, Seen},
    setting::Setting,
    stored::{Row, Stored, rounded},
};

/// How long a replica has for a timer that it took, before it fires again.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// One saga's rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SagaRows {
    pub(crate) stored: Option<Arc<Stored>>,
    /// No row, never, or a time.
    pub(crate) timer: Option<Option<Time>>,
    pub(crate) mailbox: Vec<Mail>,
    /// Steps that wait for an event, and its key.
    pub(crate) waits: Vec<(String, String)>,
    /// Whether it wants a lock, and whether it holds it.
    pub(crate) lock: Option<bool>,
}

impl Hash for SagaRows {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self { stored, timer, mailbox, waits, lock } = self;
        let timer = timer.map(|at| at.map(rounded));
        (stored, timer, mailbox, waits, lock).hash(hasher);
    }
}

impl SagaRows {
    pub(crate) fn state(&self) -> Option<&State> {
        self.stored.as_ref().map(|stored| stored.kept.state())
    }

    /// Whether the saga's timer is due, or was taken: what is there now is read by its turn, or by the next.
    pub(crate) fn is_in_hand(&self, now: Time) -> bool {
        // Leases alone have parts of a millisecond.
        let leased = |at: Time| !at.timestamp_subsec_micros().is_multiple_of(1000);
        self.fires_at().is_some_and(|at| at <= now || (at <= now + LEASE && leased(at)))
    }

    /// When the saga's timer fires, if ever.
    pub(crate) fn fires_at(&self) -> Option<Time> {
        self.timer.flatten()
    }
}

/// All rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Database {
    pub(crate) sagas: Vec<SagaRows>,
    /// Events in their order, and when each was stored.
    pub(crate) kept: Vec<(u8, Time)>,
    /// Which saga holds the key.
    pub(crate) key: Option<u8>,
    noted: i64,
}

impl Database {
    pub(crate) fn new(sagas: usize) -> Self {
        Self { sagas: vec![SagaRows::default(); sagas], ..Self::default() }
    }

    /// The keys that another turn has written before: what has the commit fail.
    pub(crate) fn conflicts(&self, setting: &Setting, rows: &Rows, seen: &mut Seen) -> bool {
        let taken = rows.sagas.iter().any(|(id, change)| {
            let stored = self.sagas[setting.position(*id)].stored.as_ref();
            let next = stored.map_or(0, |stored| stored.records.len());
            change.facts.first().is_some_and(|first| (first.seq as usize) < next)
        });
        let key = rows.sagas.iter().any(|(id, change)| {
            let wants = change.start.as_ref().is_some_and(|new| new.key.is_some());
            let held = self.key.is_some_and(|holder| usize::from(holder) != setting.position(*id));
            wants && held
        });
        if key {
            seen.add(Happened::KeyConflict);
        }
        let decided = rows.acts.iter().any(|act| {
            let mailbox = &self.sagas[setting.position(act.saga)].mailbox;
            !mailbox.iter().any(|mail| mail.id == act.id)
        });
        taken || key || decided
    }

    /// One transaction.
    pub(crate) fn commit(&mut self, setting: &Setting, rows: &Rows) -> Result<(), Breach> {
        for (id, change) in &rows.sagas {
            let at = setting.position(*id);
            let spec = &setting.sagas[at];
            if let Some(new) = &change.start
                && new.key.is_some()
            {
                self.key = u8::try_from(at).ok();
            }
            self.unasked(at, rows, change)?;
            if let Some(state) = self.sagas[at].state() {
                in_time(state, &spec.definition, rows.now, &change.facts)?;
            }
            self.add(setting, at, &change.facts)?;
            self.set(setting, at, change.timer)?;
        }
        for id in &rows.wakes {
            self.wake(setting, setting.position(*id), rows.now);
        }
        for act in &rows.acts {
            self.sagas[setting.position(act.saga)].mailbox.retain(|mail| mail.id != act.id);
        }
        for (id, step) in &rows.waits_over {
            self.sagas[setting.position(*id)].waits.retain(|(waiting, _)| waiting != step);
        }
        for new in &rows.waits {
            let waits = &mut self.sagas[setting.position(new.saga)].waits;
            waits.retain(|(waiting, _)| *waiting != new.wait.step);
            waits.push((new.wait.step.clone(), new.wait.key.clone()));
            waits.sort();
        }
        for (id, _) in &rows.locks {
            self.sagas[setting.position(*id)].lock = Some(false);
        }
        for (id, _) in &rows.undo {
            self.note(setting.position(*id), rows.now, Told::Undo);
        }
        Ok(())
    }

    /// A turn that goes past an act decides it.
    fn unasked(&self, at: usize, rows: &Rows, change: &Change) -> Result<(), Breach> {
        let acts = self.sagas[at].mailbox.iter().filter(|mail| matches!(mail.what, Told::Act(..)));
        let decided = |mail: &Mail| rows.acts.iter().any(|act| act.id == mail.id);
        let passes = !change.facts.is_empty() && !acts.into_iter().all(decided);
        if passes { Err(Breach::Overtaken) } else { Ok(()) }
    }

    fn set(&mut self, setting: &Setting, at: usize, timer: Timer) -> Result<(), Breach> {
        let saga = &mut self.sagas[at];
        match timer {
            Timer::Keep if saga.timer.is_none() => return Err(Breach::NoTimer),
            Timer::Keep => {}
            Timer::Set(due) => self.fire_by(setting, at, due),
            Timer::Rearm(due, fired) => match saga.timer {
                Some(at) if at == Some(fired.leased_until) => saga.timer = Some(due),
                Some(_) => self.fire_by(setting, at, due),
                // Deleted meanwhile: an update finds nothing.
                None => {}
            },
            Timer::Delete => saga.timer = None,
        }
        Ok(())
    }

    /// Sets timers again that led to nothing, unless somebody moved them.
    pub(crate) fn rearm(&mut self, setting: &Setting, rearm: &[Rearm]) {
        for rearm in rearm {
            let (Rearm::Set(fired, _) | Rearm::Delete(fired)) = rearm;
            let saga = &mut self.sagas[setting.position(fired.saga)];
            if saga.timer == Some(Some(fired.leased_until)) {
                saga.timer = match rearm {
                    Rearm::Set(_, due) => Some(*due),
                    Rearm::Delete(_) => None,
                };
            }
        }
    }

    /// Sets a timer, unless it stands earlier; moved in any case.
    fn fire_by(&mut self, setting: &Setting, at: usize, due: Option<Time>) {
        let saga = &mut self.sagas[at];
        let stands = saga.fires_at();
        if setting.has(Bug::WakeKeepsLease) && stands.is_some_and(|at| due.is_none_or(|d| at <= d))
        {
            return;
        }
        let earlier = saga.timer.flatten().map(|at| at - Duration::from_micros(1));
        saga.timer = Some(earlier.into_iter().chain(due).min());
    }

    /// Makes a saga's timer due.
    pub(crate) fn wake(&mut self, setting: &Setting, at: usize, now: Time) {
        self.fire_by(setting, at, Some(now));
    }

    /// Takes a timer that is due under a lease.
    pub(crate) fn claim(&mut self, setting: &Setting, at: usize, now: Time, claims: u32) -> Due {
        // No two leases that stand at one time are alike, nor is one like a time to which a wake moved the
        // timer: in Postgres a clock with microseconds sees to that.
        let apart = Duration::from_micros(20 + 10 * u64::from(claims % 40));
        let leased_until = now + LEASE - apart;
        self.sagas[at].timer = Some(Some(leased_until));
        Due { saga: setting.sagas[at].id, leased_until, now }
    }

    /// Where a timer stands as it is read with its saga: not if it may be a lease.
    pub(crate) fn timer_at(&self, at: usize, now: Time) -> Option<Time> {
        self.sagas[at].fires_at().filter(|at| *at > now + LEASE)
    }

    /// `amends.note_act`: the act takes the next number of its saga's facts, and makes its timer due.
    pub(crate) fn ask(
        &mut self,
        setting: &Setting,
        at: usize,
        act: Act,
        now: Time,
    ) -> Result<(), Breach> {
        let Some(state) = self.sagas[at].state() else { return Ok(()) };
        let seen = state.seq;
        let asked = Record {
            seq: seen,
            at: now,
            kind: Kind::Asked,
            step: None,
            op: None,
            attempt: 0,
            detail: Some(Json::trusted(r#"{"by":"an operator"}"#)),
            next: NextRecord::default(),
        };
        if !setting.has(Bug::ActWithoutFact) {
            self.add(setting, at, &[asked])?;
        }
        self.note(at, now, Told::Act(act, seen));
        if !setting.has(Bug::ActWithoutWake) {
            self.wake(setting, at, now);
        }
        Ok(())
    }

    /// Puts something into a mailbox.
    fn note(&mut self, at: usize, came: Time, what: Told) {
        self.noted += 1;
        self.sagas[at].mailbox.push(Mail { id: self.noted, came, what });
    }

    /// Adds facts to a saga.
    fn add(&mut self, setting: &Setting, at: usize, facts: &[Record]) -> Result<(), Breach> {
        let spec = &setting.sagas[at];
        let row = Row {
            definition: &spec.definition,
            id: spec.id,
            key: spec.key.as_ref(),
            input: &spec.input,
            parent: spec.parent.as_ref().map(|(parent, _)| setting.sagas[*parent].id),
        };
        let saga = &mut self.sagas[at];
        let stored = Stored::with(saga.stored.as_deref(), &row, facts)?;
        saga.stored = Some(Arc::new(stored));
        Ok(())
    }

    /// `amends.acquire_locks`: whether the saga has its lock now.
    pub(crate) fn acquire(&mut self, at: usize) -> bool {
        let barred = self.is_barred(at);
        if !barred && self.sagas[at].lock.is_some() {
            self.sagas[at].lock = Some(true);
        }
        !barred
    }

    /// Whether a saga has to wait for a lock: another holds it, or came earlier.
    pub(crate) fn is_barred(&self, at: usize) -> bool {
        let others = self.sagas.iter().enumerate().filter(|(other, _)| *other != at);
        self.sagas[at].lock == Some(false)
            && others.clone().any(|(other, saga)| match saga.lock {
                // One that is held by an operator lets others go first.
                Some(held) => held || (other < at && !is_paused(saga)),
                None => false,
            })
    }

    /// `amends.release_locks`: the saga is no longer in the queue, and the first in it is woken.
    pub(crate) fn release(&mut self, setting: &Setting, at: usize, now: Time) {
        if self.sagas[at].lock.take().is_some() && !setting.has(Bug::ReleaseWithoutWake) {
            self.wake_next(setting, now);
        }
    }

    /// `amends.pass_locks`: the saga is held by an operator, and whoever comes after it is woken.
    pub(crate) fn pass(&mut self, setting: &Setting, at: usize, now: Time) {
        if self.sagas[at].lock == Some(false) {
            self.wake_next(setting, now);
        }
    }

    fn wake_next(&mut self, setting: &Setting, now: Time) {
        let waits = |saga: &SagaRows| saga.lock.is_some() && !is_paused(saga);
        if let Some(first) = self.sagas.iter().position(waits) {
            self.wake(setting, first, now);
        }
    }
}

fn is_paused(saga: &SagaRows) -> bool {
    saga.state().is_some_and(|state| state.status == Status::Paused)
}

/// After its deadline, while there is a way back, a saga asks for nothing new.
fn in_time(
    before: &State,
    definition: &Definition,
    now: Time,
    facts: &[Record],
) -> Result<(), Breach> {
    let outline = definition.outline();
    let barred = before.steps.iter().any(|step| {
        let kind = outline.steps[step.plan].kind;
        kind != StepKind::Compensatable && step.action.attempt > 0
    });
    let passed = before.deadline.is_some_and(|deadline| deadline <= now);
    let asks = |send: &SendRecord| send.op == Op::Action && send.attempt == 1;
    let new = facts.iter().flat_map(|fact| &fact.next.sends).any(asks);
    if passed && !barred && new { Err(Breach::Deadline) } else { Ok(()) }
}
