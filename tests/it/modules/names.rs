//! From paths to the files that define what they name.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::tree::{FileId, How, Meaning, Mention, ModuleId, ROOT, Tree};

/// The arrows between files, each with the lines that make it and what these name.
pub(super) type Arrows = BTreeMap<(FileId, FileId), BTreeSet<(usize, String)>>;

pub(super) fn arrows(tree: &Tree) -> Arrows {
    let mut arrows = Arrows::new();
    for mention in &tree.mentions {
        let from = tree.modules[mention.module].file;
        let mut names = Names { tree, seen: HashSet::new() };
        for to in names.files(mention) {
            if to != from {
                let line = (mention.line, mention.path.join("::"));
                arrows.entry((from, to)).or_default().insert(line);
            }
        }
    }
    arrows
}

/// What a path leads to.
#[derive(Clone, Copy)]
enum Target {
    Module(ModuleId),
    /// An item, or what belongs to one: a variant, an associated function.
    ItemIn(FileId),
}

/// One look-up: names that it has asked for are not asked for again, as imports may be circular.
struct Names<'t> {
    tree: &'t Tree,
    seen: HashSet<(ModuleId, &'t str)>,
}

impl<'t> Names<'t> {
    /// The files that define what is mentioned. A module alone is no definition: what is taken from it
    /// is mentioned elsewhere.
    fn files(&mut self, mention: &'t Mention) -> Vec<FileId> {
        let targets = match mention.how {
            How::Macro => self.macro_around(mention.module, &mention.path[0]),
            How::Path | How::Glob => self.path(mention.module, &mention.path),
        };
        let file = |target| match target {
            Target::Module(module) => {
                (mention.how == How::Glob).then_some(self.tree.modules[module].file)
            }
            Target::ItemIn(file) => Some(file),
        };
        targets.into_iter().filter_map(file).collect()
    }

    fn path(&mut self, module: ModuleId, path: &'t [String]) -> Vec<Target> {
        let Some((first, rest)) = path.split_first() else { return Vec::new() };
        let mut targets = match first.as_str() {
            "crate" => vec![Target::Module(ROOT)],
            "self" => vec![Target::Module(module)],
            "super" => self.parent(module),
            name => self.name(module, name),
        };
        for name in rest {
            targets = targets.into_iter().flat_map(|target| self.below(target, name)).collect();
        }
        targets
    }

    fn parent(&self, module: ModuleId) -> Vec<Target> {
        self.tree.modules[module].parent.map(Target::Module).into_iter().collect()
    }

    fn below(&mut self, target: Target, name: &'t str) -> Vec<Target> {
        match target {
            Target::Module(module) if name == "super" => self.parent(module),
            Target::Module(module) => self.name(module, name),
            Target::ItemIn(_) => vec![target],
        }
    }

    /// What a name means in a module; nothing when it is another crate's.
    fn name(&mut self, module: ModuleId, name: &'t str) -> Vec<Target> {
        if !self.seen.insert((module, name)) {
            return Vec::new();
        }
        let here = &self.tree.modules[module];
        if let Some(meanings) = here.names.get(name) {
            let mean = |meaning: &'t Meaning| match meaning {
                Meaning::Item => vec![Target::ItemIn(here.file)],
                Meaning::Child(child) => vec![Target::Module(*child)],
                Meaning::Import(path) => self.path(module, path),
            };
            return meanings.iter().flat_map(mean).collect();
        }
        let mut targets = Vec::new();
        for glob in &here.globs {
            for target in self.path(module, glob) {
                // The variants of an enum are of its own file, which the import names.
                if let Target::Module(module) = target {
                    targets.extend(self.name(module, name));
                }
            }
        }
        targets
    }

    fn macro_around(&mut self, module: ModuleId, name: &'t str) -> Vec<Target> {
        let mut next = Some(module);
        while let Some(module) = next {
            let targets = self.name(module, name);
            if !targets.is_empty() {
                return targets;
            }
            next = self.tree.modules[module].parent;
        }
        Vec::new()
    }
}
