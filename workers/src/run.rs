//! One attempt from the barrier to its reply: a transaction, repeated where the database asks.

use std::{error::Error, sync::Arc, time::Duration};

use amends::{
    AttemptId, Json,
    wire::{self, Reply},
};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use tracing::{Instrument as _, Span};

use crate::{
    Attempt, Halt, Hint,
    barrier::{self, Verdict},
    gate::Gate,
    handler::{Operation, Rejected, Work},
};

pub(crate) type Fault = Box<dyn Error + Send + Sync>;

/// How often a transaction that lost against others (deadlock, serialization) is repeated at once.
const CONFLICTS: u32 = 4;
/// How often an attempt waits for a database that does not answer; then its step is retried.
const OUTAGES: u32 = 4;

/// What a command asks for.
pub(crate) struct Task {
    pub(crate) service: String,
    pub(crate) id: AttemptId,
    pub(crate) deadline: Option<DateTime<Utc>>,
    pub(crate) body: bytes::Bytes,
    pub(crate) operation: Arc<dyn Operation>,
    pub(crate) hint: Hint,
    /// What is logged of it belongs to this.
    pub(crate) span: Span,
}

/// What to answer, and how it came about, in a word for metrics.
pub(crate) struct Answer {
    pub(crate) reply: Json,
    pub(crate) outcome: &'static str,
    /// For rejected and retry: why.
    pub(crate) why: String,
}

impl Answer {
    /// An answer that needs no reason.
    pub(crate) fn known(reply: Json, outcome: &'static str) -> Self {
        Self { reply, outcome, why: String::new() }
    }

    pub(crate) fn rejected(no: Rejected) -> Result<Self, Fault> {
        let Rejected { code, message } = no;
        let why = if message.is_empty() { code.clone() } else { format!("{code}: {message}") };
        let reply = Reply::Rejected { code, message }.to_json()?;
        Ok(Self { reply, outcome: "rejected", why })
    }

