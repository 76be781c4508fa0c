//! Acts on all sagas that a query finds.

use std::{fmt::Write as _, time::Instant};

use amends::{Json, transcript::printable};
use amends_postgres::Database;
use serde::Serialize;
use sqlx::types::Uuid;

use super::{
    act::Act,
    known::{self, Names},
    list::{self, Selection},
    patience::{INTERVAL, PATIENCE},
    verb::Verb,
};
use crate::{
    failed::{During as _, Failed},
    print::{print, print_json},
    run::connect,
    settings::Settings,
};

/// Refusals that are printed; `amends.acts` has them all.
const REFUSALS_MAX: usize = 10;

/// What became of one of the acts.
#[derive(Debug, Serialize)]
struct Decision {
    saga: Uuid,
    act: i64,
    accepted: Option<bool>,
    answer: Option<String>,
}

/// `retry --all`, and the like for the other verbs.
pub(crate) async fn run(
    settings: &Settings,
    asked: &Act,
    selection: &Selection,
    json: bool,
) -> Result<(), Failed> {
    let verb = asked.verb;
    check_step(asked)?;
    let database = connect::database(settings.database()?, 1, &[])?;
    let acts = note(&database, asked, selection).await?;
    if acts.is_empty() {
        check_names(&database, asked, selection).await?;
    }
    let decisions = wait(&database, &acts).await?;
    if json {
        print_json(&decisions)?;
    } else {
        print(&render(verb, &decisions))?;
    }
    let refused = decisions.iter().filter(|d| d.accepted == Some(false)).count();
    let open = decisions.iter().filter(|d| d.accepted.is_none()).count();
    match (refused, open) {
        (0, 0) => Ok(()),
        (refused, 0) => {
            let all = decisions.len();
            Err(Failed::new(format!("{verb}: {refused} of {all} were refused")))
        }
        (_, open) => Err(Failed::new(format!(
            "{verb}: {open} of {} are noted, but no orchestrator has decided them yet: is one running? (select * from amends.acts where accepted is null)",
            decisions.len()
        ))),
    }
}

/// Lists the sagas that the act would be for, and does nothing.
pub(crate) async fn dry_run(
    settings: &Settings,
    asked: &Act,
    selection: &Selection,
    json: bool,
) -> Result<(), Failed> {
    check_step(asked)?;
    let database = connect::database(settings.database()?, 1, &[])?;
    let rows = list::candidates(&database, asked, selection).await?;
    if rows.is_empty() {
        check_names(&database, asked, selection).await?;
    }
    if json {
        return print_json(&rows);
    }
    let more = usize::try_from(selection.limit).is_ok_and(|limit| rows.len() >= limit);
    let most = if more { " (--limit: there may be more)" } else { "" };
    let (verb, sagas) = (asked.verb, sagas(rows.len()));
    let below = format!("dry run: would {verb} {sagas}{most}; nothing was done\n");
    list::print_sagas(&rows, &below)
}

fn check_step(asked: &Act) -> Result<(), Failed> {
    if asked.verb.needs_step() && asked.step.is_none() {
        return Err(Failed::misused(format!("{} --all needs a step: --step STEP", asked.verb)));
    }
    Ok(())
}

async fn check_names(
    database: &Database,
    asked: &Act,
    selection: &Selection,
) -> Result<(), Failed> {
    let (definition, step) = (selection.definition.as_deref(), asked.step.as_deref());
    known::check(database, Names { definition, step, ..Names::default() }).await
}

/// Notes an act for each saga; their numbers.
async fn note(database: &Database, asked: &Act, selection: &Selection) -> Result<Vec<i64>, Failed> {
    let rows = sqlx::query_file!(
        "src/sql/act_all.sql",
        asked.verb.as_str(),
        selection.definition,
        asked.step,
        selection.error,
        selection.limit,
        asked.reason,
        asked.outcome.as_ref().map(Json::as_str)
    )
    .fetch_all(database)
    .await
    .during(&format!("cannot {}", asked.verb))?;
    Ok(rows.into_iter().map(|row| row.act).collect())
}

fn sagas(count: usize) -> String {
    if count == 1 { "1 saga".into() } else { format!("{count} sagas") }
}

/// Waits until all are decided, as long as some still are.
async fn wait(database: &Database, acts: &[i64]) -> Result<Vec<Decision>, Failed> {
    let (mut began, mut open) = (Instant::now(), usize::MAX);
    loop {
        let rows = sqlx::query_file_as!(Decision, "src/sql/acted_all.sql", acts)
            .fetch_all(database)
            .await
            .during("the answers cannot be read")?;
        let left = rows.iter().filter(|row| row.accepted.is_none()).count();
        if left < open {
            (began, open) = (Instant::now(), left);
        }
        if left == 0 || began.elapsed() > PATIENCE {
            return Ok(rows);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn render(verb: Verb, decisions: &[Decision]) -> String {
    if decisions.is_empty() {
        return format!("{verb}: no saga is like that\n");
    }
    let accepted = decisions.iter().filter(|d| d.accepted == Some(true)).count();
    let mut text = format!("{verb}: accepted for {}\n", sagas(accepted));
    let refusals: Vec<_> = decisions.iter().filter(|d| d.accepted == Some(false)).collect();
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
