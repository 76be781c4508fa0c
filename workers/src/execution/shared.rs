//! Commands that wait at the same time share a transaction.
//!
//! While one transaction runs, commands queue; the next takes what has queued. So a command that
//! comes alone runs alone, and transactions grow with the load.

use std::{collections::HashSet, sync::Arc};

use amends_postgres::{Database, Session, Watch};
use sqlx::{Executor as _, PgConnection};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::timeout,
};
use tracing::Instrument as _;

use super::{
    answer::Answer,
    handling::{Aborted, Handled, Task, admit, handle},
    single,
};
use crate::{
    barrier,
    database_gate::DatabaseGate,
    fault::{Fault, describe},
};

/// How many subtransactions a Postgres session shows to the others without going to disk
/// (`PGPROC_MAX_CACHED_SUBXIDS`).
const COMMANDS_MAX: usize = 64;

/// Commands that may break a batch one after the other before the rest runs apart.
const CULPRITS_MAX: usize = 2;

/// Before the first handler that may be rejected.
const SAVEPOINT: &str = "savepoint amends_attempt";
/// Before each further one: the writes of the one before it stay.
const NEXT_SAVEPOINT: &str = "release savepoint amends_attempt; savepoint amends_attempt";
/// Rolls back what one handler wrote.
const ROLL_BACK: &str = "rollback to savepoint amends_attempt";

/// How transactions are shared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sharing {
    pub(crate) transactions: usize,
    pub(crate) commands: usize,
}

impl Sharing {
    pub(crate) fn within(self, connections: usize) -> Self {
        Self {
            transactions: self.transactions.clamp(1, connections),
            commands: self.commands.clamp(1, COMMANDS_MAX),
        }
    }

    /// How many commands are held: those that run, and as many that wait for the next transactions.
    pub(crate) fn at_once(self) -> usize {
        2 * self.transactions * self.commands
    }
}

/// A command that waits for its transaction.
struct QueuedCommand {
    task: Arc<Task>,
    /// Dropped without an answer, the command runs alone.
    answer: oneshot::Sender<Answer>,
}

/// The way into shared transactions.
pub(crate) struct SharedTransactions {
    queue: mpsc::Sender<QueuedCommand>,
}

impl SharedTransactions {
    /// Starts the transactions' tasks; they end when this is dropped.
    pub(crate) fn start(database: &Database, gate: &Arc<DatabaseGate>, sharing: Sharing) -> Self {
        let (queue, waiting) = mpsc::channel(sharing.at_once());
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..sharing.transactions {
            let runner = Runner {
                database: database.clone(),
                gate: Arc::clone(gate),
                commands: sharing.commands,
                waiting: Arc::clone(&waiting),
            };
            tokio::spawn(runner.run());
        }
        Self { queue }
    }

    /// Carries out a command together with others; `None` when it has to run alone.
    pub(crate) async fn execute(&self, task: Arc<Task>) -> Option<Answer> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(QueuedCommand { task, answer }).await.ok()?;
        answered.await.ok()
    }
}

/// One transaction at a time.
struct Runner {
    database: Database,
    gate: Arc<DatabaseGate>,
    commands: usize,
    waiting: Arc<Mutex<mpsc::Receiver<QueuedCommand>>>,
}

impl Runner {
    async fn run(self) {
        while let Some(batch) = self.next().await {
            self.execute(batch).await;
        }
    }

    /// Waits for a command, and takes what waits beside it.
    async fn next(&self) -> Option<Vec<QueuedCommand>> {
        let mut waiting = self.waiting.lock().await;
        let mut batch = vec![waiting.recv().await?];
        while batch.len() < self.commands
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        Some(batch)
    }

    async fn execute(&self, mut batch: Vec<QueuedCommand>) {
        retain_one_of_each_step(&mut batch);
        if batch.len() == 1
            && let Some(QueuedCommand { task, answer }) = batch.pop()
        {
            // Here, so that meanwhile others queue.
            let alone = single::execute(self.database.clone(), Arc::clone(&self.gate), task);
            if let Some(done) = alone.await {
                answer.send(done).ok();
            }
            return;
        }
        for _ in 0..=CULPRITS_MAX {
            if batch.is_empty() {
                return;
            }
            match self.try_together(batch).await {
                Ok(()) => return,
                Err(rest) => batch = rest,
            }
        }
    }

