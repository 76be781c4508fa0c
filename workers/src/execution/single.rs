//! One command in a transaction of its own, repeated where the database asks.

use std::sync::Arc;

use sqlx::PgPool;
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
/// How often an attempt waits for a database that does not answer; then its step is retried.
const OUTAGES_MAX: u32 = 4;

/// Executes a command in a transaction of its own; `None` when the service stopped while the database
/// was away.
pub(crate) async fn execute(
    pool: PgPool,
    gate: Arc<DatabaseGate>,
    task: Arc<Task>,
) -> Option<Answer> {
    // A task of its own: its transaction is never cancelled, and a panic ends here.
    let span = task.span.clone();
    match tokio::spawn(until_answered(pool, gate, task).instrument(span)).await {
        Ok(answer) => answer,
        Err(error) if error.is_panic() => {
            let message = format!("the handler panicked: {}", panic_text(&*error.into_panic()));
            tracing::error!(why = message, "attempt broke");
            Some(Answer::retry(message, None))
        }
        Err(_) => None,
    }
}

async fn until_answered(pool: PgPool, gate: Arc<DatabaseGate>, task: Arc<Task>) -> Option<Answer> {
    let (mut conflicts, mut outages) = (0, 0);
    loop {
        if !gate.pass().await {
            return None;
        }
        let fault = match in_transaction(&pool, &task).await {
            Ok(answer) => return Some(answer),
            Err(fault) => fault,
        };
        match FaultKind::of(fault.as_ref()) {
            FaultKind::Conflict if conflicts < CONFLICTS_MAX => conflicts += 1,
            FaultKind::Outage if outages < OUTAGES_MAX => {
                outages += 1;
                gate.close(&task.service, &describe(fault.as_ref()));
            }
            _ => return Some(Answer::retry(describe(fault.as_ref()), None)),
        }
    }
}

async fn in_transaction(pool: &PgPool, task: &Task) -> Result<Answer, Fault> {
    let mut tx = barrier::begin(pool).await?;
    let admission = match admit(barrier::enter(&mut tx, &task.id).await?) {
        Ok(admission) => admission,
        Err(answer) => {
            tx.commit().await?;
            return Ok(answer);
        }
    };
    let handled = match handle(&mut tx, task, admission).await {
        Ok(handled) => handled,
        Err(Aborted::Rejected(rejection)) => {
            tx.rollback().await?;
            return remember_rejection(pool, task, rejection).await;
        }
        Err(Aborted::Fault(fault)) => {
            tx.rollback().await.ok();
            return Err(fault);
        }
        Err(Aborted::RetryAfter(delay, message)) => {
            tx.rollback().await.ok();
            return Ok(Answer::retry(message, Some(delay)));
        }
    };
    barrier::leave(&mut tx, &task.id, &handled.answer.reply).await?;
    tx.commit().await?;
    if handled.emitted {
        task.hint.give();
    }
    Ok(handled.answer)
}

/// Remembers a rejection, in a transaction of its own: all that the handler wrote is gone, and no
/// attempt pays for a savepoint that only rejections need. Another delivery may have come between;
/// then its answer counts.
async fn remember_rejection(
    pool: &PgPool,
    task: &Task,
    rejection: UntypedRejection,
) -> Result<Answer, Fault> {
    let rejected = Answer::rejected(rejection)?;
    let mut tx = barrier::begin(pool).await?;
    let answer = match admit(barrier::enter(&mut tx, &task.id).await?) {
        Ok(_) => {
            barrier::leave(&mut tx, &task.id, &rejected.reply).await?;
            rejected
        }
        Err(answer) => Answer { reason: rejected.reason, ..answer },
    };
    tx.commit().await?;
    Ok(answer)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
