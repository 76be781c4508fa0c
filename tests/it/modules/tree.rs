//! A crate's modules as they are written: what each defines, what it imports, what it mentions.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{
    Attribute, ImplItem, Item, ItemMod, ItemUse, Macro, TraitItem, UseTree, Visibility,
    visit::{self, Visit},
};

pub(super) type FileId = usize;
pub(super) type ModuleId = usize;

/// The root of the module tree.
pub(super) const ROOT: ModuleId = 0;

#[derive(Default)]
pub(super) struct Tree {
    pub(super) files: Vec<PathBuf>,
    pub(super) modules: Vec<Module>,
    pub(super) mentions: Vec<Mention>,
}

pub(super) struct Module {
    pub(super) file: FileId,
    pub(super) parent: Option<ModuleId>,
    /// A name can mean several things: a type, a function, a macro.
    pub(super) names: HashMap<String, Vec<Meaning>>,
    /// Paths of modules all of whose names are imported.
    pub(super) globs: Vec<Vec<String>>,
    /// Where the files of its children lie.
    folder: PathBuf,
}

pub(super) enum Meaning {
    /// It is defined in this module.
    Item,
    /// It is a module below this one.
    Child(ModuleId),
    /// It is imported, or re-exported, from this path.
    Import(Vec<String>),
}

/// A path that a module's code names.
pub(super) struct Mention {
    pub(super) module: ModuleId,
    pub(super) path: Vec<String>,
    pub(super) line: usize,
    pub(super) how: How,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Path,
    /// All that a module holds: `use path::*`.
    Glob,
    /// A macro is also found in the modules around it, without an import.
    Macro,
}

/// Reads the files of a crate, from its root on.
pub(super) fn read(root: &Path) -> Tree {
    let mut reader = Reader { tree: Tree::default(), module: ROOT };
    let folder = root.parent().unwrap().to_owned();
    reader.read_file(root, folder, None);
    reader.tree
}

/// Walks through one module at a time.
struct Reader {
    tree: Tree,
    module: ModuleId,
}

impl Reader {
    fn read_file(&mut self, path: &Path, folder: PathBuf, parent: Option<ModuleId>) -> ModuleId {
        let text = std::fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let parsed =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.tree.files.push(path.to_owned());
        let file = self.tree.files.len() - 1;
        self.read_items(&parsed.items, file, folder, parent)
    }

    fn read_items(
        &mut self,
        items: &[Item],
        file: FileId,
        folder: PathBuf,
        parent: Option<ModuleId>,
    ) -> ModuleId {
        let (names, globs) = (HashMap::new(), Vec::new());
        self.tree.modules.push(Module { file, parent, names, globs, folder });
        let module = self.tree.modules.len() - 1;
        let around = std::mem::replace(&mut self.module, module);
        for item in items {
            if let Some(name) = name_of(item).filter(|_| !is_test(attributes(item))) {
                self.define(name.to_string(), Meaning::Item);
            }
            self.visit_item(item);
        }
        self.module = around;
        module
    }

    fn define(&mut self, name: String, meaning: Meaning) {
        self.tree.modules[self.module].names.entry(name).or_default().push(meaning);
    }

    fn mention(&mut self, path: Vec<String>, at: &Ident, how: How) {
        let line = at.span().start().line;
        self.tree.mentions.push(Mention { module: self.module, path, line, how });
    }

    fn import(&mut self, tree: &UseTree, before: &[String], exported: bool) {
        let with = |name: &Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(inner) => self.import(&inner.tree, &with(&inner.ident), exported),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(tree, before, exported));
            }
            UseTree::Glob(glob) => {
                if !exported {
                    let line = glob.star_token.spans[0].start().line;
                    let (module, path) = (self.module, before.to_vec());
                    self.tree.mentions.push(Mention { module, path, line, how: How::Glob });
                }
                self.tree.modules[self.module].globs.push(before.to_vec());
            }
            UseTree::Name(name) => self.import_as(with(&name.ident), &name.ident, None, exported),
            UseTree::Rename(name) => {
                self.import_as(with(&name.ident), &name.ident, Some(&name.rename), exported);
            }
        }
    }

    fn import_as(&mut self, path: Vec<String>, at: &Ident, to: Option<&Ident>, exported: bool) {
        // `use a::{self}` names `a`.
        let path: Vec<_> = match path.split_last() {
            Some((last, rest)) if last == "self" && !rest.is_empty() => rest.to_vec(),
            _ => path,
        };
        if !exported {
            self.mention(path.clone(), at, How::Path);
        }
        let name = to.map(Ident::to_string).or_else(|| path.last().cloned()).unwrap_or_default();
        self.define(name, Meaning::Import(path));
    }

    /// What a macro is given is no syntax tree: only its paths can be told.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let is = |at: usize, sign: char| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == sign);
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Ident(first) => {
                    let mut path = vec![first.to_string()];
                    while is(at, ':') && is(at + 1, ':') {
                        let Some(TokenTree::Ident(next)) = tokens.get(at + 2) else { break };
                        path.push(next.to_string());
                        at += 3;
                    }
                    if path.len() > 1 {
                        self.mention(path, first, How::Path);
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
}

impl<'s> Visit<'s> for Reader {
    fn visit_item(&mut self, item: &'s Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'s ImplItem) {
        let tests = matches!(item, ImplItem::Fn(function) if is_test(&function.attrs));
        if !tests {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'s TraitItem) {
        let tests = matches!(item, TraitItem::Fn(function) if is_test(&function.attrs));
        if !tests {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'s ItemMod) {
        let name = item.ident.to_string();
        let around = &self.tree.modules[self.module];
        let (file, folder) = (around.file, around.folder.join(&name));
        let module = match &item.content {
            Some((_, items)) => self.read_items(items, file, folder, Some(self.module)),
            None => {
                assert!(
                    !item.attrs.iter().any(|attribute| attribute.path().is_ident("path")),
                    "`mod {name}` has a path of its own, which this reader does not follow"
                );
                let beside = folder.with_extension("rs");
                let path = if beside.exists() { beside } else { folder.join("mod.rs") };
                self.read_file(&path, folder, Some(self.module))
            }
        };
        self.define(name, Meaning::Child(module));
    }

    fn visit_item_use(&mut self, item: &'s ItemUse) {
        if item.leading_colon.is_none() {
            self.import(&item.tree, &[], !matches!(item.vis, Visibility::Inherited));
        }
    }

    fn visit_path(&mut self, path: &'s syn::Path) {
        if path.leading_colon.is_none() {
            let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.mention(names, &path.segments[0].ident, How::Path);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'s Macro) {
        if let Some(name) = call.path.get_ident() {
            self.mention(vec![name.to_string()], name, How::Macro);
        }
        self.scan(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}

/// Whether something is there for tests only.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        let Ok(list) = attribute.meta.require_list() else { return false };
        let condition = list.tokens.to_string();
        condition == "test" || condition.starts_with("all (test")
    })
}

fn name_of(item: &Item) -> Option<&Ident> {
    match item {
        Item::Const(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        Item::Macro(item) => item.ident.as_ref(),
        Item::Static(item) => Some(&item.ident),
        Item::Struct(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::TraitAlias(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        Item::Union(item) => Some(&item.ident),
        _ => None,
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
