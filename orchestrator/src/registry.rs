//! The definitions that this program knows.

use std::{collections::HashMap, sync::Arc};

use amends::Definition;

/// Definitions by name and version. Of several versions the newest takes new triggers; every saga
/// ends under the one it began with.
#[derive(Debug)]
pub(crate) struct Registry {
    by_version: HashMap<(String, u32), Arc<Definition>>,
    newest: HashMap<String, Arc<Definition>>,
}

impl Registry {
    pub(crate) fn new(definitions: Vec<Definition>) -> Self {
        let mut registry = Self { by_version: HashMap::new(), newest: HashMap::new() };
        for definition in definitions {
            let (name, version) = (definition.outline().name.clone(), definition.outline().version);
            let definition = Arc::new(definition);
            let newest =
                registry.newest.entry(name.clone()).or_insert_with(|| Arc::clone(&definition));
            if newest.outline().version < version {
                *newest = Arc::clone(&definition);
            }
            registry.by_version.insert((name, version), definition);
        }
        registry
    }

    pub(crate) fn get(&self, name: &str, version: u32) -> Option<Arc<Definition>> {
        self.by_version.get(&(name.to_owned(), version)).cloned()
    }

    /// The newest version of each definition.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.newest.values()
    }

    /// Every version of every definition.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.by_version.values()
    }

    /// All services that some step needs, each once.
    pub(crate) fn services(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .all()
            .flat_map(|d| d.outline().services().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
