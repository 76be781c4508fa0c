//! The rows of a batch as arrays, one for each column. They are grouped and named as the parts of the
//! statement that writes them: `sql/everything.sql` has all of them.

use amends::{
    NextColumns, Op, Record, SagaId,
    machine::{Failure, Status, Time},
    turn::{Change, DecidedAct, DecidedStart, Due, NewSaga, NewWait, Rows, Timer},
};
use sqlx::types::Uuid;

use super::matcher;

#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) started: Started,
    pub(super) changed: Changed,
    pub(super) armed: Armed,
    pub(super) rearmed: Rearmed,
    pub(super) disarmed: Disarmed,
    pub(super) settled: Settled,
    pub(super) undone: Undone,
    pub(super) waiting: Waiting,
    pub(super) found: Found,
    pub(super) queued: Queued,
    pub(super) requested: Requested,
    pub(super) facts: Facts,
}

/// Sagas that begin, and their business keys.
#[derive(Debug, Default)]
pub(super) struct Started {
    pub(super) id: Vec<Uuid>,
    pub(super) definition: Vec<String>,
    pub(super) version: Vec<i32>,
    pub(super) key: Vec<Option<String>>,
    pub(super) trace: Vec<Option<String>>,
    pub(super) input: Vec<String>,
    pub(super) started_at: Vec<Time>,
    pub(super) status: Vec<&'static str>,
    pub(super) error: Vec<Option<String>>,
    pub(super) finished_at: Vec<Option<Time>>,
    pub(super) parent: Vec<Option<Uuid>>,
    pub(super) parent_step: Vec<Option<String>>,
    /// Of the input, where there is a key.
    pub(super) digest: Vec<Vec<u8>>,
}

/// Sagas with another status.
#[derive(Debug, Default)]
pub(super) struct Changed {
    pub(super) id: Vec<Uuid>,
    pub(super) status: Vec<&'static str>,
    pub(super) error: Vec<Option<String>>,
    pub(super) finished_at: Vec<Option<Time>>,
}

/// Timers that are set.
#[derive(Debug, Default)]
pub(super) struct Armed {
    pub(super) saga: Vec<Uuid>,
    pub(super) due_at: Vec<Option<Time>>,
}

/// Timers that fired, and are set anew.
#[derive(Debug, Default)]
pub(super) struct Rearmed {
    pub(super) saga: Vec<Uuid>,
    pub(super) due_at: Vec<Option<Time>>,
    pub(super) leased_until: Vec<Time>,
}

/// Timers that are deleted.
#[derive(Debug, Default)]
pub(super) struct Disarmed {
    pub(super) saga: Vec<Uuid>,
}

/// Items of the mailbox that are decided.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) id: Vec<i64>,
    pub(super) accepted: Vec<bool>,
    pub(super) answer: Vec<Option<String>>,
}

/// Nested sagas that are to be undone.
#[derive(Debug, Default)]
pub(super) struct Undone {
    pub(super) saga: Vec<Uuid>,
    pub(super) reason: Vec<String>,
}

/// Steps that wait for an event from now on.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) saga: Vec<Uuid>,
    pub(super) step: Vec<String>,
    pub(super) matcher: Vec<String>,
    pub(super) key: Vec<String>,
}

/// Steps that wait for their event no more.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) saga: Vec<Uuid>,
    pub(super) step: Vec<String>,
}

/// Locks that sagas want.
#[derive(Debug, Default)]
pub(super) struct Queued {
    pub(super) saga: Vec<Uuid>,
    pub(super) name: Vec<String>,
}

/// Starts by SQL that are decided.
#[derive(Debug, Default)]
pub(super) struct Requested {
    pub(super) saga: Vec<Uuid>,
    pub(super) accepted: Vec<bool>,
    pub(super) answer: Vec<Option<String>>,
    pub(super) holder: Vec<Option<Uuid>>,
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) saga: Vec<Uuid>,
    pub(super) seq: Vec<i32>,
    pub(super) attempt: Vec<i32>,
    pub(super) at: Vec<Time>,
    pub(super) kind: Vec<&'static str>,
    pub(super) step: Vec<Option<String>>,
    pub(super) op: Vec<Option<&'static str>>,
    pub(super) detail: Vec<Option<String>>,
    pub(super) sent: Vec<Option<String>>,
    pub(super) next: Vec<Option<String>>,
}

impl Columns {
    pub(super) fn of(rows: Rows) -> Self {
        let mut columns = Self::default();
        for (id, change) in rows.sagas {
            columns.add(id, change);
        }
        for id in rows.wakes {
            columns.armed.push(id, Some(rows.now));
        }
        for act in rows.acts {
            columns.settled.push(act);
        }
        for (id, reason) in rows.undo {
            columns.undone.saga.push(id.0);
            columns.undone.reason.push(reason);
        }
        for wait in rows.waits {
            columns.waiting.push(wait);
        }
        for (id, step) in rows.waits_over {
            columns.found.saga.push(id.0);
            columns.found.step.push(step);
        }
        for (id, name) in rows.locks {
            columns.queued.saga.push(id.0);
            columns.queued.name.push(name);
        }
        for start in rows.starts {
            columns.requested.push(start);
        }
        columns
    }

