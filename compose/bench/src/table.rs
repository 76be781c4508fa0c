//! What a benchmark found, for people.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use crate::report::{OfPair, Raw, Recovery, Report, Run, Start};

/// Limits before and after a run that differ by more say that the machine did not hold still.
const STEADY: f64 = 0.15;

pub(crate) fn text(report: &Report) -> String {
    let mut parts = vec![limits(report)];
    if !report.runs.is_empty() {
        parts.extend([speed(&report.runs), cost(&report.runs)]);
    }
    parts.extend(report.start.as_ref().map(start));
    if !report.recovery.is_empty() {
        parts.push(recovery(&report.recovery));
    }
    parts.join("\n")
}

fn limits(report: &Report) -> String {
    let (machine, raw) = (&report.machine, &report.raw);
    let Raw { jetstream_per_s, jetstream_p50_ms, commit_p50_ms, postgres_per_s, .. } = raw;
    let (low, high) = raw.jetstream_per_s_range;
    let range = if (high - low) / jetstream_per_s > STEADY {
        format!(", from {} to {} in the course of it", whole(low), whole(high))
    } else {
        String::new()
    };
    format!(
        "{} cores (load before: {:.1}), Postgres {}, nats-server {}\n\
         raw JetStream, the 6 messages of a saga, 256 in flight: {}/s{range}, {:.3} CPU-s per 1,000; one at a time: p50 {jetstream_p50_ms:.2} ms\n\
         raw Postgres, what a saga must write, 128 × 4: {}/s, {} bytes of WAL; one commit: p50 {commit_p50_ms:.2} ms\n",
        machine.cores,
        machine.load_before,
        machine.postgres,
        machine.nats,
        whole(*jetstream_per_s),
        raw.jetstream_cpu_s_per_1000,
        whole(*postgres_per_s),
        whole(raw.postgres_wal_bytes_per_saga),
    )
}

fn speed(runs: &[Run]) -> String {
    let more = among(runs);
    let head = ["", "barrier", "stored"].into_iter().chain(more.iter().map(|(name, _)| *name));
    let head = head.chain(["in flight", "sagas/s", "of raw", "p50", "p90", "p99", "max ms"]);
    let mut rows = vec![head.map(str::to_owned).collect::<Vec<_>>()];
    for run in runs {
        let mut row = vec![run.name.to_owned(), barrier(run), whole(f64::from(run.stored))];
        row.extend(more.iter().map(|(_, cell)| cell(run)));
        row.extend([
            run.in_flight.map_or_else(
                || format!("{}/s", whole(f64::from(run.rate.unwrap_or(0)))),
                |n| whole(n as f64),
            ),
            whole(run.sagas_per_s),
            ratio(run),
            format!("{:.1}", run.p50_ms),
            format!("{:.1}", run.p90_ms),
            format!("{:.1}", run.p99_ms),
            format!("{:.1}", run.max_ms),
        ]);
        rows.push(row);
    }
    let mut text = columns(&rows);
    if runs.iter().any(Run::is_of_time) {
        text += "×: p50 (and p99) compared with the p50 of raw messages one at a time and four commits\n";
    }
    if runs.iter().any(unsteady) {
        let percent = STEADY * 100.0;
        let _ = writeln!(
            text,
            "~: the limits right before and after differ by more than {percent:.0} %"
        );
    }
    text
}

type Column = (&'static str, fn(&Run) -> String);

/// Columns for what some of the runs had beside them.
fn among(runs: &[Run]) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    if runs.iter().any(|run| run.waiting > 0) {
        columns.push(("waiting", |run| whole(f64::from(run.waiting))));
    }
    if runs.iter().any(|run| run.replicas > 1) {
        columns.push(("replicas", |run| run.replicas.to_string()));
        columns.push(("of one's sagas/s", |run| share(run, |pair| pair.sagas_per_s)));
    }
    if runs.iter().any(|run| run.beside.is_some()) {
        columns.push(("beside", |run| run.beside.unwrap_or_default().to_owned()));
        columns.push(("p99 of alone", |run| share(run, |pair| pair.p99_ms)));
    }
    columns
}

fn share(run: &Run, figure: fn(&OfPair) -> f64) -> String {
    run.of_pair.as_ref().map_or_else(String::new, |pair| format!("{:.2}", figure(pair)))
}

fn start(start: &Start) -> String {
    let Start { waiting, first_ended_s, rss_mib } = start;
    format!(
        "started beside {} sagas that wait: after {first_ended_s:.2} s a saga had ended; {} MiB\n",
        whole(f64::from(*waiting)),
        whole(*rss_mib),
    )
}

fn recovery(found: &[Recovery]) -> String {
    let head =
        ["recovery", "barrier", "in flight", "first moved", "all moved", "all ended s", "MiB"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for run in found {
        rows.push(vec![
            format!("killed after {:.1} s", run.killed_after_s),
            yes(run.barrier),
            whole(run.in_flight as f64),
            format!("{:.2}", run.first_moved_s),
            format!("{:.2}", run.moving_s),
            format!("{:.2}", run.ended_s),
            whole(run.rss_mib),
        ]);
    }
    columns(&rows)
}

fn cost(runs: &[Run]) -> String {
    let processes: BTreeSet<_> = runs.iter().flat_map(|run| run.rss_mib.keys().copied()).collect();
    let head = ["", "barrier", "in flight", "WAL bytes", "HOT", "statements", "messages"];
    let head = head.into_iter().chain(processes.iter().copied());
    let mut rows = vec![head.map(str::to_owned).collect::<Vec<_>>()];
    for run in runs {
        let mut row = vec![
            run.name.to_owned(),
            barrier(run),
            run.in_flight.map_or_else(|| "open".to_owned(), |n| whole(n as f64)),
            whole(run.wal_bytes_per_saga),
            run.hot_share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0)),
            format!("{:.2}", run.statements_per_saga),
            format!("{:.1}", run.messages_per_saga),
        ];
        let figure = |of: &BTreeMap<&str, f64>, name: &str| of.get(name).copied().unwrap_or(0.0);
        row.extend(processes.iter().map(|name| {
            let (cpu, mib) = (figure(&run.cpu_s_per_1000, name), figure(&run.rss_mib, name));
            format!("{cpu:.3} s {mib:>4.0} MiB")
        }));
        rows.push(row);
    }
    format!(
        "what a saga costs, and by process: CPU seconds per 1,000 sagas, and resident memory\n{}",
        columns(&rows)
    )
}

fn ratio(run: &Run) -> String {
    let unsteady = if unsteady(run) { " ~" } else { "" };
    match run.ratio_p99 {
        Some(p99) => format!("{:.2} × ({p99:.1} ×){unsteady}", run.ratio),
        None => format!("{:.2}{unsteady}", run.ratio),
    }
}

fn unsteady(run: &Run) -> bool {
    let (before, after) = (run.raw_before, run.raw_after);
    (before - after).abs() / before.max(after) > STEADY
}

/// What commands go through.
fn barrier(run: &Run) -> String {
    match (run.barrier, run.shared) {
        (true, true) => "shared".to_owned(),
        (barrier, _) => yes(barrier),
    }
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

/// `12345.6` as `12,346`.
fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The first column to the left, the others to the right.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let width = widths[at];
            let _ = match at {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let all = [0.4, 999.5, 12_345.0, 1_234_567.0].map(whole);
        assert_eq!(all, ["0", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["".into(), "n".into()], vec!["one".into(), "12".into()]];
        assert_eq!(columns(&rows), "      n\none  12\n");
    }
}
