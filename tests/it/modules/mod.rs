//! Modules of one package point downwards too: no circle of `use` and paths among its files.
//!
//! An arrow goes from the file that names an item of its own crate to the file that defines the item,
//! through every re-export between the two. `mod x;` and `pub use` are no arrows: a `mod.rs` may say
//! what its room holds. What is behind `#[cfg(test)]` is left out.

mod circles;
mod names;
mod tests;
mod tree;

use std::path::Path;

use crate::{support::repository, tidy};

/// The circles of a crate's files, each with the lines that make it.
fn circles_below(root: &Path) -> Vec<String> {
    let tree = tree::read(root);
    let arrows = names::arrows(&tree);
    circles::of(&arrows).iter().map(|circle| circle.render(&tree.files)).collect()
}

#[test]
fn modules_of_a_package_form_no_circle() {
    let mut found = Vec::new();
    for (package, folder, _) in tidy::packages() {
        for root in ["src/lib.rs", "src/main.rs"] {
            let root = repository().join(&folder).join(root);
            if root.exists() {
                let circles = circles_below(&root).into_iter();
                found.extend(circles.map(|circle| format!("{package}: {circle}")));
            }
        }
    }
    assert!(
        found.is_empty(),
        "files that import each other in a circle; move what both need below both:\n{}",
        found.join("\n")
    );
}
