//! The definitions of this program as data, with those that are nested in them.

use amends::{Definition, Outline};

/// A version of a definition that this program knows.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) outline: Outline,
    pub(crate) digest: String,
    /// Whether triggers start it; else it only runs within others.
    pub(crate) starts: bool,
}

/// Each version once, in order of name and version.
pub(crate) fn known(definitions: &[Definition]) -> Vec<Known> {
    let of = |definition: &Definition, starts| {
        let digest = definition.digest().to_owned();
        Known { outline: definition.outline().clone(), digest, starts }
    };
    let mut all: Vec<_> = definitions.iter().map(|definition| of(definition, true)).collect();
    for child in definitions.iter().flat_map(Definition::children) {
        if all.iter().all(|known| known.outline.title() != child.outline().title()) {
            all.push(of(&child, false));
        }
    }
    all.sort_by(|a, b| {
        let order = |known: &Known| (known.outline.name.clone(), known.outline.version);
        order(a).cmp(&order(b))
    });
    all
}
