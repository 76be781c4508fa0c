//! What a deploy of these definitions means for the sagas of this database.

use amends::{Difference, Outline, diff};
use serde::Serialize;

use crate::known::Known;

/// A version as the database knows it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) definition: String,
    pub(super) version: u32,
    pub(super) digest: String,
    pub(super) retired: bool,
    pub(super) open_sagas: i64,
    /// None when it was written by a program whose plans hold what this one cannot read.
    pub(super) outline: Option<Outline>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// No version of it ran here.
    New,
    /// It ran here with this plan.
    Same,
    /// It ran here with another plan: an orchestrator refuses to start.
    Changed,
    /// Other versions of it ran here.
    Beside,
    /// It runs here, and this program does not know it.
    Missing,
    /// It ran here, and this program does not know it; no saga is left.
    Past,
}

/// What is to say of one version.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) definition: String,
    pub(super) version: u32,
    pub(super) state: State,
    pub(super) safe: bool,
    pub(super) retired: bool,
    pub(super) open_sagas: i64,
    /// The version that the differences are counted from.
    pub(super) compared_with: Option<u32>,
    pub(super) differences: Vec<Difference>,
    pub(super) notes: Vec<String>,
}

impl Verdict {
    pub(super) fn title(&self) -> String {
        format!("{}@{}", self.definition, self.version)
    }
}

/// Each version that this program or the database knows, in order of name and version.
pub(super) fn assess(known: &[Known], rows: &[Row]) -> Vec<Verdict> {
    let mut verdicts: Vec<_> = known.iter().map(|version| ours(version, rows)).collect();
    let theirs = rows.iter().filter(|row| known.iter().all(|known| !row.is(known)));
    verdicts.extend(theirs.map(|row| foreign(row, known, rows)));
    for verdict in &mut verdicts {
        starts_nothing(verdict, known, rows);
    }
    verdicts.sort_by(|a, b| (&a.definition, a.version).cmp(&(&b.definition, b.version)));
    verdicts
}

impl Row {
    fn is(&self, known: &Known) -> bool {
        self.definition == known.outline.name && self.version == known.outline.version
    }

    fn verdict(&self, state: State) -> Verdict {
        Verdict {
            definition: self.definition.clone(),
            version: self.version,
            state,
            safe: !matches!(state, State::Changed | State::Missing),
            retired: self.retired,
            open_sagas: self.open_sagas,
            compared_with: None,
            differences: Vec::new(),
            notes: Vec::new(),
        }
    }
}

/// A version of this program.
fn ours(known: &Known, rows: &[Row]) -> Verdict {
    let outline = &known.outline;
    if let Some(row) = rows.iter().find(|row| row.is(known)) {
        return if row.digest == known.digest {
            row.verdict(State::Same)
        } else {
            changed(row, outline)
        };
    }
    let mut verdict = Verdict {
        definition: outline.name.clone(),
        version: outline.version,
        state: State::New,
        safe: true,
        retired: false,
        open_sagas: 0,
        compared_with: None,
        differences: Vec::new(),
        notes: Vec::new(),
    };
    // The last one, as they are in order.
    if let Some(newest) = rows.iter().rfind(|row| row.definition == outline.name) {
        verdict.state = State::Beside;
        compare(&mut verdict, newest, outline);
        if newest.version > outline.version {
            verdict.notes.push(format!(
                "it is older than {}@{}, which ran here: give it a higher version if it is to follow",
                newest.definition, newest.version
            ));
        }
    }
    verdict
}

fn changed(row: &Row, outline: &Outline) -> Verdict {
    let mut verdict = row.verdict(State::Changed);
    compare(&mut verdict, row, outline);
    verdict.notes.push(format!(
        "an orchestrator refuses to start: give the changed plan version {}, and keep version {} registered beside it while its sagas are open",
        row.version + 1,
        row.version
    ));
    verdict
}

fn compare(verdict: &mut Verdict, old: &Row, new: &Outline) {
    verdict.compared_with = Some(old.version);
    match &old.outline {
        Some(outline) => verdict.differences = diff(outline, new),
        None => verdict.notes.push(format!(
            "the plan of {}@{} in the database cannot be read: it was written by a newer program",
            old.definition, old.version
        )),
    }
    if verdict.differences.is_empty() && old.outline.is_some() {
        verdict.notes.push("steps and policies are the same".to_owned());
    }
}

/// A version that this program does not know.
fn foreign(row: &Row, known: &[Known], rows: &[Row]) -> Verdict {
    let title = format!("{}@{}", row.definition, row.version);
    let retire = format!("amends retire {} {} --reason \"…\"", row.definition, row.version);
    if row.open_sagas > 0 {
        let mut verdict = row.verdict(State::Missing);
        verdict.notes.push(format!(
            "its open sagas would wait until a program that knows {title} runs: keep it registered beside the new version, or wait until they have ended"
        ));
        if !row.retired {
            verdict.notes.push(format!("so that no more begin, first: {retire}"));
        }
        return verdict;
    }
    // What runs now starts sagas under the newest version that is not retired.
    let later = |other: &Row| other.definition == row.definition && other.version > row.version;
    let starts = !row.retired && !rows.iter().any(|other| later(other) && !other.retired);
    let nested_only = known.iter().any(|k| k.outline.name == row.definition && !k.starts);
    if starts && !nested_only {
        let mut verdict = row.verdict(State::Missing);
        verdict.notes.push(format!(
            "no saga is open now, but what runs still starts them under {title}; first: {retire}, or keep it registered beside the new version"
        ));
        return verdict;
    }
    row.verdict(State::Past)
}

/// A retired version starts nothing; if it is all that this program has, its triggers wait.
fn starts_nothing(verdict: &mut Verdict, known: &[Known], rows: &[Row]) {
    let retired = |known: &Known| rows.iter().any(|row| row.is(known) && row.retired);
    let same_name = |known: &&Known| known.outline.name == verdict.definition && known.starts;
    let newest = known.iter().rfind(same_name).map(|known| known.outline.version);
    if verdict.retired
        && newest == Some(verdict.version)
        && known.iter().filter(same_name).all(retired)
    {
        verdict.notes.push(
            "every version of it that this program knows is retired: its triggers wait".to_owned(),
        );
    }
}

#[cfg(test)]
mod tests;
