//! What the definitions need of NATS.

use std::collections::BTreeSet;

use amends::{Definition, Task};

use crate::deploy::inventory::inventory;

/// Names and subjects of all definitions and all their versions.
#[derive(Debug, Default)]
pub(super) struct Installation {
    pub(super) definitions: BTreeSet<String>,
    pub(super) services: BTreeSet<String>,
    /// The subjects of triggers, and of the events that steps wait for.
    pub(super) events: BTreeSet<String>,
}

impl Installation {
    pub(super) fn of(definitions: &[Definition]) -> Self {
        let mut installation = Self::default();
        for version in inventory(definitions) {
            let outline = version.outline;
            installation.services.extend(outline.services().map(str::to_owned));
            for step in &outline.steps {
                if let Task::Event { subject } = &step.task {
                    installation.events.insert(subject.clone());
                }
            }
            if version.starts {
                installation.events.insert(outline.trigger);
            }
            installation.definitions.insert(outline.name);
        }
        installation
    }
}
