//! Files each of which leads to all others.

use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf};

use super::{names::Arrows, tree::FileId};
use crate::support::repository;

/// Files that import each other in a circle, and the arrows between them.
pub(super) struct Circle {
    files: BTreeSet<FileId>,
    arrows: Arrows,
}

/// The largest circles: none is a part of another.
pub(super) fn of(arrows: &Arrows) -> Vec<Circle> {
    let files: BTreeSet<_> = arrows.keys().flat_map(|&(from, to)| [from, to]).collect();
    let mut circles: Vec<Circle> = Vec::new();
    for &file in &files {
        if circles.iter().any(|circle| circle.files.contains(&file)) {
            continue;
        }
        let from_here = reached(file, arrows);
        let circle: BTreeSet<_> =
            from_here.into_iter().filter(|&other| reached(other, arrows).contains(&file)).collect();
        if !circle.is_empty() {
            let inner =
                |(from, to): &(FileId, FileId)| circle.contains(from) && circle.contains(to);
            let arrows = arrows.iter().filter(|(ends, _)| inner(ends));
            let arrows = arrows.map(|(ends, lines)| (*ends, lines.clone())).collect();
            circles.push(Circle { files: circle, arrows });
        }
    }
    circles
}

/// All files that arrows lead to from this one.
fn reached(file: FileId, arrows: &Arrows) -> BTreeSet<FileId> {
    let (mut found, mut next) = (BTreeSet::new(), vec![file]);
    while let Some(file) = next.pop() {
        for &(_, to) in arrows.keys().filter(|(from, _)| *from == file) {
            if found.insert(to) {
                next.push(to);
            }
        }
    }
    found
}

impl Circle {
    /// The files, and below them the lines that make the arrows.
    pub(super) fn render(&self, paths: &[PathBuf]) -> String {
        let top = repository();
        let name = |file: FileId| {
            let path = &paths[file];
            path.strip_prefix(&top).unwrap_or(path).display().to_string()
        };
        let files: Vec<_> = self.files.iter().map(|&file| name(file)).collect();
        let mut text = format!("a circle of {} files: {}\n", files.len(), files.join(", "));
        for (&(from, to), lines) in &self.arrows {
            writeln!(text, "  {} -> {}", name(from), name(to)).unwrap();
            // A bare name was imported: the import says enough, where there is one.
            let imported = lines.iter().any(|(_, path)| path.contains("::"));
            for (line, path) in lines.iter().filter(|(_, p)| !imported || p.contains("::")) {
                writeln!(text, "    {}:{line}: {path}", name(from)).unwrap();
            }
        }
        text
    }
}