    /// The attempt broke.
    pub(crate) fn retry(message: String, after: Option<Duration>) -> Self {
        let reply = Reply::Retry { message: wire::cut(message.clone()), after };
        let bare = || Json::trusted(r#"{"outcome":"retry"}"#);
        Self { reply: reply.to_json().unwrap_or_else(|_| bare()), outcome: "retry", why: message }
    }
}

/// Runs an attempt to its end in a transaction of its own; `None` when the service stopped while the
/// database was away.
pub(crate) async fn alone(pool: PgPool, gate: Arc<Gate>, task: Arc<Task>) -> Option<Answer> {
    // A task of its own: its transaction is never cancelled, and a panic ends here.
    let span = task.span.clone();
    match tokio::spawn(repeated(pool, gate, task).instrument(span)).await {
        Ok(answer) => answer,
        Err(error) if error.is_panic() => {
            let message = format!("the handler panicked: {}", panicked(&*error.into_panic()));
            tracing::error!(why = message, "attempt broke");
            Some(Answer::retry(message, None))
        }
        Err(_) => None,
    }
}

async fn repeated(pool: PgPool, gate: Arc<Gate>, task: Arc<Task>) -> Option<Answer> {
    let (mut conflicts, mut outages) = (0, 0);
    loop {
        if !gate.pass().await {
            return None;
        }
        let fault = match once(&pool, &task).await {
            Ok(answer) => return Some(answer),
            Err(fault) => fault,
        };
        match trouble(fault.as_ref()) {
            Trouble::Conflict if conflicts < CONFLICTS => conflicts += 1,
            Trouble::Outage if outages < OUTAGES => {
                outages += 1;
                gate.shut(&task.service, &words(fault.as_ref()));
            }
            _ => return Some(Answer::retry(words(fault.as_ref()), None)),
        }
    }
}

async fn once(pool: &PgPool, task: &Task) -> Result<Answer, Fault> {
    let mut tx = barrier::begin(pool).await?;
    let known = match to_run(barrier::enter(&mut tx, &task.id).await?) {
        Ok(known) => known,
        Err(answer) => {
            tx.commit().await?;
            return Ok(answer);
        }
    };
    let done = match work(&mut tx, task, known).await {
        Ok(done) => done,
        Err(Halted::Rejected(no)) => {
            tx.rollback().await?;
            return remember(pool, task, no).await;
        }
        Err(Halted::Fault(fault)) => {
            tx.rollback().await.ok();
            return Err(fault);
        }
        Err(Halted::RetryAfter(delay, message)) => {
            tx.rollback().await.ok();
            return Ok(Answer::retry(message, Some(delay)));
        }
    };
    barrier::leave(&mut tx, &task.id, &done.answer.reply).await?;
    tx.commit().await?;
    if done.emitted {
        task.hint.give();
    }
    Ok(done.answer)
}

/// What a handler that is to run knows of a compensation's action; else the answer, without a call of
/// the handler.
pub(crate) fn to_run(verdict: Verdict) -> Result<Option<Json>, Answer> {
    match verdict {
        Verdict::Run(known) => Ok(known),
        Verdict::Replay(reply) => Err(Answer::known(reply, "replay")),
        Verdict::Void(reply) => Err(Answer::known(reply, "void")),
    }
}

/// What a handler did, to be remembered in the transaction that it ran in.
pub(crate) struct Done {
    pub(crate) answer: Answer,
    pub(crate) emitted: bool,
}

/// Why a handler has nothing to be committed.
pub(crate) enum Halted {
    Rejected(Rejected),
    Fault(Fault),
    RetryAfter(Duration, String),
}

/// Calls the handler. `known` is what the barrier knows of a compensation's action.
pub(crate) async fn work(
    tx: &mut PgConnection,
    task: &Task,
    known: Option<Json>,
) -> Result<Done, Halted> {
    let output = known.as_ref().and_then(output_of);
    let work = Work { op: task.id.op, body: &task.body, output: output.as_ref() };
    let mut cx = Attempt::new(tx, &task.id, task.deadline);
    let (reply, outcome) = match task.operation.run(&mut cx, work).await {
        Ok(output) => (Reply::Ok(output), "ok"),
        Err(Halt::Pending) => (Reply::Pending, "pending"),
        Err(Halt::Rejected(no)) => return Err(Halted::Rejected(no)),
        Err(Halt::Fault(fault)) => return Err(Halted::Fault(fault)),
        Err(Halt::RetryAfter(delay, message)) => {
            return Err(Halted::RetryAfter(delay, message));
        }
    };
    let emitted = cx.emitted;
    let reply = reply.to_json().map_err(|error| Halted::Fault(error.into()))?;
    Ok(Done { answer: Answer::known(reply, outcome), emitted })
}

/// Remembers a rejection, in a transaction of its own: all that the handler wrote is gone, and no
/// attempt pays for a savepoint that only rejections need. Another delivery may have come between;
/// then its answer counts.
async fn remember(pool: &PgPool, task: &Task, no: Rejected) -> Result<Answer, Fault> {
    let rejected = Answer::rejected(no)?;
    let mut tx = barrier::begin(pool).await?;
    let answer = match to_run(barrier::enter(&mut tx, &task.id).await?) {
        Ok(_) => {
            barrier::leave(&mut tx, &task.id, &rejected.reply).await?;
            rejected
        }
        Err(answer) => Answer { why: rejected.why, ..answer },
    };
    tx.commit().await?;
    Ok(answer)
}

/// The output that an action's remembered reply holds.
fn output_of(reply: &Json) -> Option<Json> {
    match Reply::parse(reply.as_str().as_bytes()) {
        Ok(Reply::Ok(output)) => Some(output),
        _ => None,
    }
}

enum Trouble {
    /// The transaction lost against another.
    Conflict,
    /// The database does not answer, or takes no writes.
    Outage,
    Other,
}

/// Looks for a database error in a fault and its sources.
fn trouble(fault: &(dyn Error + 'static)) -> Trouble {
    let mut next = Some(fault);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<sqlx::Error>() {
            return trouble_of(error);
        }
        next = error.source();
    }
    Trouble::Other
}

fn trouble_of(error: &sqlx::Error) -> Trouble {
    let sqlx::Error::Database(database) = error else {
        let away = matches!(
            error,
            sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
        );
        return if away { Trouble::Outage } else { Trouble::Other };
    };
    match database.code().as_deref() {
        Some("40001" | "40P01") => Trouble::Conflict,
        // Shutting down, starting up, no connection left, a standby, a lost connection.
        Some("57P01" | "57P02" | "57P03" | "53300" | "25006") => Trouble::Outage,
        Some(code) if code.starts_with("08") => Trouble::Outage,
        _ => Trouble::Other,
    }
}

/// An error with its sources, where these say more.
pub(crate) fn words(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(source) = next {
        if let Some(sqlx::Error::Database(database)) = source.downcast_ref() {
            // Its own words name a line in Postgres' source instead of the SQLSTATE.
            let code = database.code().unwrap_or_default();
            let text = if text.is_empty() { "the database says" } else { text.as_str() };
            return format!("{text}: {} ({code})", database.message());
        }
        let more = source.to_string();
        if text.is_empty() {
            text = more;
        } else if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = source.source();
    }
    text
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the lot could not be taken")]
    struct Wrapped(#[source] sqlx::Error);

    #[test]
    fn trouble_is_found_under_a_services_own_errors() {
        let reset = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert!(matches!(trouble(&reset()), Trouble::Outage));
        assert!(matches!(trouble(&Wrapped(reset())), Trouble::Outage));
        assert!(matches!(trouble(&Wrapped(sqlx::Error::RowNotFound)), Trouble::Other));
        assert!(matches!(trouble(&std::fmt::Error), Trouble::Other));
    }

    #[test]
    fn words_name_the_sources_once() {
        let io = std::io::Error::other("cable pulled");
        let text = words(&Wrapped(sqlx::Error::Io(io)));
        assert!(text.starts_with("the lot could not be taken: "), "{text}");
        assert_eq!(text.matches("cable pulled").count(), 1, "{text}");
    }

    #[test]
    fn only_an_ok_reply_has_an_output() {
        let output = |text: &str| output_of(&Json::trusted(text)).map(|o| o.to_string());
        assert_eq!(
            output(r#"{"outcome":"ok","output":{"n": 1.10}}"#).as_deref(),
            Some(r#"{"n": 1.10}"#)
        );
        assert_eq!(output(r#"{"outcome":"pending"}"#), None);
    }
}
