//! A batch's rows as one statement over arrays.

use amends::{
    Record, SagaId,
    machine::{Failure, Status, Time},
    turn::{Change, DecidedAct, DecidedStart, NewSaga, NewWait, Rows, Timer},
};
use sqlx::{PgConnection, types::Uuid};

use super::{CommitError, Held, matcher};

/// Columns of the rows to write.
#[derive(Debug, Default)]
struct Columns {
    facts: Facts,
    starts: Starts,
    changes: Changes,
    timers: Timers,
    acts: Acts,
    waits: Waits,
    waits_over: Steps,
    locks: Locks,
    undo: Undo,
    requests: Requests,
}

#[derive(Debug, Default)]
struct Waits {
    saga: Vec<Uuid>,
    step: Vec<String>,
    matcher: Vec<String>,
    key: Vec<String>,
}

#[derive(Debug, Default)]
struct Steps {
    saga: Vec<Uuid>,
    step: Vec<String>,
}

#[derive(Debug, Default)]
struct Locks {
    saga: Vec<Uuid>,
    name: Vec<String>,
}

#[derive(Debug, Default)]
struct Undo {
    saga: Vec<Uuid>,
    reason: Vec<String>,
}

#[derive(Debug, Default)]
struct Requests {
    saga: Vec<Uuid>,
    accepted: Vec<bool>,
    answer: Vec<Option<String>>,
}

#[derive(Debug, Default)]
struct Acts {
    id: Vec<i64>,
    accepted: Vec<bool>,
    answer: Vec<Option<String>>,
}

#[derive(Debug, Default)]
struct Facts {
    saga: Vec<Uuid>,
    seq: Vec<i32>,
    attempt: Vec<i32>,
    at: Vec<Time>,
    kind: Vec<&'static str>,
    step: Vec<Option<String>>,
    op: Vec<Option<&'static str>>,
    detail: Vec<Option<String>>,
    next: Vec<Option<String>>,
}

#[derive(Debug, Default)]
struct Starts {
    id: Vec<Uuid>,
    definition: Vec<String>,
    version: Vec<i32>,
    key: Vec<Option<String>>,
    trace: Vec<Option<String>>,
    input: Vec<String>,
    /// Of the input, where there is a key.
    digest: Vec<Vec<u8>>,
    started_at: Vec<Time>,
    status: Vec<&'static str>,
    error: Vec<Option<String>>,
    finished_at: Vec<Option<Time>>,
    parent: Vec<Option<Uuid>>,
    parent_step: Vec<Option<String>>,
}

#[derive(Debug, Default)]
struct Changes {
    id: Vec<Uuid>,
    status: Vec<&'static str>,
    error: Vec<Option<String>>,
    finished_at: Vec<Option<Time>>,
}

#[derive(Debug, Default)]
struct Timers {
    id: Vec<Uuid>,
    due_at: Vec<Option<Time>>,
    fired: Vec<Uuid>,
    next_due: Vec<Option<Time>>,
    leased_until: Vec<Time>,
    deleted: Vec<Uuid>,
}

impl Columns {
    fn of(rows: Rows) -> Self {
        let mut columns = Self::default();
        for NewWait { saga, definition, wait } in rows.waits {
            columns.waits.saga.push(saga.0);
            columns.waits.matcher.push(matcher(&definition, &wait.step));
            columns.waits.step.push(wait.step);
            columns.waits.key.push(wait.key);
        }
        for (id, change) in rows.sagas {
            columns.add(id, change);
        }
        for id in rows.wakes {
            columns.timers.id.push(id.0);
            columns.timers.due_at.push(Some(rows.now));
        }
        for DecidedAct { id, refusal, .. } in rows.acts {
            columns.acts.id.push(id);
            columns.acts.accepted.push(refusal.is_none());
            columns.acts.answer.push(refusal);
        }
        for (id, step) in rows.waits_over {
            columns.waits_over.saga.push(id.0);
            columns.waits_over.step.push(step);
        }
        for (id, name) in rows.locks {
            columns.locks.saga.push(id.0);
            columns.locks.name.push(name);
        }
        for (id, reason) in rows.undo {
            columns.undo.saga.push(id.0);
            columns.undo.reason.push(reason);
        }
        for DecidedStart { saga, answer } in rows.starts {
            columns.requests.saga.push(saga.0);
            columns.requests.accepted.push(answer.is_ok());
            columns.requests.answer.push(answer.unwrap_or_else(Some));
        }
        columns
    }

    /// Whether what few batches have is in it.
    const fn is_rare(&self) -> bool {
        !self.acts.id.is_empty()
            || !self.waits.saga.is_empty()
            || !self.waits_over.saga.is_empty()
            || !self.locks.saga.is_empty()
            || !self.undo.saga.is_empty()
            || !self.requests.saga.is_empty()
    }

    /// Adds what changes for one saga.
    fn add(&mut self, id: SagaId, change: Change) {
        let first_at = change.facts.first().map(|f| f.at);
        let last_at = change.facts.last().map(|f| f.at);
        let ended = |status: Status| if status.ended() { last_at } else { None };
        match (change.start, change.status, first_at) {
            (Some(new), status, Some(started_at)) => {
                let (status, error) = status.unwrap_or((Status::Running, None));
                self.starts.push(id, new, started_at, status, error, ended(status));
            }
            (None, Some((status, error)), _) => {
                self.changes.id.push(id.0);
                self.changes.status.push(status.as_str());
                self.changes.error.push(error.map(|e| e.to_json().as_str().to_owned()));
                self.changes.finished_at.push(ended(status));
            }
            _ => {}
        }
        match change.timer {
            Timer::Keep => {}
            Timer::Delete => self.timers.deleted.push(id.0),
            Timer::Set(due) => {
                self.timers.id.push(id.0);
                self.timers.due_at.push(due);
            }
            Timer::Rearm(due, fired) => {
                self.timers.fired.push(id.0);
                self.timers.next_due.push(due);
                self.timers.leased_until.push(fired.leased_until);
            }
        }
        for fact in change.facts {
            self.facts.push(id, fact);
        }
    }
}

