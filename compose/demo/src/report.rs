//! What a demo prints at its end.

use std::{fmt::Write as _, path::Path};

use crate::course::Outcome;

pub(crate) fn render(outcome: &Outcome, data: Option<&Path>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, outcome, data);
    out
}

fn write(out: &mut String, outcome: &Outcome, data: Option<&Path>) -> std::fmt::Result {
    let Outcome { example, findings, published, .. } = outcome;
    let (noun, seconds) = (example.noun(), outcome.took.as_secs_f64());
    writeln!(out, "\n{published} {noun} published, all settled {seconds:.1} s after the first")?;
    for (status, count) in &findings.statuses {
        writeln!(out, "{count:>8} {status}")?;
    }
    if outcome.dead_letters > 0 {
        writeln!(out, "{:>8} dead letters", outcome.dead_letters)?;
    }
    if let Some(transcript) = &outcome.transcript {
        writeln!(
            out,
            "\nOne of the {noun} that were compensated (seconds since its start):\n\n{transcript}"
        )?;
    }
    writeln!(out, "The services' own ledgers:")?;
    out.push_str(&findings.ledgers);
    if findings.problems.is_empty() {
        writeln!(out, "  {}", example.all_well())?;
    }
    for problem in &findings.problems {
        writeln!(out, "  PROBLEM {problem}")?;
    }
    look_further(out, example.further(), data)
}

fn look_further(out: &mut String, further: &str, data: Option<&Path>) -> std::fmt::Result {
    writeln!(out, "\nTo look further:")?;
    match data {
        Some(data) => {
            let data = data.display();
            writeln!(out, "  amends dev --data {data}          # the same servers and data, then")?;
        }
        None => {
            writeln!(
                out,
                "  amends dev                        # the same set-up, kept in a folder; then in a second shell"
            )?;
        }
    }
    writeln!(out, "{further}")
}
