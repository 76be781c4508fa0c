//! House rules that no other tool holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
    process::Command,
};

use serde_json::Value;
use sqlx::{
    AssertSqlSafe, SqlSafeStr as _,
    migrate::{Migration, MigrationType},
};

use crate::support::repository;

/// Listings, made by a test.
const API: &str = "tests/it/golden/api/";

/// What may lie at the top of the repository: few things, so that each is found.
const TOP: [&str; 26] = [
    ".cargo",
    ".ci",
    ".dockerignore",
    ".git",
    ".gitattributes",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "clippy.toml",
    "compose",
    "deny.toml",
    "docs",
    "migrations",
    "orchestrator",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "sagas",
    "tests",
    "workers",
    // Not committed.
    "target",
];

/// Which packages of the workspace each may depend on: arrows only downwards, and orchestrator and
/// workers do not know each other.
const ARROWS: [(&str, &[&str]); 16] = [
    ("amends", &[]),
    ("amends-postgres", &[]),
    ("amends-mutants", &[]),
    ("amends-model", &["amends"]),
    ("order", &["amends"]),
    ("trip", &["amends"]),
    ("amends-orchestrator", &["amends", "amends-postgres"]),
    ("amends-client", &["amends", "amends-postgres"]),
    ("amends-workers", &["amends", "amends-postgres"]),
    ("order-services", &["amends", "amends-workers", "order"]),
    ("trip-services", &["amends", "amends-workers", "trip"]),
    ("amends-app", &["amends", "amends-orchestrator", "amends-postgres", "amends-workers"]),
    (
        "amends-bench",
        &["amends", "amends-app", "amends-orchestrator", "amends-postgres", "amends-workers"],
    ),
    (
        "amends-demo",
        &[
            "amends",
            "amends-app",
            "amends-postgres",
            "order",
            "order-services",
            "trip",
            "trip-services",
        ],
    ),
    (
        "amends-cli",
        &[
            "amends",
            "amends-app",
            "amends-bench",
            "amends-demo",
            "amends-postgres",
            "order",
            "order-services",
            "trip",
            "trip-services",
        ],
    ),
    (
        "amends-tests",
        &[
            "amends",
            "amends-app",
            "amends-cli",
            "amends-client",
            "amends-demo",
            "amends-orchestrator",
            "amends-postgres",
            "amends-workers",
            "order",
            "order-services",
            "trip",
            "trip-services",
        ],
    ),
];

/// No I/O, no async: what the packages of `sagas` never depend on.
const IMPURE: [&str; 7] =
    ["async-nats", "axum", "backoff", "futures-util", "sqlx", "tokio", "tokio-util"];

/// In all but prose, whose length its reader decides.
const LINES_MAX: usize = 600;

/// `sha384sum --check` understands it, from the top of the repository.
const CHECKSUMS: &str = "migrations/CHECKSUMS";

/// What the migrations make, generated.
const SCHEMA: &str = "migrations/schema.sql";

// In pieces, or this file would break the rules it holds.
const BACKOFF: &str = concat!("back", "off::");
const UNDONE: [&str; 3] = [concat!("todo", "!("), concat!("FIX", "ME"), concat!("TO", "DO")];
const UNSAFE: [&str; 5] = [
    concat!("un", "safe {"),
    concat!("un", "safe fn "),
    concat!("un", "safe impl "),
    concat!("un", "safe extern "),
    concat!("un", "safe("),
];

/// A text file: its path from the top of the repository, and what is in it.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|e| e == extension)
    }

    fn is_migration(&self) -> bool {
        self.is("sql") && self.path.split('/').any(|folder| folder == "migrations")
    }

    /// What `cargo sqlx prepare` wrote, in the package that asks.
    pub(crate) fn is_cached_query(&self) -> bool {
        self.path.split('/').any(|folder| folder == ".sqlx")
    }

    /// Where one of the words stands outside of a comment.
    fn lines_with(&self, words: &[&str]) -> impl Iterator<Item = String> {
        let code = self.text.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//"));
        code.filter(|(_, line)| words.iter().any(|word| line.contains(word)))
            .map(|(at, line)| format!("{}:{}: {}", self.path, at + 1, line.trim()))
    }
}

