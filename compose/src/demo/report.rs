//! What a demo prints at its end.

use std::{fmt::Write as _, path::Path};

use super::Ended;

pub(super) fn text(ended: &Ended, data: Option<&Path>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, ended, data);
    out
}

fn write(out: &mut String, ended: &Ended, data: Option<&Path>) -> std::fmt::Result {
    let audit = &ended.audit;
    let seconds = ended.took.as_secs_f64();
    writeln!(
        out,
        "\n{} orders published, all settled {seconds:.1} s after the first",
        ended.published
    )?;
    for (status, count) in &audit.statuses {
        writeln!(out, "{count:>8} {status}")?;
    }
    if ended.dead_letters > 0 {
        writeln!(out, "{:>8} dead letters", ended.dead_letters)?;
    }
    if let Some(transcript) = &ended.transcript {
        writeln!(
            out,
            "\nOne order that was compensated (seconds since its start):\n\n{transcript}"
        )?;
    }
    writeln!(out, "The services' own ledgers:")?;
    writeln!(
        out,
        "  stock  {} units are missing from the shelves, {} are reserved by completed orders",
        audit.stock_missing, audit.stock_reserved
    )?;
    writeln!(
        out,
        "  money  {} EUR was captured, completed orders cost {} EUR",
        euros(audit.captured),
        euros(audit.owed)
    )?;
    if ended.problems.is_empty() {
        writeln!(out, "  every effect was applied once, or undone once")?;
    }
    for problem in &ended.problems {
        writeln!(out, "  PROBLEM {problem}")?;
    }
    look_further(out, data)
}

fn look_further(out: &mut String, data: Option<&Path>) -> std::fmt::Result {
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
    writeln!(
        out,
        r#"  nats --server "$NATS_URL" pub orders.placed '{{"order_id":"o-1","customer":"c-1","currency":"EUR","items":[{{"sku":"tea","quantity":2,"unit_price":450}}],"card":"tok_visa","country":"DE"}}'
  psql "$DATABASE_URL" -c 'select id, key, status, step, error from amends.sagas order by id desc limit 10'
  amends list --status compensated
  amends show o-1"#
    )
}

fn euros(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, (cents % 100).abs())
}
