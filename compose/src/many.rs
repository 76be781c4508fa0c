//! Acts on all sagas that a query finds.

use std::{fmt::Write as _, time::Instant};

use amends::transcript::printable;
use serde::Serialize;
use sqlx::{PgPool, types::Uuid};

use crate::{
    During as _, Failed,
    acts::{LOOK, PATIENCE},
    cli::{Many, Settings},
    link, list,
    looks::{print, print_json},
};

/// Refusals that are printed; `amends.acts` has them all.
const REFUSALS_MAX: usize = 10;

/// What became of one of the acts.
#[derive(Debug, Serialize)]
struct Acted {
    saga: Uuid,
    act: i64,
    accepted: Option<bool>,
    answer: Option<String>,
}

/// `retry --all`, and the like for the other verbs.
pub(crate) async fn act(
    settings: &Settings,
    verb: &str,
    many: &Many,
    outcome: Option<&str>,
    reason: &str,
) -> Result<(), Failed> {
    if matches!(verb, "skip" | "resolve") && many.step.is_none() {
        return Err(Failed(format!("{verb} --all needs a step: --step STEP")));
    }
    let pool = link::pool(settings.database()?, 1, &[])?;
    if many.dry_run {
        return dry_run(&pool, verb, many).await;
    }
    let rows = sqlx::query_file!(
        "src/sql/act_all.sql",
        verb,
        many.definition,
        many.step,
        many.error,
        many.limit,
        reason,
        outcome
    )
    .fetch_all(&pool)
    .await
    .during(&format!("cannot {verb}"))?;
    let acts: Vec<_> = rows.into_iter().map(|row| row.act).collect();
    let acted = decided(&pool, &acts).await?;
    if many.json {
        print_json(&acted)?;
    } else {
        print(&told(verb, &acted))?;
    }
    let no = acted.iter().filter(|a| a.accepted == Some(false)).count();
    let open = acted.iter().filter(|a| a.accepted.is_none()).count();
    match (no, open) {
        (0, 0) => Ok(()),
        (no, 0) => Err(Failed(format!("{verb}: {no} of {} were refused", acted.len()))),
        (_, open) => Err(Failed(format!(
            "{verb}: {open} of {} are noted, but no orchestrator has decided them yet: is one running? (select * from amends.acts where accepted is null)",
            acted.len()
        ))),
    }
}

/// The sagas that the act would be for.
async fn dry_run(pool: &PgPool, verb: &str, many: &Many) -> Result<(), Failed> {
    let rows = list::candidates(pool, verb, many).await.during("sagas cannot be listed")?;
    if many.json {
        return print_json(&rows);
    }
    let more = usize::try_from(many.limit).is_ok_and(|limit| rows.len() >= limit);
    let most = if more { " (--limit: there may be more)" } else { "" };
    let table = if rows.is_empty() { String::new() } else { list::table(&rows) };
    print(&format!("{table}dry run: would {verb} {}{most}; nothing was done\n", sagas(rows.len())))
}

fn sagas(count: usize) -> String {
    if count == 1 { "1 saga".into() } else { format!("{count} sagas") }
}

/// Waits until all are decided, as long as some still are.
async fn decided(pool: &PgPool, acts: &[i64]) -> Result<Vec<Acted>, Failed> {
    let (mut began, mut open) = (Instant::now(), usize::MAX);
    loop {
        let rows = sqlx::query_file_as!(Acted, "src/sql/acted_all.sql", acts)
            .fetch_all(pool)
            .await
            .during("the answers cannot be read")?;
        let left = rows.iter().filter(|row| row.accepted.is_none()).count();
        if left < open {
            (began, open) = (Instant::now(), left);
        }
        if left == 0 || began.elapsed() > PATIENCE {
            return Ok(rows);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn told(verb: &str, acted: &[Acted]) -> String {
    let count = |accepted| acted.iter().filter(|a| a.accepted == accepted).count();
    if acted.is_empty() {
        return format!("{verb}: no saga is like that\n");
    }
    let mut text = format!("{verb}: accepted for {}\n", sagas(count(Some(true))));
    let refusals: Vec<_> = acted.iter().filter(|a| a.accepted == Some(false)).collect();
    for refused in refusals.iter().take(REFUSALS_MAX) {
        let why = printable(refused.answer.as_deref().unwrap_or_default());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  refused for {}: {why}", refused.saga);
    }
    if refusals.len() > REFUSALS_MAX {
        let more = refusals.len() - REFUSALS_MAX;
        let _ = writeln!(text, "  refused for {more} more: select * from amends.acts");
    }
    text
}
