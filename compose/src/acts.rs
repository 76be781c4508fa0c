//! What an operator may do to one saga: each verb calls one SQL function, and waits for what becomes
//! of it.

use std::time::{Duration, Instant};

use amends::{SagaId, wire::Reply};
use serde::Serialize;
use sqlx::{PgPool, types::Uuid};

use crate::{
    During as _, Failed,
    cli::{ReplyArgs, ResolveArgs, Settings, SkipArgs, WholeArgs},
    link, looks, many,
};

/// How long a command waits for an orchestrator's decision. The act stays noted after that.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Between two looks at what became of the act.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// An act as it is asked for.
pub(crate) struct Asked<'a> {
    pub(crate) verb: &'a str,
    pub(crate) step: Option<&'a str>,
    pub(crate) outcome: Option<&'a str>,
    pub(crate) reason: &'a str,
    pub(crate) json: bool,
}

/// `retry`, `pause`, `resume`.
pub(crate) async fn whole(settings: &Settings, verb: &str, args: WholeArgs) -> Result<(), Failed> {
    let reason = args.reason.as_deref().unwrap_or_default();
    let Some(saga) = args.saga else {
        return many::act(settings, verb, &args.many, None, reason).await;
    };
    let asked = Asked { verb, step: None, outcome: None, reason, json: args.many.json };
    act(settings, &saga, asked).await
}

/// `skip`.
pub(crate) async fn skip(settings: &Settings, args: SkipArgs) -> Result<(), Failed> {
    let reason = args.reason.as_deref().unwrap_or_default();
    let Some(saga) = args.saga else {
        return many::act(settings, "skip", &args.many, None, reason).await;
    };
    let step = args.step.as_deref();
    act(settings, &saga, Asked { verb: "skip", step, outcome: None, reason, json: args.many.json })
        .await
}

/// `resolve`.
pub(crate) async fn resolve(settings: &Settings, args: ResolveArgs) -> Result<(), Failed> {
    let reason = args.reason.as_deref().unwrap_or_default();
    let ending = args.ending;
    if args.many.dry_run {
        return many::act(settings, "resolve", &args.many, None, reason).await;
    }
    let outcome = outcome(ending.ok, ending.rejected, ending.message)?;
    let outcome = Some(outcome.as_str());
    let Some(saga) = args.saga else {
        return many::act(settings, "resolve", &args.many, outcome, reason).await;
    };
    let (step, json) = (args.step.as_deref(), args.many.json);
    act(settings, &saga, Asked { verb: "resolve", step, outcome, reason, json }).await
}

/// `reply`.
pub(crate) async fn reply(settings: &Settings, args: ReplyArgs) -> Result<(), Failed> {
    let outcome = outcome(args.ok, args.rejected, args.message)?;
    let (step, outcome) = (Some(args.step.as_str()), Some(outcome.as_str()));
    let asked = Asked { verb: "reply", step, outcome, reason: &args.reason, json: args.json };
    act(settings, &args.saga, asked).await
}

/// The body of a reply that says how a step ended.
fn outcome(
    ok: Option<String>,
    rejected: Option<String>,
    message: Option<String>,
) -> Result<amends::Json, Failed> {
    let reply = match (ok, rejected) {
        (Some(output), _) => {
            let output =
                amends::Json::parse(output.as_bytes()).during("--ok takes the step's output")?;
            Reply::Ok(output)
        }
        (None, Some(code)) => Reply::Rejected { code, message: message.unwrap_or_default() },
        (None, None) => {
            return Err(Failed("say how it ended: --ok OUTPUT or --rejected CODE".into()));
        }
    };
    reply.to_json().during("the outcome")
}

async fn act(settings: &Settings, saga: &str, asked: Asked<'_>) -> Result<(), Failed> {
    let pool = link::pool(settings.database()?, 1, &[])?;
    let id = looks::find(&pool, saga).await?.id;
    let Asked { verb, step, outcome, reason, .. } = asked;
    let act = sqlx::query_file!("src/sql/act.sql", id, verb, step, outcome, reason)
        .fetch_one(&pool)
        .await
        .during(&format!("cannot {verb}"))?
        .id;
    decided(&pool, act, id, &asked).await
}

/// What became of an act, for scripts.
#[derive(Debug, Serialize)]
struct Acted<'a> {
    act: i64,
    saga: Uuid,
    verb: &'a str,
    accepted: Option<bool>,
    answer: Option<String>,
    status: String,
}

/// Waits until an act is decided, and says what became of it.
pub(crate) async fn decided(
    pool: &PgPool,
    act: i64,
    id: Uuid,
    asked: &Asked<'_>,
) -> Result<(), Failed> {
    let (began, verb) = (Instant::now(), asked.verb);
    let now = loop {
        let now = sqlx::query_file!("src/sql/acted.sql", act)
            .fetch_one(pool)
            .await
            .during("the answer cannot be read")?;
        if now.accepted.is_some() || began.elapsed() > PATIENCE {
            break now;
        }
        tokio::time::sleep(LOOK).await;
    };
    let (accepted, answer, status) = (now.accepted, now.answer, now.status);
    if asked.json {
        let (answer, status) = (answer.clone(), status.clone());
        looks::print_json(&Acted { act, saga: id, verb, accepted, answer, status })?;
    }
    match accepted {
        Some(true) if asked.json => Ok(()),
        Some(true) => looks::print(&format!("{verb}: accepted; saga {} is {status}\n", SagaId(id))),
        Some(false) => Err(Failed(format!("{verb}: refused: {}", answer.unwrap_or_default()))),
        None => Err(Failed(format!(
            "{verb}: noted as act {act}, but no orchestrator has decided it yet: is one running? (select * from amends.acts where id = {act})"
        ))),
    }
}
