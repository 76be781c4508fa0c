//! The reader is shown small crates.

use std::path::Path;

use super::circles_below;

fn circles(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let inside = |circle: String| circle.replace(&format!("{}/", shown(folder.path())), "");
    circles_below(&folder.path().join("lib.rs")).into_iter().map(inside).collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

const LIB: (&str, &str) =
    ("lib.rs", "mod a; mod b; pub use a::A; pub(crate) use b::{self as bee, B};");

#[test]
fn two_that_import_each_other_are_found_with_their_lines() {
    let found = circles(&[
        LIB,
        ("a.rs", "use crate::b::B;\npub struct A(B);"),
        ("b.rs", "\npub struct B;\nfn f() { super::a::A::new() }"),
    ]);
    let expected = "a circle of 2 files: a.rs, b.rs\n  a.rs -> b.rs\n    a.rs:1: crate::b::B\n\
                    \x20 b.rs -> a.rs\n    b.rs:3: super::a::A::new\n";
    assert_eq!(found, [expected]);
}

#[test]
fn an_item_is_sought_through_re_exports_renames_and_globs() {
    for (a, b) in [
        ("use crate::B;", "use crate::A;"),
        ("use crate::bee;\nfn f(_: bee::B) {}", "use super::{A as Other};"),
        ("use crate::*;\nfn f() -> B { B }", "fn f(_: crate::A) {}"),
        (
            "fn f() { use super::bee; assert!(bee::B == bee::B) }",
            "fn f() { g!(x, crate::A::new()) }",
        ),
        ("use super::b::{self};\nfn f() { b::B; }", "type T = Vec<super::A>;"),
    ] {
        let (a, b) = (format!("{a}\npub struct A;"), format!("{b}\npub struct B;"));
        let found = circles(&[LIB, ("a.rs", &a), ("b.rs", &b)]);
        assert_eq!(found.len(), 1, "{a}\n{b}\n{found:?}");
    }
}

#[test]
fn a_room_and_a_file_in_it_can_be_a_circle() {
    let files = [
        ("lib.rs", "mod room;"),
        ("room/mod.rs", "mod table; pub struct Chair; fn f() { table::lay() }"),
        ("room/table.rs", "use super::Chair; pub fn lay() {}"),
    ];
    assert_eq!(circles(&files).len(), 1);
    let macros = [
        ("lib.rs", "macro_rules! m { () => {} } mod a; fn f() { a::f() }"),
        ("a.rs", "pub fn f() { m!() }"),
    ];
    assert_eq!(circles(&macros).len(), 1);
}

#[test]
fn what_is_no_circle_is_none() {
    let room = ("room/mod.rs", "mod a; mod b; pub use a::A; pub(super) use b::B;");
    let tests = "#[cfg(test)] mod tests { use super::super::A; }\n#[cfg(test)] use crate::room::A;";
    let below = format!("{tests}\npub struct B;\nimpl B {{ #[cfg(test)] fn f(_: super::A) {{}} }}");
    for (a, b) in [
        ("use super::B; pub struct A(B);", below.as_str()),
        ("use super::b::B; pub struct A;", "use std::fmt; use b::A; pub struct B; enum E { A }"),
        (
            "mod inner { use super::super::B; } pub struct A;",
            "pub struct B; impl B { fn a() { self::B::b() } }",
        ),
    ] {
        let found = circles(&[("lib.rs", "mod room;"), room, ("room/a.rs", a), ("room/b.rs", b)]);
        assert!(found.is_empty(), "{found:?}");
    }
}