    /// Whether a saga begins.
    pub(super) const fn starts(&self) -> bool {
        !self.started.id.is_empty()
    }

    /// Whether a saga that exists has another status, or its timer moves.
    pub(super) const fn changes(&self) -> bool {
        !self.changed.id.is_empty()
            || !self.disarmed.saga.is_empty()
            || !self.rearmed.saga.is_empty()
            || self.armed.saga.len() > self.started.id.len()
    }

    /// Whether what few batches have is in it.
    pub(super) const fn is_rare(&self) -> bool {
        !self.settled.id.is_empty()
            || !self.waiting.saga.is_empty()
            || !self.found.saga.is_empty()
            || !self.queued.saga.is_empty()
            || !self.undone.saga.is_empty()
            || !self.requested.saga.is_empty()
    }

    /// Adds what changes for one saga.
    fn add(&mut self, id: SagaId, change: Change) {
        let first_at = change.facts.first().map(|f| f.at);
        let last_at = change.facts.last().map(|f| f.at);
        let ended = |status: Status| if status.ended() { last_at } else { None };
        match (change.start, change.status, first_at) {
            (Some(new), status, Some(started_at)) => {
                let (status, error) = status.unwrap_or((Status::Running, None));
                self.started.push(id, new, started_at, status, error, ended(status));
            }
            (None, Some((status, error)), _) => {
                self.changed.push(id, status, error, ended(status));
            }
            _ => {}
        }
        match change.timer {
            Timer::Keep => {}
            Timer::Delete => self.disarmed.saga.push(id.0),
            Timer::Set(due) => self.armed.push(id, due),
            Timer::Rearm(due, fired) => self.rearmed.push(id, due, fired),
        }
        for fact in change.facts {
            self.facts.push(id, fact);
        }
    }
}

impl Started {
    fn push(
        &mut self,
        id: SagaId,
        new: NewSaga,
        started_at: Time,
        status: Status,
        error: Option<Failure>,
        finished_at: Option<Time>,
    ) {
        self.id.push(id.0);
        self.definition.push(new.definition);
        self.version.push(int(new.version));
        self.digest.push(new.key.as_ref().map_or_else(Vec::new, |_| new.input.digest().to_vec()));
        self.key.push(new.key);
        self.trace.push(new.trace);
        self.input.push(new.input.as_str().to_owned());
        self.started_at.push(started_at);
        self.status.push(status.as_str());
        self.error.push(text(error));
        self.finished_at.push(finished_at);
        let (parent, step) = new.parent.map(|(id, step)| (id.0, step)).unzip();
        self.parent.push(parent);
        self.parent_step.push(step);
    }
}

impl Changed {
    fn push(
        &mut self,
        id: SagaId,
        status: Status,
        error: Option<Failure>,
        finished_at: Option<Time>,
    ) {
        self.id.push(id.0);
        self.status.push(status.as_str());
        self.error.push(text(error));
        self.finished_at.push(finished_at);
    }
}

impl Armed {
    fn push(&mut self, id: SagaId, due: Option<Time>) {
        self.saga.push(id.0);
        self.due_at.push(due);
    }
}

impl Rearmed {
    fn push(&mut self, id: SagaId, due: Option<Time>, fired: Due) {
        self.saga.push(id.0);
        self.due_at.push(due);
        self.leased_until.push(fired.leased_until);
    }
}

impl Settled {
    fn push(&mut self, act: DecidedAct) {
        self.id.push(act.id);
        self.accepted.push(act.refusal.is_none());
        self.answer.push(act.refusal);
    }
}

impl Waiting {
    fn push(&mut self, NewWait { saga, definition, wait }: NewWait) {
        self.saga.push(saga.0);
        self.matcher.push(matcher(&definition, &wait.step));
        self.step.push(wait.step);
        self.key.push(wait.key);
    }
}

impl Requested {
    fn push(&mut self, DecidedStart { saga, holder, refusal }: DecidedStart) {
        self.saga.push(saga.0);
        self.accepted.push(refusal.is_none());
        self.answer.push(refusal);
        self.holder.push(holder.map(|id| id.0));
    }
}

impl Facts {
    fn push(&mut self, id: SagaId, fact: Record) {
        let NextColumns { sent, next } = fact.next.into_columns(fact.at, fact.detail.as_ref());
        self.saga.push(id.0);
        self.seq.push(int(fact.seq));
        self.attempt.push(int(fact.attempt));
        self.at.push(fact.at);
        self.kind.push(fact.kind.as_str());
        self.step.push(fact.step);
        self.op.push(fact.op.map(Op::as_str));
        self.detail.push(fact.detail.map(|d| d.as_str().to_owned()));
        self.sent.push(sent);
        self.next.push(next);
    }
}

fn text(error: Option<Failure>) -> Option<String> {
    error.map(|error| error.to_json().as_str().to_owned())
}

/// Counters stay far below 2^31: a saga would need that many facts.
fn int(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
