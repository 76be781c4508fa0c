//! The libraries as their users get them: what their packages tell, and their public API.

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::Value;

use crate::{support::repository, tidy::assert_none};

/// The toolchain's own cargo, which needs no network for what is built already.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // One job: other tests run beside this one.
    let settings = [("CARGO_NET_OFFLINE", "true"), ("CARGO_BUILD_JOBS", "1")];
    cargo.current_dir(repository()).envs(settings);
    cargo
}

#[track_caller]
fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The packages that may be published: their names, and those of their libraries.
fn libraries() -> Vec<(String, String)> {
    let metadata = run(cargo().args(["metadata", "--no-deps", "--format-version", "1"]));
    let metadata: Value = serde_json::from_slice(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    // An empty list of registries forbids it.
    let published = packages.filter(|package| package["publish"].is_null());
    let names = published.map(|package| {
        let name = text(&package["name"]);
        for told in ["description", "license", "readme", "rust_version"] {
            assert!(package[told].is_string(), "the package {name} has no {told}");
        }
        let library = name.replace('-', "_");
        (name, library)
    });
    names.collect()
}

fn packages(libraries: &[(String, String)]) -> impl Iterator<Item = &str> {
    libraries.iter().flat_map(|(name, _)| ["-p", name.as_str()])
}

#[track_caller]
fn compare(name: &str, now: &str) {
    let path = repository().join(format!("tests/it/golden/api/{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return std::fs::write(path, now).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let [kept, now] = [&kept, now].map(|listing| listing.lines().collect::<BTreeSet<_>>());
    let gone = kept.difference(&now).map(|line| format!("- {line}"));
    let differences: Vec<_> = gone.chain(now.difference(&kept).map(|l| format!("+ {l}"))).collect();
    assert_none(
        &differences,
        &format!(
            "the public API of {name} has changed; if it may, CHANGELOG.md says so, and UPDATE_GOLDEN=1 \
             takes the new listing"
        ),
    );
}

/// A listing that changes is what semantic versioning is about.
#[test]
fn the_public_api_is_as_listed() {
    let libraries = libraries();
    assert!(libraries.len() >= 6, "{libraries:?}");
    // The listing is made of rustdoc's JSON, which this compiler gives away only when it is told so. That
    // is a compiler of its own to cargo, so it builds in a folder of its own.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("api");
    let json = "-Z unstable-options --output-format json --cap-lints allow";
    let mut doc = cargo();
    doc.args(["doc", "--no-deps", "--lib", "--all-features"])
        .args(packages(&libraries))
        .arg("--target-dir");
    doc.arg(&target).env("RUSTC_BOOTSTRAP", "1").env("RUSTDOCFLAGS", json);
    run(&mut doc);
    for (name, library) in &libraries {
        let api =
            public_api::Builder::from_rustdoc_json(target.join(format!("doc/{library}.json")));
        let api = api.omit_blanket_impls(true).omit_auto_trait_impls(true);
        let api = api.omit_auto_derived_impls(true).build().unwrap();
        assert!(api.items().count() > 3, "{name} offers nothing");
        compare(name, &api.to_string());
    }
}
