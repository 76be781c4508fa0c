//! `start`: a saga without a message, and waiting for its end.

use std::{
    io::Read as _,
    time::{Duration, Instant},
};

use amends::{
    Json, SagaId,
    machine::{Failure, Time},
    transcript::printable,
};
use serde::Serialize;
use sqlx::{PgPool, types::Uuid};

use crate::{
    During as _, Failed,
    acts::{LOOK, PATIENCE},
    cli::{Settings, StartArgs},
    link,
    looks::{print, print_json},
};

/// What became of the saga, for scripts.
#[derive(Debug, Serialize)]
struct Started {
    id: Uuid,
    definition: String,
    version: i32,
    key: Option<String>,
    status: String,
    output: Option<Json>,
    error: Option<Json>,
    started_at: Time,
    finished_at: Option<Time>,
}

/// `amends start`.
pub(crate) async fn run(settings: &Settings, args: StartArgs) -> Result<(), Failed> {
    let input = input(&args.input)?;
    let pool = link::pool(settings.database()?, 1, &[])?;
    let asked = sqlx::query_file!("src/sql/start.sql", args.definition, input.as_str(), args.key)
        .fetch_one(&pool)
        .await
        .during("cannot start")?
        .id;
    let id = accepted(&pool, asked, &args).await?;
    let mut saga = read(&pool, id).await?;
    if let Some(limit) = args.wait {
        let limit = limit.map(|seconds| Duration::from_secs(seconds.into()));
        let began = Instant::now();
        while !settled(&saga.status) && limit.is_none_or(|limit| began.elapsed() < limit) {
            tokio::time::sleep(LOOK).await;
            saga = read(&pool, id).await?;
        }
    }
    if args.json {
        print_json(&saga)?;
    } else {
        print(&told(&saga))?;
    }
    if args.wait.is_none() || saga.status == "completed" {
        return Ok(());
    }
    let why = saga.error.as_ref().and_then(|error| error.read::<Failure>().ok());
    let why = why.map(|f| format!(": {}: {}: {}", f.step, f.code, f.message)).unwrap_or_default();
    Err(Failed(format!("the saga is {}{}", saga.status, printable(&why))))
}

/// The text itself, or what is in the file behind `@`; `@-` is standard input.
fn input(text: &str) -> Result<Json, Failed> {
    const WHAT: &str = "--input takes JSON, or @FILE with JSON in it";
    let bytes = match text.strip_prefix('@') {
        None => text.as_bytes().to_vec(),
        Some("-") => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).during("standard input")?;
            bytes
        }
        Some(file) => std::fs::read(file).during(file)?,
    };
    Json::parse(&bytes).during(WHAT)
}

/// Waits until an orchestrator has taken the start; the saga's id.
async fn accepted(pool: &PgPool, asked: Uuid, args: &StartArgs) -> Result<Uuid, Failed> {
    let began = Instant::now();
    let (accepted, answer) = loop {
        let now = sqlx::query_file!("src/sql/started.sql", asked)
            .fetch_one(pool)
            .await
            .during("the answer cannot be read")?;
        if let Some(accepted) = now.accepted {
            break (accepted, now.answer);
        }
        if began.elapsed() > PATIENCE {
            return Err(Failed(format!(
                "noted, but no orchestrator has started it yet: is one running that knows `{}`? (select * from amends.starts where saga_id = '{asked}')",
                args.definition
            )));
        }
        tokio::time::sleep(LOOK).await;
    };
    match (accepted, answer) {
        (true, None) => Ok(asked),
        // Accepted with an answer: the same start was made before, and is not made again.
        (true, Some(answer)) => {
            let row = sqlx::query_file!("src/sql/start_twin.sql", args.definition, args.key)
                .fetch_optional(pool)
                .await
                .during("the saga cannot be read")?;
            row.map(|row| row.id).ok_or_else(|| Failed(format!("{answer}: name it with --key")))
        }
        (false, answer) => Err(Failed(format!("refused: {}", answer.unwrap_or_default()))),
    }
}

async fn read(pool: &PgPool, id: Uuid) -> Result<Started, Failed> {
    let row = sqlx::query_file!("src/sql/outcome.sql", id)
        .fetch_one(pool)
        .await
        .during("the saga cannot be read")?;
    let json = |text: String| Json::trusted(&text);
    Ok(Started {
        id,
        definition: row.definition,
        version: row.version,
        key: row.key,
        status: row.status,
        output: row.output.map(json),
        error: row.error.map(json),
        started_at: row.started_at,
        finished_at: row.finished_at,
    })
}

/// Whether waiting any longer is in vain.
fn settled(status: &str) -> bool {
    matches!(status, "completed" | "compensated" | "stuck")
}

fn told(saga: &Started) -> String {
    let output = saga.output.as_ref().map(|output| format!(": {}", output.as_str()));
    let line = format!("saga {} is {}{}", SagaId(saga.id), saga.status, output.unwrap_or_default());
    printable(&line) + "\n"
}
