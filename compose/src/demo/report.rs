//! What a demo prints at its end.

use std::{fmt::Write as _, path::Path};

use super::Ended;
use crate::audit::{Audit, TripAudit};

pub(super) fn text(ended: &Ended, data: Option<&Path>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, ended, data);
    out
}

fn write(out: &mut String, ended: &Ended, data: Option<&Path>) -> std::fmt::Result {
    let Ended { example, findings, published, .. } = ended;
    let (noun, seconds) = (example.noun(), ended.took.as_secs_f64());
    writeln!(out, "\n{published} {noun} published, all settled {seconds:.1} s after the first")?;
    for (status, count) in &findings.statuses {
        writeln!(out, "{count:>8} {status}")?;
    }
    if ended.dead_letters > 0 {
        writeln!(out, "{:>8} dead letters", ended.dead_letters)?;
    }
    if let Some(transcript) = &ended.transcript {
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

fn euros(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, (cents % 100).abs())
}

/// What the ledgers of the order services say.
pub(super) fn shop(audit: &Audit) -> String {
    format!(
        "  stock  {} units are missing from the shelves, {} are reserved by completed orders
  money  {} EUR was captured, completed orders cost {} EUR
",
        audit.stock_missing,
        audit.stock_reserved,
        euros(audit.captured),
        euros(audit.owed)
    )
}

/// What the ledgers of the trip services say.
pub(super) fn agency(audit: &TripAudit) -> String {
    format!(
        "  rooms  {} are taken, {} are booked by completed trips
  cars   {} are out, {} are reserved by completed trips
  money  {} EUR was charged, completed trips cost {} EUR
  turns  {} travellers wanted several trips at once
",
        audit.rooms_taken,
        audit.rooms_booked,
        audit.cars_out,
        audit.cars_reserved,
        euros(audit.charged),
        euros(audit.owed),
        audit.busy_travellers
    )
}
