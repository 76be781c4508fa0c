//! One command in a transaction of its own, repeated where the database asks.

use std::{sync::Arc, time::Duration};

use amends_postgres::{Database, Session, Watch};
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use super::{
    answer::Answer,
    handling::{Aborted, Task, admit, handle},
};
use crate::{
    barrier,
    database_gate::DatabaseGate,
    fault::{Fault, FaultKind, describe},
    handler::UntypedRejection,
};

/// How often a transaction that lost against others (deadlock, serialization) is repeated at once.
const CONFLICTS_MAX: u32 = 4;

/// How often an attempt meets what looks like an outage while others get through; then its step is retried.
const TROUBLES_MAX: u32 = 4;

/// A handler that takes longer hangs: its slot and its session are needed by others.
pub(super) const HANGING: Duration = Duration::from_secs(300);

/// Executes a command in a transaction of its own. While the database is away it waits; `None` when the
/// service stops before.
pub(crate) async fn execute(
    database: Database,
    gate: Arc<DatabaseGate>,
    task: Arc<Task>,
) -> Option<Answer> {
    // A task of its own: a panic ends here.
    let span = task.span.clone();
    match tokio::spawn(until_answered(database, gate, task).instrument(span)).await {
        Ok(answer) => answer,
        Err(error) if error.is_panic() => {
            let message = format!("the handler panicked: {}", panic_text(&*error.into_panic()));
            tracing::error!(why = message, "attempt broke");
            Some(Answer::retry(message, None))
        }
        Err(_) => None,
    }
}

async fn until_answered(
    database: Database,
    gate: Arc<DatabaseGate>,
    task: Arc<Task>,
) -> Option<Answer> {
    let (mut conflicts, mut troubles) = (0, 0);
    loop {
        if !gate.admit().await {
            return None;
        }
        let began = Instant::now();
        let fault = match on_a_session(&database, &task).await {
            Ok(answer) => {
                gate.succeeded();
                return Some(answer);
            }
            Err(fault) => fault,
        };
        let why = describe(fault.as_ref());
        match FaultKind::of(fault.as_ref()) {
            FaultKind::Outage if gate.close(began, &why) => {}
            FaultKind::Outage if troubles < TROUBLES_MAX => troubles += 1,
            FaultKind::Conflict if conflicts < CONFLICTS_MAX => conflicts += 1,
            kind => {
                if kind != FaultKind::Outage {
                    gate.succeeded();
                }
                return Some(Answer::retry(why, None));
            }
        }
    }
}

/// A transaction that was rolled back because of this.
struct RolledBack(Fault);

/// A session. While others are at work on all of them it is waited for: that is no outage, and each is at
/// work for no longer than a handler may be.
async fn session(database: &Database) -> sqlx::Result<Session> {
    loop {
        match database.session().await {
            Err(sqlx::Error::PoolTimedOut) => {}
            lent => return lent,
        }
    }
}

async fn on_a_session(database: &Database, task: &Task) -> Result<Answer, Fault> {
    let mut session = session(database).await?;
    let watch = session.watch();
    let done = in_transaction(&mut session, &watch, task).await?;
    session.give_back();
    done.map_err(|RolledBack(fault)| fault)
}

/// An error beside a rollback leaves a session of no use.
async fn in_transaction(
    session: &mut Session,
    watch: &Watch,
    task: &Task,
) -> Result<Result<Answer, RolledBack>, Fault> {
    let mut tx = watch.within(barrier::begin(session)).await?;
    let admission = match admit(watch.within(barrier::enter(&mut tx, &task.id)).await?) {
        Ok(admission) => admission,
        Err(answer) => {
            watch.within(tx.commit()).await?;
            return Ok(Ok(answer));
        }
    };
    let handling = timeout(HANGING, handle(&mut tx, task, admission));
    let aborted = match watch.unless_lost(handling).await?? {
        Ok(handled) => {
            watch.within(barrier::leave(&mut tx, &task.id, &handled.answer.reply)).await?;
            watch.within(tx.commit()).await?;
            if handled.emitted {
                task.hint.give();
            }
            return Ok(Ok(handled.answer));
        }
        Err(aborted) => aborted,
    };
    // What the handler met counts, also where nothing more can be said to the server.
    let rolled_back = watch.within(tx.rollback()).await;
    match aborted {
        Aborted::Rejected(rejection) => {
            rolled_back?;
            remember_rejection(session, watch, task, rejection).await
        }
        Aborted::RetryAfter(delay, message) => {
            rolled_back?;
            Ok(Ok(Answer::retry(message, Some(delay))))
        }
        Aborted::Fault(fault) if rolled_back.is_err() => Err(fault),
        Aborted::Fault(fault) if FaultKind::of(fault.as_ref()) == FaultKind::Outage => Err(fault),
        Aborted::Fault(fault) => Ok(Err(RolledBack(fault))),
    }
}

/// Remembers a rejection, in a transaction of its own: all that the handler wrote is gone, and no
/// attempt pays for a savepoint that only rejections need. Another delivery may have come between;
/// then its answer counts.
async fn remember_rejection(
    session: &mut Session,
    watch: &Watch,
    task: &Task,
    rejection: UntypedRejection,
) -> Result<Result<Answer, RolledBack>, Fault> {
    let rejected = Answer::rejected(rejection)?;
    let mut tx = watch.within(barrier::begin(session)).await?;
    let answer = match admit(watch.within(barrier::enter(&mut tx, &task.id)).await?) {
        Ok(_) => {
            watch.within(barrier::leave(&mut tx, &task.id, &rejected.reply)).await?;
            rejected
        }
        Err(answer) => Answer { reason: rejected.reason, ..answer },
    };
    watch.within(tx.commit()).await?;
    Ok(Ok(answer))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
