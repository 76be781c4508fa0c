//! `check`: whether the definitions are sound, and the services handle what they ask for.

use std::fmt::Write as _;

use amends::{Finding, Outline, Severity};
use serde::Serialize;

use super::inventory::{ProgramVersion, inventory};
use crate::{
    app::App,
    failed::Failed,
    print::{print, print_json},
};

#[derive(Debug, Serialize)]
struct Report {
    sound: bool,
    definitions: Vec<Checked>,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Checked {
    digest: String,
    plan: Outline,
}

/// Checks the program, and prints its plans.
pub(crate) fn run(app: &App, json: bool) -> Result<(), Failed> {
    let definitions = app.definitions()?;
    let findings = amends::check(&definitions, &app.handlers()?);
    let errors = findings.iter().filter(|f| f.severity == Severity::Error).count();
    let checked =
        |version: ProgramVersion| Checked { digest: version.digest, plan: version.outline };
    let report = Report {
        sound: errors == 0,
        definitions: inventory(&definitions).into_iter().map(checked).collect(),
        findings,
    };
    if json {
        print_json(&report)?
    } else {
        print(&render(&report))?
    }
    match errors {
        0 => Ok(()),
        1 => Err(Failed::new("not sound: 1 error")),
        n => Err(Failed::new(format!("not sound: {n} errors"))),
    }
}

/// What must not be, in sentences. Needs tokio's runtime.
pub(crate) fn errors(app: &App) -> Result<Vec<String>, Failed> {
    let findings = amends::check(&app.definitions()?, &app.handlers()?);
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    Ok(errors.map(ToString::to_string).collect())
}

fn render(report: &Report) -> String {
    let mut text = String::new();
    for checked in &report.definitions {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", checked.plan);
    }
    for finding in &report.findings {
        let _ = writeln!(text, "{finding}");
    }
    if report.sound {
        text.push_str(
            "sound: the steps are in order, the times fit, every step has its handlers\n",
        );
    }
    text
}
