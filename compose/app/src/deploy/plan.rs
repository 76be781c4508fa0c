//! `plan`: this program's definitions beside those that ran against the database, before a deploy.

use std::{collections::BTreeSet, fmt::Write as _};

use amends_postgres::Database;
use serde::Serialize;

use super::{
    assess::{Assessment, State, assess},
    inventory::inventory,
    stored::{stored_states, stored_versions},
};
use crate::{
    app::App,
    failed::Failed,
    print::{print, print_json},
    run::connect,
    settings::Settings,
};

#[derive(Debug, Serialize)]
struct Plan {
    safe: bool,
    definitions: Vec<Assessment>,
}

/// The versions that the program knows, as `order@1`.
pub(crate) fn titles(app: &App) -> Result<BTreeSet<String>, Failed> {
    let ours = inventory(&app.definitions()?);
    Ok(ours.iter().map(|version| version.outline.title()).collect())
}

/// Each version that the program or the database knows, without how their plans differ.
pub(crate) async fn states(app: &App, database: &Database) -> Result<Vec<Assessment>, Failed> {
    let ours = inventory(&app.definitions()?);
    Ok(assess(&ours, &stored_states(database).await?))
}

/// Compares the program with the database.
pub(crate) async fn run(settings: &Settings, app: &App, json: bool) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 1, &[])?;
    let ours = inventory(&app.definitions()?);
    let definitions = assess(&ours, &stored_versions(&database).await?);
    let plan = Plan { safe: definitions.iter().all(|version| version.safe), definitions };
    if json {
        print_json(&plan)?
    } else {
        print(&render(&plan))?
    }
    let in_doubt = plan.definitions.iter().filter(|version| !version.safe);
    match in_doubt.map(Assessment::title).collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        titles => Err(Failed::new(format!("not safe to deploy: {}", titles.join(", ")))),
    }
}

fn render(plan: &Plan) -> String {
    let mut text = String::new();
    for version in &plan.definitions {
        text.push_str(&paragraph(version));
    }
    if plan.safe {
        text.push_str("safe to deploy\n");
    }
    text
}

fn paragraph(version: &Assessment) -> String {
    let state = match version.state {
        State::New => "new: it never ran here".to_owned(),
        State::Same => "the same as here".to_owned(),
        State::Changed => "CHANGED under its version".to_owned(),
        State::Beside => {
            let other = version.compared_with.unwrap_or(0);
            format!("new version, beside {}@{other}", version.definition)
        }
        State::Missing => "NOT KNOWN to this program".to_owned(),
        State::Past => "not known to this program, and not needed".to_owned(),
    };
    let open = match version.open_sagas {
        0 => String::new(),
        1 => ", 1 open saga".to_owned(),
        n => format!(", {n} open sagas"),
    };
    let retired = if version.retired { ", retired" } else { "" };
    let mut text = format!("{:<14} {state}{open}{retired}\n", version.title());
    for difference in &version.differences {
        for line in difference.to_string().lines() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "    {line}");
        }
    }
    for note in &version.notes {
        let _ = writeln!(text, "  {note}");
    }
    text
}
