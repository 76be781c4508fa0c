//! A batch of turns as one statement over arrays.

use amends::{
    Json, Record, SagaId,
    machine::{Failure, Status, Time},
};
use sqlx::{PgConnection, types::Uuid};

use super::{CommitError, DecidedAct, Due, Held, Links};

/// What changes for one saga in a batch.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Its row, when the batch starts it.
    pub(crate) start: Option<NewSaga>,
    /// Its new status.
    pub(crate) status: Option<(Status, Option<Failure>)>,
    /// New facts.
    pub(crate) facts: Vec<Record>,
    /// Its timer.
    pub(crate) timer: Timer,
}

/// What becomes of a saga's timer.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Stays: it is early enough.
    #[default]
    Keep,
    /// Set, unless it stands earlier; `None` is infinity.
    Set(Option<Time>),
    /// It fired, and is set anew; unless somebody moved it since then, and set it earlier.
    Rearm(Option<Time>, Due),
    /// Deleted.
    Delete,
}

/// The row of a saga that starts.
#[derive(Debug)]
pub(crate) struct NewSaga {
    pub(crate) definition: String,
    pub(crate) version: u32,
    pub(crate) key: Option<String>,
    pub(crate) trace: Option<String>,
    pub(crate) input: Json,
    /// The saga that it is a step of, and which.
    pub(crate) parent: Option<(SagaId, String)>,
}

/// Columns of the rows to write.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    facts: Facts,
    starts: Starts,
    changes: Changes,
    timers: Timers,
    acts: Acts,
    links: Links,
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

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.facts.saga.is_empty() && self.acts.id.is_empty() && self.links.is_empty()
    }

    /// Sagas are bound to more than services here.
    pub(crate) const fn links(&mut self) -> &mut Links {
        &mut self.links
    }

    /// Has a saga looked at that is not changed by this batch.
    pub(crate) fn wake(&mut self, id: SagaId, now: Time) {
        self.timers.id.push(id.0);
        self.timers.due_at.push(Some(now));
    }

    /// Adds what became of an operator's act.
    pub(crate) fn decide(&mut self, act: DecidedAct) {
        self.acts.id.push(act.id);
        self.acts.accepted.push(act.accepted);
        self.acts.answer.push(act.answer);
    }

    pub(crate) fn facts(&self) -> usize {
        self.facts.saga.len()
    }

    /// Adds what changes for one saga.
    pub(crate) fn add(&mut self, id: SagaId, change: Change) {
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
    pub(crate) async fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let done = write(self.get().await?, batch).await.map_err(CommitError::from);
        if let Err(CommitError::Unavailable(_)) = &done {
            self.end();
        }
        done
    }
}

async fn write(connection: &mut PgConnection, batch: &Batch) -> sqlx::Result<()> {
    let Batch { facts: f, starts: s, changes: c, timers: t, acts: a, links: l } = batch;
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
    let rare = !a.id.is_empty() || !l.is_empty();
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
            &l.undone.saga,
            &l.undone.reason,
            // wait: added, deleted
            &l.waits.saga,
            &l.waits.step,
            &l.waits.matcher,
            &l.waits.key,
            &l.found.saga,
            &l.found.step,
            // lock
            &l.locks.saga,
            &l.locks.name,
            // start_request
            &l.requests.saga,
            &l.requests.accepted,
            &l.requests.answer as &[Option<String>]
        ),
    }?;
    Ok(())
}
