//! The definitions of this program as data, with those that are nested in them.

use amends::{Definition, Outline};

/// A version of a definition that this program knows.
#[derive(Debug, Clone)]
pub(super) struct ProgramVersion {
    pub(super) outline: Outline,
    pub(super) digest: String,
    /// Whether triggers start it; else it only runs within others.
    pub(super) starts: bool,
}

/// Each version once, in order of name and version.
pub(super) fn inventory(definitions: &[Definition]) -> Vec<ProgramVersion> {
    let of = |definition: &Definition, starts| {
        let digest = definition.digest().to_owned();
        ProgramVersion { outline: definition.outline().clone(), digest, starts }
    };
    let mut all: Vec<_> = definitions.iter().map(|definition| of(definition, true)).collect();
    for child in definitions.iter().flat_map(Definition::children) {
        if all.iter().all(|other| other.outline.title() != child.outline().title()) {
            all.push(of(&child, false));
        }
    }
    all.sort_by(|a, b| {
        let order = |of: &ProgramVersion| (of.outline.name.clone(), of.outline.version);
        order(a).cmp(&order(b))
    });
    all
}
