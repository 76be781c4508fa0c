//! `cancel` as it was seen: `--plan` shows what would be undone, and `--apply` does just that or
//! nothing.

use amends::{
    Json, SagaId, fold,
    preview::{self, CancelPlan},
    transcript::printable,
};
use amends_postgres::Database;
use serde::Serialize;

use super::{
    decision::{self, Noted},
    saga::{self, SagaRow},
    verb::Verb,
};
use crate::{
    failed::{During as _, Failed},
    print::{print, print_json},
    program_name::program_name,
    run::connect,
    settings::Settings,
};

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

/// Shows what would be undone, in which order.
pub(crate) async fn show(settings: &Settings, saga: &str, json: bool) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 1, &[])?;
    let row = saga::find(&database, saga).await?;
    let plan = plan(&database, &row).await?;
    let hash = plan.hash();
    if json {
        return print_json(&Shown {
            hash,
            definition: &row.definition,
            version: row.version,
            key: row.key.as_deref(),
            status: &row.status,
            plan: &plan,
        });
    }
    let key = row.key.as_deref().map(|key| format!("  key {}", printable(key)));
    let heading = format!(
        "saga {}  {}@{}{}  {}, {}",
        plan.saga,
        row.definition,
        row.version,
        key.unwrap_or_default(),
        row.status,
        facts(plan.facts)
    );
    let program = program_name();
    let then = match &plan.refused {
        Some(_) => String::new(),
        None => format!("to do just that: {program} cancel {saga} --apply {hash} --reason …\n"),
    };
    print(&format!("{heading}\n{plan}{then}"))
}

/// Cancels, if the plan is still the one with this hash.
pub(crate) async fn apply(
    settings: &Settings,
    saga: &str,
    hash: &str,
    reason: &str,
    json: bool,
) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 1, &[])?;
    let row = saga::find(&database, saga).await?;
    let plan = plan(&database, &row).await?;
    if plan.hash() != hash {
        return Err(Failed::new(format!(
            "the plan is another one now: look at it again with {} cancel {saga} --plan",
            program_name()
        )));
    }
    let seen = i32::try_from(plan.facts).unwrap_or(i32::MAX);
    let act = sqlx::query_file!("src/sql/cancel_seen.sql", row.id, reason, seen)
        .fetch_one(&database)
        .await
        .during("cannot cancel")?
        .id;
    let noted = Noted { act, saga: row.id, verb: Verb::Cancel };
    decision::report(&database, noted, json).await
}

/// The plan for a saga as it is now, folded from its facts.
async fn plan(database: &Database, row: &SagaRow) -> Result<CancelPlan, Failed> {
    let outline = saga::outline(database, &row.definition, row.version).await?;
    let records = saga::records(database, row.id).await?;
    // What is undone hangs on no payload, which this login may not see.
    let input = row.input.as_deref().map_or_else(Json::null, Json::trusted);
    let state = fold(&outline, SagaId(row.id), input, records, |_| {})
        .during("the history cannot be read")?;
    Ok(preview::cancel(&outline, &state))
}

fn facts(count: u32) -> String {
    if count == 1 { "1 fact".to_owned() } else { format!("{count} facts") }
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_fact_is_no_plural() {
        assert_eq!([1, 2].map(super::facts), ["1 fact", "2 facts"]);
    }
}
