//! The libraries as their users get them: what their packages tell, and their public API.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    support::{folder, repository},
    tidy::{cargo, compare_listing, metadata, run},
};

/// The listing of the API is made of rustdoc's JSON, which this compiler gives away only when it is told so.
const BOOTSTRAP: (&str, &str) = ("RUSTC_BOOTSTRAP", "1");

/// That makes it a compiler of its own to cargo, with a folder of its own. Both tests here use it, so that what the
/// libraries depend on is checked once.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("api")
}

/// The names of the packages that may be published.
fn libraries() -> Vec<String> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap().iter();
    // An empty list of registries forbids it.
    let published = packages.filter(|package| package["publish"].is_null());
    let names = published.map(|package| {
        let name = package["name"].as_str().unwrap().to_owned();
        for told in ["description", "license", "readme", "rust_version"] {
            assert!(package[told].is_string(), "the package {name} has no {told}");
        }
        name
    });
    names.collect()
}

/// A listing that changes is what semantic versioning is about.
#[test]
fn the_public_api_is_as_listed() {
    let libraries = libraries();
    assert!(libraries.len() >= 6, "{libraries:?}");
    let target = target();
    let json = "-Z unstable-options --output-format json --cap-lints allow";
    let mut doc = cargo();
    doc.args(["doc", "--no-deps", "--lib", "--all-features", "--target-dir"]).arg(&target);
    doc.args(libraries.iter().flat_map(|name| ["-p", name]));
    run(doc.envs([BOOTSTRAP, ("RUSTDOCFLAGS", json)]));
    for name in &libraries {
        let library = name.replace('-', "_");
        let api =
            public_api::Builder::from_rustdoc_json(target.join(format!("doc/{library}.json")));
        let api = api.omit_blanket_impls(true).omit_auto_trait_impls(true);
        let api = api.omit_auto_derived_impls(true).build().unwrap();
        assert!(api.items().count() > 3, "{name} offers nothing");
        let changed = format!(
            "the public API of {name} has changed; if it may, CHANGELOG.md says so, and UPDATE_GOLDEN=1 \
             takes the new listing"
        );
        compare_listing(&format!("tests/it/golden/api/{name}.txt"), &api.to_string(), &changed);
    }
}

/// Not by `cargo package` itself, which wants to find on the registry what a package needs, and unpacks one
/// version once: what is packed is built in a workspace of its own, where each finds the others.
#[test]
fn the_libraries_are_built_from_their_packages() {
    let (libraries, folder) = (libraries(), folder());
    let mut package = cargo();
    package.args(["package", "--no-verify", "--allow-dirty", "--offline", "--exclude-lockfile"]);
    package.arg("--target-dir").arg(folder.path());
    run(package.args(libraries.iter().flat_map(|name| ["-p", name])));

    let version = env!("CARGO_PKG_VERSION");
    let mut manifest = "[workspace]\nresolver = \"3\"\nmembers = [\"*-*\"]\n\n".to_owned();
    manifest += "[profile.dev.package.\"*\"]\nopt-level = 1\ndebug = false\n\n[patch.crates-io]\n";
    for name in &libraries {
        let packed = folder.path().join(format!("package/{name}-{version}.crate"));
        // As new files: packed ones are all of one old time, and what was built of others would pass for theirs.
        run(Command::new("tar").arg("-xzmf").arg(packed).arg("-C").arg(folder.path()));
        manifest += &format!("{name} = {{ path = \"{name}-{version}\" }}\n");
    }
    std::fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    std::fs::copy(repository().join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();
    let mut build = Command::new("cargo");
    build.args(["check", "--workspace", "--offline", "--target-dir"]).arg(target());
    build.envs([BOOTSTRAP, ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")]);
    run(build.current_dir(folder.path()));
}
