//! What a deploy of these definitions means for the sagas of this database.

use amends::{Difference, Outline, diff};
use serde::Serialize;

use super::{inventory::ProgramVersion, stored::StoredVersion};
use crate::program_name::program_name;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
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
pub(crate) struct Assessment {
    pub(crate) definition: String,
    pub(crate) version: u32,
    pub(crate) state: State,
    pub(crate) safe: bool,
    pub(crate) retired: bool,
    pub(crate) open_sagas: i64,
    /// The version that the differences are counted from.
    pub(crate) compared_with: Option<u32>,
    pub(crate) differences: Vec<Difference>,
    pub(crate) notes: Vec<String>,
}

impl Assessment {
    pub(crate) fn title(&self) -> String {
        format!("{}@{}", self.definition, self.version)
    }
}

/// Each version that this program or the database knows, in order of name and version.
pub(super) fn assess(known: &[ProgramVersion], rows: &[StoredVersion]) -> Vec<Assessment> {
    let mut assessments: Vec<_> = known.iter().map(|version| ours(version, rows)).collect();
    let theirs = rows.iter().filter(|row| known.iter().all(|known| !row.is(known)));
    assessments.extend(theirs.map(|row| foreign(row, known, rows)));
    for assessment in &mut assessments {
        starts_nothing(assessment, known, rows);
    }
    assessments.sort_by(|a, b| (&a.definition, a.version).cmp(&(&b.definition, b.version)));
    assessments
}

impl StoredVersion {
    fn is(&self, known: &ProgramVersion) -> bool {
        self.definition == known.outline.name && self.version == known.outline.version
    }

    fn assessment(&self, state: State) -> Assessment {
        Assessment {
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
fn ours(known: &ProgramVersion, rows: &[StoredVersion]) -> Assessment {
    let outline = &known.outline;
    if let Some(row) = rows.iter().find(|row| row.is(known)) {
        return if row.digest == known.digest {
            row.assessment(State::Same)
        } else {
            changed(row, outline)
        };
    }
    let mut assessment = Assessment {
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
        assessment.state = State::Beside;
        compare(&mut assessment, newest, outline);
        if newest.version > outline.version {
            assessment.notes.push(format!(
                "it is older than {}@{}, which ran here: give it a higher version if it is to follow",
                newest.definition, newest.version
            ));
        }
    }
    assessment
}

fn changed(row: &StoredVersion, outline: &Outline) -> Assessment {
    let mut assessment = row.assessment(State::Changed);
    compare(&mut assessment, row, outline);
    assessment.notes.push(format!(
        "an orchestrator refuses to start: give the changed plan version {}, and keep version {} registered beside it while its sagas are open",
        row.version + 1,
        row.version
    ));
    assessment
}

fn compare(assessment: &mut Assessment, old: &StoredVersion, new: &Outline) {
    assessment.compared_with = Some(old.version);
    match &old.outline {
        Some(outline) => assessment.differences = diff(outline, new),
        None => assessment.notes.push(format!(
            "the plan of {}@{} in the database cannot be read: it was written by a newer program",
            old.definition, old.version
        )),
    }
    if assessment.differences.is_empty() && old.outline.is_some() {
        assessment.notes.push("steps and policies are the same".to_owned());
    }
}

/// A version that this program does not know.
fn foreign(row: &StoredVersion, known: &[ProgramVersion], rows: &[StoredVersion]) -> Assessment {
    let title = format!("{}@{}", row.definition, row.version);
    let (program, name, version) = (program_name(), &row.definition, row.version);
    let retire = format!("{program} retire {name} {version} --reason \"…\"");
    if row.open_sagas > 0 {
        let mut assessment = row.assessment(State::Missing);
        assessment.notes.push(format!(
            "its open sagas would wait until a program that knows {title} runs: keep it registered beside the new version, or wait until they have ended"
        ));
        if !row.retired {
            assessment.notes.push(format!("so that no more begin, first: {retire}"));
        }
        return assessment;
    }
    // What runs now starts sagas under the newest version that is not retired.
    let later =
        |other: &StoredVersion| other.definition == row.definition && other.version > row.version;
    let starts = !row.retired && !rows.iter().any(|other| later(other) && !other.retired);
    let nested_only = known.iter().any(|k| k.outline.name == row.definition && !k.starts);
    if starts && !nested_only {
        let mut assessment = row.assessment(State::Missing);
        assessment.notes.push(format!(
            "no saga is open now, but what runs still starts them under {title}; first: {retire}, or keep it registered beside the new version"
        ));
        return assessment;
    }
    row.assessment(State::Past)
}

/// A retired version starts nothing; if it is all that this program has, its triggers wait.
fn starts_nothing(assessment: &mut Assessment, known: &[ProgramVersion], rows: &[StoredVersion]) {
    let retired = |known: &ProgramVersion| rows.iter().any(|row| row.is(known) && row.retired);
    let same_name =
        |known: &&ProgramVersion| known.outline.name == assessment.definition && known.starts;
    let newest = known.iter().rfind(same_name).map(|version| version.outline.version);
    if assessment.retired
        && newest == Some(assessment.version)
        && known.iter().filter(same_name).all(retired)
    {
        assessment.notes.push(
            "every version of it that this program knows is retired: its triggers wait".to_owned(),
        );
    }
}

#[cfg(test)]
mod tests;
