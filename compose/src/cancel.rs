//! `cancel`: at once, or as it was seen: `--plan` shows what would be undone, and `--apply` does just
//! that or nothing.

use amends::{
    Json, SagaId,
    machine::State,
    preview::{self, CancelPlan},
    transcript::printable,
};
use serde::Serialize;
use sqlx::PgPool;

use crate::{
    During as _, Failed,
    acts::{self, Asked},
    cli::{CancelArgs, Settings, WholeArgs},
    link,
    looks::{self, Found, print, print_json},
};

/// `amends cancel`.
pub(crate) async fn run(settings: &Settings, args: CancelArgs) -> Result<(), Failed> {
    match (args.saga, args.apply) {
        (Some(saga), _) if args.plan => show(settings, &saga, args.many.json).await,
        (Some(saga), Some(hash)) => {
            let reason = args.reason.unwrap_or_default();
            apply(settings, &saga, &hash, &reason, args.many.json).await
        }
        (saga, _) => {
            let args = WholeArgs { saga, reason: args.reason, many: args.many };
            acts::whole(settings, "cancel", args).await
        }
    }
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    hash: String,
    definition: &'a str,
    version: i32,
    key: Option<&'a str>,
    status: &'a str,
    #[serde(flatten)]
    plan: &'a CancelPlan,
}

async fn show(settings: &Settings, saga: &str, json: bool) -> Result<(), Failed> {
    let pool = link::pool(settings.database()?, 1, &[])?;
    let found = looks::find(&pool, saga).await?;
    let plan = plan(&pool, &found).await?;
    let hash = plan.hash();
    if json {
        return print_json(&Shown {
            hash,
            definition: &found.definition,
            version: found.version,
            key: found.key.as_deref(),
            status: &found.status,
            plan: &plan,
        });
    }
    let key = found.key.as_deref().map(|key| format!("  key {}", printable(key)));
    let heading = format!(
        "saga {}  {}@{}{}  {}, {} facts",
        plan.saga,
        found.definition,
        found.version,
        key.unwrap_or_default(),
        found.status,
        plan.facts
    );
    let then = match &plan.refused {
        Some(_) => String::new(),
        None => format!("to do just that: amends cancel {saga} --apply {hash} --reason …\n"),
    };
    print(&format!("{heading}\n{plan}{then}"))
}

async fn apply(
    settings: &Settings,
    saga: &str,
    hash: &str,
    reason: &str,
    json: bool,
) -> Result<(), Failed> {
    let pool = link::pool(settings.database()?, 1, &[])?;
    let found = looks::find(&pool, saga).await?;
    let plan = plan(&pool, &found).await?;
    if plan.hash() != hash {
        return Err(Failed(format!(
            "the plan is another one now: look at it again with amends cancel {saga} --plan"
        )));
    }
    let seen = i32::try_from(plan.facts).unwrap_or(i32::MAX);
    let act = sqlx::query_file!("src/sql/cancel_seen.sql", found.id, reason, seen)
        .fetch_one(&pool)
        .await
        .during("cannot cancel")?
        .id;
    let asked = Asked { verb: "cancel", step: None, outcome: None, reason, json };
    acts::decided(&pool, act, found.id, &asked).await
}

/// The plan for a saga as it is now, folded from its facts.
async fn plan(pool: &PgPool, found: &Found) -> Result<CancelPlan, Failed> {
    let outline = looks::outline(pool, &found.definition, found.version).await?;
    let mut state = State::new(&outline, SagaId(found.id), Json::trusted(&found.input));
    for record in looks::records(pool, found.id).await? {
        let fact = record.into_fact(&outline, &state).during("the history cannot be read")?;
        state.apply(&outline, &fact);
    }
    Ok(preview::cancel(&outline, &state))
}
