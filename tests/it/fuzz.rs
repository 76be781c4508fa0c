//! The corpora of the fuzz targets, replayed: each input once made somebody look.

use std::{collections::BTreeSet, path::PathBuf};

use crate::support::repository;

#[path = "../fuzz/targets.rs"]
mod targets;

fn folder(name: &str) -> PathBuf {
    repository().join("tests/fuzz").join(name)
}

fn names(folder: &str, end: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(self::folder(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(end).map(str::to_owned)).collect()
}

#[test]
fn each_input_of_the_corpora_is_read() {
    for (target, _) in targets::ALL {
        let inputs = names(&format!("corpus/{target}"), "");
        assert!(inputs.len() > 3, "{target} has {} inputs", inputs.len());
        for input in inputs {
            let data = std::fs::read(folder(&format!("corpus/{target}/{input}"))).unwrap();
            println!("{target}/{input}");
            targets::run(target, &data);
        }
    }
}

#[test]
fn each_target_is_fuzzed() {
    let all: BTreeSet<_> = targets::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets", ".rs"), all);
    assert_eq!(names("corpus", ""), all);
    let manifest = std::fs::read_to_string(folder("Cargo.toml")).unwrap();
    let bins: BTreeSet<_> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/"))
        .filter_map(|line| line.strip_suffix(".rs\""))
        .map(str::to_owned)
        .collect();
    assert_eq!(bins, all);
}