    /// Carries out all in one transaction; else gives back those that may be tried again without the
    /// one that broke.
    async fn try_together(&self, mut batch: Vec<QueuedCommand>) -> Result<(), Vec<QueuedCommand>> {
        // In one order everywhere, so that redelivered copies in two transactions wait for each
        // other, and do not deadlock.
        batch.sort_by_cached_key(|waiting| waiting.task.id.to_string());
        let tasks: Vec<_> = batch.iter().map(|waiting| Arc::clone(&waiting.task)).collect();
        // A task of its own: a panic of a handler ends there.
        match tokio::spawn(together(self.database.clone(), tasks)).await {
            Ok(Ok(answers)) => {
                self.gate.succeeded();
                for (waiting, answer) in batch.into_iter().zip(answers) {
                    // Its delivery was given up; then it is delivered again, and replayed.
                    waiting.answer.send(answer).ok();
                }
            }
            Ok(Err(BatchFault { fault, culprit })) => {
                log_lost(&batch, &describe(fault.as_ref()));
                if let Some(culprit) = culprit {
                    batch.remove(culprit);
                    return Err(batch);
                }
            }
            Err(_) => log_lost(&batch, "a handler panicked"),
        }
        Ok(())
    }
}

/// The two halves of a step wait for each other, and so do two copies of one: they cannot stand in
/// one transaction. What is dropped here runs alone.
fn retain_one_of_each_step(batch: &mut Vec<QueuedCommand>) {
    let mut seen = HashSet::new();
    batch.retain(|waiting| seen.insert((waiting.task.id.saga, waiting.task.id.step.clone())));
}

fn log_lost(batch: &[QueuedCommand], reason: &str) {
    let service = batch.first().map_or("", |waiting| &waiting.task.service);
    tracing::debug!(
        service,
        commands = batch.len(),
        why = reason,
        "a shared transaction is lost; its commands are repeated"
    );
}

/// Why a shared transaction was rolled back, and the command whose handler said so.
struct BatchFault {
    fault: Fault,
    culprit: Option<usize>,
}

impl<E: Into<Fault>> From<E> for BatchFault {
    fn from(fault: E) -> Self {
        Self { fault: fault.into(), culprit: None }
    }
}

/// Carries out all in one transaction; the answers are in the order of the tasks.
async fn together(database: Database, tasks: Vec<Arc<Task>>) -> Result<Vec<Answer>, BatchFault> {
    let mut session = database.session().await?;
    let done = in_one_transaction(&mut session, &tasks).await?;
    session.give_back();
    Ok(done)
}

/// After an error the session is of no use: there is one for each batch that broke.
async fn in_one_transaction(
    session: &mut Session,
    tasks: &[Arc<Task>],
) -> Result<Vec<Answer>, BatchFault> {
    let watch = session.watch();
    let mut tx = watch.within(barrier::begin(session)).await?;
    match enter_work_leave(&mut tx, &watch, tasks).await {
        Ok(done) => {
            watch.within(tx.commit()).await?;
            if let (Some(task), true) = (tasks.first(), done.iter().any(|done| done.emitted)) {
                task.hint.give();
            }
            Ok(done.into_iter().map(|done| done.answer).collect())
        }
        Err(broken) => {
            // Dropped with its session, the transaction is rolled back.
            Err(broken)
        }
    }
}

async fn enter_work_leave(
    tx: &mut PgConnection,
    watch: &Watch,
    tasks: &[Arc<Task>],
) -> Result<Vec<Handled>, BatchFault> {
    let entered = barrier::enter_all(tx, tasks.iter().map(|task| &task.id));
    let verdicts = watch.within(entered).await?;
    let mut all = Vec::with_capacity(tasks.len());
    let (mut left, mut savepoint) = (Vec::new(), SAVEPOINT);
    for (at, (task, verdict)) in tasks.iter().zip(verdicts).enumerate() {
        let admission = match admit(verdict) {
            Ok(admission) => admission,
            Err(answer) => {
                all.push(Handled { answer, emitted: false });
                continue;
            }
        };
        watch.within(tx.execute(savepoint)).await?;
        savepoint = NEXT_SAVEPOINT;
        let handling = handle(tx, task, admission).instrument(task.span.clone());
        let handled = match watch.unless_lost(timeout(single::HANGING, handling)).await?? {
            Ok(handled) => handled,
            Err(Aborted::Rejected(rejection)) => {
                watch.within(tx.execute(ROLL_BACK)).await?;
                Handled { answer: Answer::rejected(rejection)?, emitted: false }
            }
            Err(Aborted::Fault(fault)) => return Err(BatchFault { fault, culprit: Some(at) }),
            Err(Aborted::RetryAfter(_, message)) => {
                return Err(BatchFault { fault: message.into(), culprit: Some(at) });
            }
        };
        left.push((&task.id, handled.answer.reply.clone()));
        all.push(handled);
    }
    watch.within(barrier::leave_all(tx, &left)).await?;
    Ok(all)
}
