//! `plan`: this program's definitions beside those that ran against the database, before a deploy.

mod assess;

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    During as _, Failed,
    cli::{PlanArgs, Settings},
    known::known,
    link,
    looks::{print, print_json},
    roles,
};
use assess::{Row, State, Verdict, assess};

#[derive(Debug, Serialize)]
struct Plan {
    safe: bool,
    definitions: Vec<Verdict>,
}

/// `amends plan`.
pub(crate) async fn run(settings: &Settings, args: PlanArgs) -> Result<(), Failed> {
    let known = known(&roles::definitions()?);
    let pool = link::pool(settings.database()?, 1, &[])?;
    let rows = sqlx::query_file!("src/sql/versions.sql")
        .fetch_all(&pool)
        .await
        .during("the definitions in the database cannot be read")?;
    let row = rows.into_iter().map(|r| Row {
        definition: r.definition,
        version: r.version.unsigned_abs(),
        digest: r.digest,
        retired: r.retired,
        open_sagas: r.open_sagas,
        outline: serde_json::from_str(&r.outline).ok(),
    });
    let definitions = assess(&known, &row.collect::<Vec<_>>());
    let plan = Plan { safe: definitions.iter().all(|verdict| verdict.safe), definitions };
    if args.json {
        print_json(&plan)?
    } else {
        print(&text(&plan))?
    }
    let in_doubt = plan.definitions.iter().filter(|verdict| !verdict.safe);
    match in_doubt.map(Verdict::title).collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        titles => Err(Failed(format!("not safe to deploy: {}", titles.join(", ")))),
    }
}

fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for verdict in &plan.definitions {
        text.push_str(&paragraph(verdict));
    }
    if plan.safe {
        text.push_str("safe to deploy\n");
    }
    text
}

fn paragraph(verdict: &Verdict) -> String {
    let state = match verdict.state {
        State::New => "new: it never ran here".to_owned(),
        State::Same => "the same as here".to_owned(),
        State::Changed => "CHANGED under its version".to_owned(),
        State::Beside => {
            let other = verdict.compared_with.unwrap_or(0);
            format!("new version, beside {}@{other}", verdict.definition)
        }
        State::Missing => "NOT KNOWN to this program".to_owned(),
        State::Past => "not known to this program, and not needed".to_owned(),
    };
    let open = match verdict.open_sagas {
        0 => String::new(),
        1 => ", 1 open saga".to_owned(),
        n => format!(", {n} open sagas"),
    };
    let retired = if verdict.retired { ", retired" } else { "" };
    let mut text = format!("{:<14} {state}{open}{retired}\n", verdict.title());
    for difference in &verdict.differences {
        for line in difference.to_string().lines() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "    {line}");
        }
    }
    for note in &verdict.notes {
        let _ = writeln!(text, "  {note}");
    }
    text
}
