//! How an overview is laid out.

use std::collections::BTreeMap;

use amends::{machine::Time, transcript::printable};

use super::overview::{Overview, Saga};
use crate::{age::age, print::columns, program_name::program_name, terminal::Terminal};

/// Characters of a business key on a terminal.
const KEY_WIDTH: usize = 24;

/// Statuses of sagas that have not ended, and of effects, as columns.
const STATUSES: [&str; 5] = ["running", "compensating", "stuck", "paused", "queued"];
const EFFECTS: [&str; 7] =
    ["done", "in flight", "pending", "unknown", "undoing", "given up", "skipped"];

/// A line, and how it looks on a terminal.
pub(super) struct Line {
    pub(super) text: String,
    pub(super) style: Style,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Heading,
    /// Something that a person must look at.
    Alarm,
    Faint,
}

fn line(text: impl Into<String>, style: Style) -> Line {
    Line { text: text.into(), style }
}

/// The overview as this terminal has room for it.
pub(super) fn lines(overview: &Overview, terminal: Terminal) -> Vec<Line> {
    let mut lines = head(overview);
    lines.extend(table("", sagas(overview), |_| Style::Plain));
    if !overview.stuck.is_empty() {
        lines.extend(table(
            "",
            listed("STUCK FOR", &overview.stuck, overview.at, terminal),
            |_| Style::Alarm,
        ));
    }
    if !overview.oldest.is_empty() {
        lines.extend(table("", listed("OLDEST", &overview.oldest, overview.at, terminal), |_| {
            Style::Plain
        }));
    }
    if !overview.exposed.is_empty() {
        let behind = overview.at - overview.exposed_at;
        let note = if behind.num_seconds() < 2 {
            String::new()
        } else {
            format!("effects as of {} ago", age(behind))
        };
        lines.extend(table(&note, exposed(overview), |_| Style::Plain));
    }
    lines
}

/// The overview as text.
pub(super) fn plain(overview: &Overview) -> String {
    lines(overview, Terminal::of_stdout()).into_iter().map(|line| line.text + "\n").collect()
}

/// What is shown when there is nothing to show.
pub(super) fn trouble(why: &str) -> Vec<Line> {
    vec![line(printable(why), Style::Alarm), line("trying again; q leaves", Style::Faint)]
}

fn head(overview: &Overview) -> Vec<Line> {
    let count = |status: Option<&str>| -> i64 {
        let like = overview.sagas.iter().filter(|s| status.is_none_or(|status| s.status == status));
        like.map(|s| s.sagas).sum()
    };
    let rates = overview.rates.map_or_else(String::new, |rates| {
        format!(
            "   started {:.1}/s   ended {:.1}/s",
            rates.started_per_second, rates.ended_per_second
        )
    });
    let more = if overview.dead_letters >= 10_000 { "+" } else { "" };
    let at = overview.at.format("%Y-%m-%d %H:%M:%S UTC");
    let stuck = count(Some("stuck"));
    let text = format!(
        "{}  {at}{rates}   open {}   stuck {stuck}   dead letters {}{more}",
        program_name(),
        count(None),
        overview.dead_letters
    );
    let alarm = stuck > 0 || overview.dead_letters > 0;
    vec![line(text, if alarm { Style::Alarm } else { Style::Heading })]
}

fn sagas(overview: &Overview) -> Vec<[String; 6]> {
    let mut rows: BTreeMap<&str, [i64; 5]> = BTreeMap::new();
    for sagas in &overview.sagas {
        let row = rows.entry(&sagas.definition).or_default();
        if let Some(at) = STATUSES.iter().position(|status| *status == sagas.status) {
            row[at] += sagas.sagas;
        }
    }
    let heading = ["SAGAS"].into_iter().chain(STATUSES).map(str::to_uppercase);
    let mut cells = vec![cells(heading)];
    cells.extend(rows.into_iter().map(|(name, row)| {
        self::cells(std::iter::once(name.to_owned()).chain(row.map(|n| n.to_string())))
    }));
    if cells.len() == 1 {
        cells.push(self::cells(["none is open".to_owned()].into_iter()));
    }
    cells
}

fn exposed(overview: &Overview) -> Vec<[String; 9]> {
    let mut rows: BTreeMap<&str, ([i64; 7], Time)> = BTreeMap::new();
    for effects in &overview.exposed {
        let row = rows.entry(&effects.service).or_insert(([0; 7], effects.oldest));
        row.1 = row.1.min(effects.oldest);
        if let Some(at) = EFFECTS.iter().position(|status| *status == effects.status) {
            row.0[at] += effects.effects;
        }
    }
    let heading = ["EFFECTS AT"].into_iter().chain(EFFECTS).chain(["oldest"]);
    let mut lines = vec![cells(heading.map(str::to_uppercase))];
    lines.extend(rows.into_iter().map(|(service, (counts, oldest))| {
        let name = std::iter::once(service.to_owned());
        let span = std::iter::once(age(overview.at - oldest));
        cells(name.chain(counts.map(|n| n.to_string())).chain(span))
    }));
    lines
}

fn listed(heading: &str, sagas: &[Saga], now: Time, terminal: Terminal) -> Vec<[String; 6]> {
    let mut lines =
        vec![[heading, "SAGA", "DEFINITION", "KEY", "STATUS", "WHERE AND WHY"].map(str::to_owned)];
    lines.extend(sagas.iter().map(|saga| {
        [
            age(now - saga.since),
            saga.id.to_string(),
            saga.definition.clone(),
            terminal.shorten(&printable(saga.key.as_deref().unwrap_or("-")), KEY_WIDTH),
            saga.status.clone(),
            printable(&why(saga)),
        ]
    }));
    lines
}

fn why(saga: &Saga) -> String {
    let Some(code) = &saga.error_code else { return saga.step.clone().unwrap_or_default() };
    let step = saga.error_step.as_deref().filter(|step| !step.is_empty());
    let message = saga.error_message.as_deref().filter(|message| !message.is_empty());
    [step, Some(code), message].into_iter().flatten().collect::<Vec<_>>().join(": ")
}

fn cells<const N: usize>(mut from: impl Iterator<Item = String>) -> [String; N] {
    std::array::from_fn(|_| from.next().unwrap_or_default())
}

/// A table below an empty line, its heading above.
fn table<const N: usize>(
    note: &str,
    cells: Vec<[String; N]>,
    style: impl Fn(usize) -> Style,
) -> Vec<Line> {
    let text = columns(&cells);
    let mut lines = vec![line(note, Style::Faint)];
    lines.extend(
        text.lines()
            .enumerate()
            .map(|(n, text)| line(text, if n == 0 { Style::Heading } else { style(n) })),
    );
    lines
}