impl Facts {
    fn push(&mut self, id: SagaId, fact: Record) {
        let next = fact.next.into_text(fact.at, fact.detail.as_ref());
        self.saga.push(id.0);
        self.seq.push(int(fact.seq));
        self.attempt.push(int(fact.attempt));
        self.at.push(fact.at);
        self.kind.push(fact.kind.as_str());
        self.step.push(fact.step);
        self.op.push(fact.op.map(amends::Op::as_str));
        self.detail.push(fact.detail.map(|d| d.as_str().to_owned()));
        self.next.push(next);
    }
}

impl Starts {
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
        self.error.push(error.map(|e| e.to_json().as_str().to_owned()));
        self.finished_at.push(finished_at);
        let (parent, step) = new.parent.map(|(id, step)| (id.0, step)).unzip();
        self.parent.push(parent);
        self.parent_step.push(step);
    }
}

/// Counters stay far below 2^31: a saga would need that many facts.
fn int(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

impl Held {
    /// Writes a batch: all of it or nothing. Once this returns `Ok` the turns are durable.
    ///
    /// One of four statements runs, by what the batch holds: planning a part that has no rows costs
    /// more than writing a small batch.
    ///
    /// # Errors
    /// [`CommitError`]; after `Unavailable` the batch may have been written.
    pub(crate) async fn commit(&mut self, rows: Rows) -> Result<(), CommitError> {
        let columns = Columns::of(rows);
        let done = write(self.get().await?, &columns).await.map_err(CommitError::from);
        if let Err(CommitError::Unavailable(_)) = &done {
            self.end();
        }
        done
    }
}

async fn write(connection: &mut PgConnection, columns: &Columns) -> sqlx::Result<()> {
    let Columns { facts: f, starts: s, changes: c, timers: t, acts: a, .. } = columns;
    let Columns { waits: w, waits_over: o, locks: l, undo: u, requests: r, .. } = columns;
    let starts = !s.id.is_empty();
    let changes =
        !c.id.is_empty() || !t.deleted.is_empty() || !t.fired.is_empty() || t.id.len() > s.id.len();
    // Each table's columns stand together, in the order in which the statements write the tables.
    macro_rules! run {
        ($file:literal $(, $column:expr)*) => {
            sqlx::query_file!(
                $file $(, $column)*, &f.saga, &f.seq, &f.attempt, &f.at, &f.kind as &[&str],
                &f.step as &[Option<String>], &f.op as &[Option<&str>],
                &f.detail as &[Option<String>], &f.next as &[Option<String>]
            )
            .execute(connection)
            .await
        };
    }
    let rare = columns.is_rare();
    match (starts || rare, changes || rare) {
        (false, false) => run!("src/store/sql/facts.sql"),
        (true, false) => run!(
            "src/store/sql/starts.sql",
            // saga and business_key
            &s.id,
            &s.definition,
            &s.version,
            &s.key as &[Option<String>],
            &s.trace as &[Option<String>],
            &s.input,
            &s.started_at,
            &s.status as &[&str],
            &s.error as &[Option<String>],
            &s.finished_at as &[Option<Time>],
            &s.parent as &[Option<Uuid>],
            &s.parent_step as &[Option<String>],
            &s.digest,
            // timer
            &t.id,
            &t.due_at as &[Option<Time>]
        ),
        (false, true) => run!(
            "src/store/sql/changes.sql",
            // saga
            &c.id,
            &c.status as &[&str],
            &c.error as &[Option<String>],
            &c.finished_at as &[Option<Time>],
            // timer: set, set anew, deleted
            &t.id,
            &t.due_at as &[Option<Time>],
            &t.fired,
            &t.next_due as &[Option<Time>],
            &t.leased_until,
            &t.deleted
        ),
        (true, true) => run!(
            "src/store/sql/everything.sql",
            // saga and business_key
            &s.id,
            &s.definition,
            &s.version,
            &s.key as &[Option<String>],
            &s.trace as &[Option<String>],
            &s.input,
            &s.started_at,
            &s.status as &[&str],
            &s.error as &[Option<String>],
            &s.finished_at as &[Option<Time>],
            &s.parent as &[Option<Uuid>],
            &s.parent_step as &[Option<String>],
            &s.digest,
            // saga, changed
            &c.id,
            &c.status as &[&str],
            &c.error as &[Option<String>],
            &c.finished_at as &[Option<Time>],
            // timer: set, set anew, deleted
            &t.id,
            &t.due_at as &[Option<Time>],
            &t.fired,
            &t.next_due as &[Option<Time>],
            &t.leased_until,
            &t.deleted,
            // mailbox, and act_decision from it
            &a.id,
            &a.accepted,
            &a.answer as &[Option<String>],
            // mailbox
            &u.saga,
            &u.reason,
            // wait: added, deleted
            &w.saga,
            &w.step,
            &w.matcher,
            &w.key,
            &o.saga,
            &o.step,
            // lock
            &l.saga,
            &l.name,
            // start_request
            &r.saga,
            &r.accepted,
            &r.answer as &[Option<String>]
        ),
    }?;
    Ok(())
}