/// All text files but what is not committed.
pub(crate) fn files() -> Vec<File> {
    let (top, mut found) = (repository(), Vec::new());
    let mut folders = vec![top.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let (path, kind) = {
                let entry = entry.unwrap();
                (entry.path(), entry.file_type().unwrap())
            };
            let name = path.file_name().unwrap_or_default();
            if kind.is_dir() && name != "target" && name != ".git" && name != ".amends" {
                folders.push(path);
            } else if let (true, Ok(text)) = (kind.is_file(), std::fs::read_to_string(&path)) {
                let path = path.strip_prefix(&top).unwrap().to_str().unwrap().to_owned();
                found.push(File { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

#[track_caller]
pub(crate) fn assert_none(offences: &[String], rule: &str) {
    assert!(offences.is_empty(), "{rule}:\n  {}", offences.join("\n  "));
}

/// The toolchain's own cargo, for this workspace. It needs no network for what is built already.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(repository()).env("CARGO_NET_OFFLINE", "true");
    cargo
}

/// Fails with the lines in which a committed listing and this one differ; UPDATE_GOLDEN takes this one.
#[track_caller]
pub(crate) fn compare_listing(path: &str, now: &str, changed: &str) {
    let path = repository().join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return std::fs::write(path, now).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let [kept, now] = [&kept, now].map(|listing| listing.lines().collect::<BTreeSet<_>>());
    let gone = kept.difference(&now).map(|line| format!("- {line}"));
    let differences: Vec<_> = gone.chain(now.difference(&kept).map(|l| format!("+ {l}"))).collect();
    assert_none(&differences, changed);
}

/// What a command prints that must not fail.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The workspace, as cargo sees it.
pub(crate) fn metadata() -> Value {
    let metadata = run(cargo().args(["metadata", "--no-deps", "--format-version", "1"]));
    serde_json::from_slice(&metadata).unwrap()
}

/// The packages of the workspace, as cargo sees them: name, folder, and the names of what each
/// depends on, its tests included.
pub(crate) fn packages() -> Vec<(String, String, BTreeSet<String>)> {
    let metadata = metadata();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let package = |package: &Value| {
        let needs = package["dependencies"].as_array().unwrap();
        let folder = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
        let top = text(&metadata["workspace_root"]);
        let folder = folder.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
        (text(&package["name"]), folder, needs.iter().map(|need| text(&need["name"])).collect())
    };
    metadata["packages"].as_array().unwrap().iter().map(package).collect()
}

#[test]
fn the_top_of_the_repository_is_small() {
    let ignored = read(".gitignore");
    let ignored: Vec<_> = ignored.lines().filter_map(|line| line.strip_prefix('/')).collect();
    let mut more = Vec::new();
    for entry in std::fs::read_dir(repository()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        if !TOP.contains(&name.as_str()) && !ignored.contains(&name.as_str()) {
            more.push(name);
        }
    }
    assert_none(&more, "at the top of the repository, but not in the list of this test");
}

#[test]
fn dependencies_point_downwards() {
    let packages = packages();
    let arrows: BTreeMap<_, _> = ARROWS.into();
    let mut wrong = Vec::new();
    for (name, _, needs) in &packages {
        let Some(allowed) = arrows.get(name.as_str()) else {
            wrong.push(format!("{name} is not in the list of this test"));
            continue;
        };
        let inner = packages.iter().filter(|(other, ..)| needs.contains(other));
        for (other, ..) in inner.filter(|(other, ..)| !allowed.contains(&other.as_str())) {
            wrong.push(format!("{name} -> {other}"));
        }
    }
    assert_none(&wrong, "dependencies that the layout does not allow");
}

#[test]
fn sagas_are_pure() {
    let mut impure = Vec::new();
    for (name, folder, needs) in packages() {
        if folder.starts_with("sagas") {
            let wrong = needs.iter().filter(|need| IMPURE.contains(&need.as_str()));
            impure.extend(wrong.map(|need| format!("{name} -> {need}")));
        }
    }
    assert_none(&impure, "the packages of sagas/ do no I/O and know no runtime");
}

#[test]
fn backoff_serves_connecting_only() {
    let users: Vec<_> = packages()
        .into_iter()
        .filter(|(_, _, needs)| needs.contains("backoff"))
        .map(|(name, ..)| name)
        .collect();
    assert_eq!(users, ["amends-app"], "backoff is unmaintained: it stays in one package");
    let elsewhere: Vec<_> = files()
        .iter()
        .filter(|file| file.is("rs") && file.path != "compose/app/src/run/connect.rs")
        .flat_map(|file| file.lines_with(&[BACKOFF]))
        .collect();
    assert_none(&elsewhere, "backoff is unmaintained: it stays in compose/app/src/run/connect.rs");
}

#[test]
fn no_file_is_too_long_to_read() {
    let long: Vec<_> = files()
        .iter()
        .filter(|file| !file.is("md") && !file.is("lock") && file.path != SCHEMA)
        .filter(|file| !file.is_cached_query() && !file.path.starts_with(API))
        .map(|file| (&file.path, file.text.lines().count()))
        .filter(|&(_, lines)| lines > LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines}"))
        .collect();
    assert_none(&long, &format!("files with more than {LINES_MAX} lines"));
}

#[test]
fn nothing_is_left_undone() {
    let mut undone = Vec::new();
    for file in files() {
        for (at, line) in file.text.lines().enumerate() {
            if UNDONE.iter().any(|word| line.contains(word)) {
                undone.push(format!("{}:{}: {}", file.path, at + 1, line.trim()));
            }
        }
    }
    assert_none(&undone, "do it, or leave it out");
}

#[test]
fn the_compiler_vouches_for_all_code() {
    let files = files();
    let mut wrong: Vec<_> =
        files.iter().filter(|f| f.is("rs")).flat_map(|f| f.lines_with(&UNSAFE)).collect();
    // The compiler holds it, where it is told to.
    let forbidden = concat!("un", "safe_code = \"forbid\"");
    if !read("Cargo.toml").contains(forbidden) {
        wrong.push(format!("Cargo.toml lacks `{forbidden}`"));
    }
    for (name, folder, _) in packages() {
        if !read(&format!("{folder}/Cargo.toml")).contains("[lints]\nworkspace = true") {
            wrong.push(format!("{name} does not take the workspace's lints"));
        }
    }
    assert_none(&wrong, "code that the compiler does not vouch for");
}

#[test]
fn every_query_is_asked() {
    let files = files();
    let queries: Vec<_> = files.iter().filter(|f| f.is("sql") && !f.is_migration()).collect();
    let mut unasked: BTreeSet<_> = queries.iter().map(|query| query.path.as_str()).collect();
    for (_, folder, _) in packages() {
        let source = format!("{folder}/src/");
        let code: Vec<_> =
            files.iter().filter(|f| f.is("rs") && f.path.starts_with(&source)).collect();
        // Not only right behind `query_file!`: macros pass the name on.
        unasked.retain(|path| {
            let name = path.strip_prefix(&format!("{folder}/"));
            let asks = name.map(|name| format!("\"{name}\""));
            !asks.is_some_and(|asks| code.iter().any(|file| file.text.contains(&asks)))
        });
    }
    let unasked: Vec<_> = unasked.into_iter().map(str::to_owned).collect();
    assert_none(&unasked, "no `query_file!` names these");

    let texts: BTreeSet<_> = queries.iter().map(|file| file.text.as_str()).collect();
    let mut stale = Vec::new();
    for cached in files.iter().filter(|file| file.is_cached_query()) {
        let described: Value = serde_json::from_str(&cached.text).unwrap();
        if !texts.contains(described["query"].as_str().unwrap()) {
            stale.push(cached.path.clone());
        }
    }
    assert_none(&stale, "no .sql file has the text of these; `cargo sqlx prepare` removes them");
}

/// Any login may take any advisory lock, and keep it.
#[test]
fn nothing_waits_for_locks_that_anybody_may_take() {
    let files = files();
    let statements = files.iter().filter(|file| file.is("sql"));
    let code = |line: &&str| !line.trim_start().starts_with("--");
    let wrong: Vec<_> = statements
        .filter(|file| file.text.lines().filter(code).any(|line| line.contains("advisory")))
        .map(|file| file.path.clone())
        .collect();
    assert_none(&wrong, "statements that take advisory locks");
}

/// From the first release on migrations are only added: databases remember what they were migrated by,
/// and refuse a migration that has changed since.
#[test]
fn migrations_are_only_added() {
    let mut now = String::new();
    for file in files().into_iter().filter(|f| f.is_migration() && f.path != SCHEMA) {
        let sql = AssertSqlSafe(file.text).into_sql_str();
        let migration = Migration::new(0, "".into(), MigrationType::Simple, sql, false);
        for byte in &*migration.checksum {
            write!(now, "{byte:02x}").unwrap();
        }
        writeln!(now, "  {}", file.path).unwrap();
    }
    let path = repository().join(CHECKSUMS);
    if std::env::var_os("UPDATE_CHECKSUMS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let missing = |from: &str, of: &str, what: &str| {
        let lines = of.lines().filter(|line| !from.lines().any(|other| other == *line));
        lines.filter_map(|l| l.split_once("  ")).map(|(_, path)| format!("{what} {path}")).collect()
    };
    let mut wrong: Vec<String> = missing(&kept, &now, "new or changed:");
    wrong.extend(missing(&now, &kept, "gone or changed:"));
    assert_none(
        &wrong,
        "a migration that was released is never changed: put the change in a new file. For a new \
         file, or one that was not released yet, run this test again with UPDATE_CHECKSUMS=1 and \
         commit migrations/CHECKSUMS",
    );
    assert_eq!(kept, now, "the lines of {CHECKSUMS} are not in order: UPDATE_CHECKSUMS=1");
}

#[test]
fn the_image_is_built_by_the_same_compiler() {
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split("channel = \"").nth(1).unwrap().split('"').next().unwrap();
    let image = format!("FROM rust:{channel}-");
    assert!(read("compose/Dockerfile").contains(&image), "compose/Dockerfile lacks `{image}…`");
}

/// What the build of the image does not see, cargo misses.
#[test]
fn the_image_is_built_with_all_packages() {
    let ignored = read(".dockerignore");
    let seen: Vec<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let passes = |path: &str| seen.iter().any(|s| path == *s || path.starts_with(&format!("{s}/")));
    let manifests = packages().into_iter().map(|(_, folder, _)| format!("{folder}/Cargo.toml"));
    let hidden: Vec<_> = manifests.filter(|manifest| !passes(manifest)).collect();
    assert_none(&hidden, ".dockerignore hides packages of the workspace");
}

/// The documents name files where they lie.
#[test]
fn documents_name_files_that_exist() {
    let (top, mut lost) = (repository(), Vec::new());
    for file in files().iter().filter(|file| file.is("md")) {
        let words = file.text.split(|c: char| c.is_whitespace() || "`()[],;|".contains(c));
        let roots = ["compose/", "migrations/", "orchestrator/", "sagas/", "tests/", "workers/"];
        let paths = words.filter(|word| roots.iter().any(|root| word.starts_with(root)));
        for path in paths.map(|path| path.trim_end_matches([':', '.'])) {
            let plain = path.contains('.')
                && path.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
            let beside = top.join(&file.path).with_file_name(path);
            if plain && !top.join(path).exists() && !beside.exists() {
                lost.push(format!("{}: {path}", file.path));
            }
        }
    }
    assert_none(&lost, "files that documents name, and that are not there");
}
