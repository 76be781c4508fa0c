//! Each wait has a bound, and stands in ARCHITECTURE.md under "Silence".

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::repository;

/// Where product code waits for servers.
const CODE: [&str; 5] = [
    "migrations/src",
    "orchestrator/src",
    "orchestrator/client/src",
    "workers/src",
    "compose/app/src/run",
];

/// How a bound is given to what waits.
const BOUNDED: [&str; 7] = [
    "timeout(",
    ".timeout(",
    ".ack_timeout(",
    ".expires(",
    ".heartbeat(",
    ".with_limit(",
    "wait: Some(",
];

/// A row of the table.
#[derive(Debug)]
struct Wait {
    bound: String,
    name: String,
    file: String,
}

fn table() -> Vec<Wait> {
    let text = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let section = text.split("\n## Silence\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.contains(".rs |"));
    let wait = |row: &str| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let (name, file) = cells[3].rsplit_once(' ').unwrap();
        let name = name.trim_matches('`').to_owned();
        Wait { bound: cells[2].to_owned(), name, file: file.to_owned() }
    };
    rows.map(wait).collect()
}

/// `Duration::from_secs(5)` as "5 s".
fn spoken(value: &str) -> Option<String> {
    let number = |unit: &str| value.strip_prefix(unit)?.strip_suffix(')')?.parse::<u64>().ok();
    number("Duration::from_secs(")
        .map(|seconds| format!("{seconds} s"))
        .or_else(|| number("Duration::from_millis(").map(|millis| format!("{millis} ms")))
}

/// The value of a constant of a file.
fn value(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(repository().join(file)).ok()?;
    let declared = format!("const {name}: Duration = ");
    let line = text.lines().find_map(|line| line.split_once(&declared).map(|(_, value)| value))?;
    spoken(line.trim_end_matches(';'))
}

#[test]
fn every_bound_of_the_table_is_the_codes() {
    let table = table();
    assert!(table.len() > 15, "{} rows", table.len());
    let wrong: Vec<_> = table
        .iter()
        .filter(|wait| value(&wait.file, &wait.name).as_deref() != Some(&wait.bound))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let product = text.split("#[cfg(test)]").next().unwrap().to_owned();
            let name = path.strip_prefix(repository()).unwrap().display().to_string();
            found.push((name, product));
        }
    }
}

#[test]
fn every_bound_of_the_code_is_in_the_table() {
    let listed: BTreeSet<_> = table().into_iter().map(|wait| wait.name).collect();
    let (mut files, mut missing) = (Vec::new(), Vec::new());
    for folder in CODE {
        sources(&repository().join(folder), &mut files);
    }
    for (name, text) in files {
        for bounded in BOUNDED {
            for (_, after) in
                text.match_indices(bounded).map(|(at, _)| text.split_at(at + bounded.len()))
            {
                let bound: String =
                    after.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
                if bound.len() > 2 && !listed.contains(&bound) {
                    missing.push(format!("{name}: {bound}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "not in ARCHITECTURE.md under Silence: {missing:#?}");
}

/// A statement that no session's bound holds could wait for ever.
#[test]
fn postgres_is_waited_for_in_one_package() {
    let mut files = Vec::new();
    for folder in &CODE[1..] {
        sources(&repository().join(folder), &mut files);
    }
    sources(&repository().join("compose/app/src"), &mut files);
    let unbounded = ["PgPool", "PgConnection::connect", "PgConnectOptions::connect"];
    let found: Vec<_> = files
        .iter()
        .filter(|(_, text)| unbounded.iter().any(|word| text.contains(word)))
        .map(|(name, _)| name)
        .collect();
    assert!(found.is_empty(), "{found:?}");
}
