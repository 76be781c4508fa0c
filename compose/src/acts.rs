//! What an operator may do: each verb calls one SQL function, and waits for what becomes of it.

use std::time::Duration;

use amends::{SagaId, wire::Reply};
use sqlx::{PgPool, types::Uuid};

use crate::{
    During as _, Failed,
    cli::{ActArgs, ResolveArgs, Settings, StepActArgs},
    link, looks,
};

/// How long the command waits for an orchestrator's decision. The act stays noted after that.
const PATIENCE: Duration = Duration::from_secs(15);

/// Between two looks at what became of the act.
const LOOK: Duration = Duration::from_millis(100);

/// `retry`, `cancel`, `pause`, `resume`.
pub(crate) async fn whole(settings: &Settings, verb: &str, args: ActArgs) -> Result<(), Failed> {
    act(settings, verb, &args.saga, None, None, &args.reason).await
}

/// `skip`.
pub(crate) async fn skip(settings: &Settings, args: StepActArgs) -> Result<(), Failed> {
    act(settings, "skip", &args.saga, Some(&args.step), None, &args.reason).await
}

/// `resolve`.
pub(crate) async fn resolve(settings: &Settings, args: ResolveArgs) -> Result<(), Failed> {
    let reply = match (&args.ok, &args.rejected) {
        (Some(output), _) => {
            let output =
                amends::Json::parse(output.as_bytes()).during("--ok takes the step's output")?;
            Reply::Ok(output)
        }
        (None, Some(code)) => Reply::Rejected {
            code: code.clone(),
            message: args.message.clone().unwrap_or_default(),
        },
        (None, None) => {
            return Err(Failed("say how it ended: --ok OUTPUT or --rejected CODE".into()));
        }
    };
    let outcome = reply.to_json().during("the outcome")?;
    let outcome = Some(outcome.as_str());
    act(settings, "resolve", &args.saga, Some(&args.step), outcome, &args.reason).await
}

async fn act(
    settings: &Settings,
    verb: &str,
    saga: &str,
    step: Option<&str>,
    outcome: Option<&str>,
    reason: &str,
) -> Result<(), Failed> {
    let pool = link::pool(settings.database()?, 1, &[])?;
    let id = find(&pool, saga).await?;
    let act = sqlx::query_file!("src/sql/act.sql", id, verb, step, outcome, reason)
        .fetch_one(&pool)
        .await
        .during(&format!("cannot {verb}"))?
        .id;
    let began = std::time::Instant::now();
    loop {
        let now = sqlx::query_file!("src/sql/acted.sql", act)
            .fetch_one(&pool)
            .await
            .during("the answer cannot be read")?;
        match now.accepted {
            Some(true) => {
                return looks::print(&format!(
                    "{verb}: accepted; saga {} is {}\n",
                    SagaId(id),
                    now.status
                ));
            }
            Some(false) => {
                return Err(Failed(format!("{verb}: refused: {}", now.answer.unwrap_or_default())));
            }
            None if began.elapsed() > PATIENCE => {
                return Err(Failed(format!(
                    "{verb}: noted as act {act}, but no orchestrator has decided it yet: is one running? (select * from amends.acts where id = {act})"
                )));
            }
            None => tokio::time::sleep(LOOK).await,
        }
    }
}

async fn find(pool: &PgPool, saga: &str) -> Result<Uuid, Failed> {
    looks::find(pool, saga).await.map(|row| row.id)
}
