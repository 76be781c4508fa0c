//! The definitions that this program knows.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use amends::{Definition, Task};

/// A definition's name and version.
pub(crate) type Version = (String, u32);

/// A step that waits for an event: its definition, and its position there.
pub(crate) type Awaiting = (Arc<Definition>, usize);

/// Definitions by name and version. Of several versions the newest that is not retired takes new
/// triggers; every saga ends under the one it began with.
#[derive(Debug)]
pub(crate) struct Registry {
    by_version: HashMap<Version, Arc<Definition>>,
    /// Those that triggers start, newest last.
    starting: BTreeMap<String, Vec<Arc<Definition>>>,
    /// Versions that start no more, as the database says.
    retired: RwLock<BTreeSet<Version>>,
    /// Versions of sagas that were met here, and which this program does not know.
    foreign: RwLock<BTreeSet<Version>>,
}

fn version_of(definition: &Definition) -> Version {
    (definition.outline().name.clone(), definition.outline().version)
}

impl Registry {
    pub(crate) fn new(definitions: Vec<Definition>) -> Self {
        let mut registry = Self {
            by_version: HashMap::new(),
            starting: BTreeMap::new(),
            retired: RwLock::default(),
            foreign: RwLock::default(),
        };
        for definition in definitions.into_iter().map(Arc::new) {
            for child in definition.children() {
                registry.by_version.insert(version_of(&child), child);
            }
            registry.by_version.insert(version_of(&definition), Arc::clone(&definition));
            let name = definition.outline().name.clone();
            registry.starting.entry(name).or_default().push(definition);
        }
        for versions in registry.starting.values_mut() {
            versions.sort_by_key(|d| d.outline().version);
        }
        registry
    }

    /// Names all that this program knows: the same in every replica of it, which elect one leader.
    pub(crate) fn election_key(&self) -> String {
        let versions: BTreeSet<_> = self.by_version.keys().collect();
        versions.iter().map(|(name, version)| format!("{name}@{version} ")).collect()
    }

    pub(crate) fn get(&self, name: &str, version: u32) -> Option<Arc<Definition>> {
        self.by_version.get(&(name.to_owned(), version)).cloned()
    }

    /// The names of all definitions, each once.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.by_version.keys().map(|(name, _)| name.clone()).collect()
    }

    /// The newest version of each definition that triggers start.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.starting.values().filter_map(|versions| versions.last())
    }

    /// The version that starts sagas of a name: the newest that is not retired.
    pub(crate) fn starting(&self, name: &str) -> Option<&Arc<Definition>> {
        let versions = self.starting.get(name)?;
        versions.iter().rev().find(|definition| !self.is_retired(definition))
    }

    /// Whether a version starts no more sagas, as far as this program knows.
    pub(crate) fn is_retired(&self, definition: &Definition) -> bool {
        let retired = self.retired.read().unwrap_or_else(PoisonError::into_inner);
        retired.contains(&version_of(definition))
    }

    /// Whether a definition is known here, and no trigger starts it.
    pub(crate) fn is_nested_only(&self, name: &str) -> bool {
        !self.starting.contains_key(name) && self.by_version.keys().any(|(known, _)| known == name)
    }

    /// Takes what the database says about retired versions.
    pub(crate) fn retire(&self, versions: Vec<Version>) {
        let versions: BTreeSet<_> = versions.into_iter().collect();
        let mut retired = self.retired.write().unwrap_or_else(PoisonError::into_inner);
        if *retired != versions {
            tracing::info!(?versions, "these versions start no more sagas");
            *retired = versions;
        }
    }

    /// Notes a version that this program does not know; whether it is new.
    pub(crate) fn meet(&self, name: &str, version: u32) -> bool {
        let mut foreign = self.foreign.write().unwrap_or_else(PoisonError::into_inner);
        foreign.insert((name.to_owned(), version))
    }

    /// The versions that were met and are not known.
    pub(crate) fn foreign(&self) -> Vec<Version> {
        let foreign = self.foreign.read().unwrap_or_else(PoisonError::into_inner);
        foreign.iter().cloned().collect()
    }

    /// Every version of every definition.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.by_version.values()
    }

    /// The events that steps wait for: definition, subject, and the steps.
    pub(crate) fn awaited(&self) -> BTreeMap<(String, String), Vec<Awaiting>> {
        let mut awaited: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for definition in self.all() {
            let outline = definition.outline();
            for (at, step) in outline.steps.iter().enumerate() {
                if let Task::Event { subject } = &step.task {
                    let key = (outline.name.clone(), subject.clone());
                    awaited.entry(key).or_default().push((Arc::clone(definition), at));
                }
            }
        }
        awaited
    }

    /// The versions of a definition that are known here.
    pub(crate) fn versions(&self, name: &str) -> Vec<i32> {
        let known = self.by_version.keys().filter(|(known, _)| known == name);
        known.filter_map(|(_, version)| i32::try_from(*version).ok()).collect()
    }

    /// All services that some step needs, each once.
    pub(crate) fn services(&self) -> Vec<String> {
        let services =
            self.all().flat_map(|d| d.outline().services().map(str::to_owned).collect::<Vec<_>>());
        services.collect::<BTreeSet<_>>().into_iter().collect()
    }
}
