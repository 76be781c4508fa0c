//! `check`: whether the definitions are sound, and the example services handle what they ask for.

use std::fmt::Write as _;

use amends::{Finding, Outline, Severity};
use serde::Serialize;

use crate::{
    Failed,
    cli::CheckArgs,
    known::known,
    looks::{print, print_json},
    roles, services,
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

/// `amends check`.
pub(crate) fn run(args: CheckArgs) -> Result<(), Failed> {
    let definitions = roles::definitions()?;
    let handlers = services::handlers()?;
    let findings = amends::check(&definitions, &handlers);
    let errors = findings.iter().filter(|f| f.severity == Severity::Error).count();
    let checked =
        |known: crate::known::Known| Checked { digest: known.digest, plan: known.outline };
    let report = Report {
        sound: errors == 0,
        definitions: known(&definitions).into_iter().map(checked).collect(),
        findings,
    };
    if args.json {
        print_json(&report)?
    } else {
        print(&text(&report))?
    }
    match errors {
        0 => Ok(()),
        1 => Err(Failed("not sound: 1 error".into())),
        n => Err(Failed(format!("not sound: {n} errors"))),
    }
}

fn text(report: &Report) -> String {
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
