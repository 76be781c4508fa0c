//! The small settings, explored as a whole; and the same with a bug in the driver, which must be found.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use crate::{
    bug::Bug,
    explore::{Order, explore},
    happened::Happened,
    run::THREADS,
    settings::{Size, settings},
};

/// At least so many distinct states are visited.
const STATES: usize = 300_000;

/// Each bug, and the setting in which it is looked for.
const BUGS: [(Bug, &str); Bug::ALL.len()] = [
    (Bug::PublishBeforeCommit, "lost"),
    (Bug::AckBeforeCommit, "lost"),
    (Bug::AckBeforePublish, "lost"),
    (Bug::NoVersionCheck, "lost"),
    (Bug::ConflictKeepsState, "lost"),
    (Bug::ActWithoutFact, "cancel"),
    (Bug::ActWithoutWake, "cancel"),
    (Bug::WakeKeepsLease, "slow timer"),
    (Bug::RearmOverWake, "slow timer"),
    (Bug::KeepWithoutWake, "event"),
    (Bug::ReleaseWithoutWake, "lock"),
    (Bug::LockForAll, "lock"),
    (Bug::NoBarrier, "call off"),
    (Bug::EndWithoutWake, "nested"),
    (Bug::DroppedFact, "lost"),
];

#[test]
fn every_order_of_events_keeps_the_guarantees() {
    let (mut states, mut table, mut failed) = (0, String::new(), false);
    for setting in settings(Size::Small).unwrap() {
        let report = explore(setting, Order::Breadth, THREADS);
        states += report.states;
        failed |= report.broken.is_some() || !report.missed.is_empty();
        write!(table, "{report}").unwrap();
    }
    assert!(!failed, "{table}");
    assert!(states >= STATES, "{states} states only:\n{table}");
}

/// Each rare event is one that some setting must reach.
#[test]
fn every_rare_event_is_reached_somewhere() {
    let settings = settings(Size::Small).unwrap();
    let all: BTreeSet<_> = settings.iter().flat_map(|s| s.reaches.iter().copied()).collect();
    let missing: Vec<_> = Happened::ALL.iter().filter(|event| !all.contains(event)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The proof that the checks can fail. Which guarantee each bug breaks first is in `planted.txt`.
#[test]
fn each_bug_of_the_driver_is_found() {
    let (mut now, mut missed) = (String::new(), Vec::new());
    for (bug, name) in BUGS {
        let mut settings = settings(Size::Small).unwrap().into_iter();
        let setting = settings.find(|setting| setting.name == name).unwrap();
        // One thread finds the same each time.
        match explore(setting.with(bug), Order::Breadth, 1).broken {
            Some((guarantee, path)) => {
                let bug = format!("{bug:?}");
                writeln!(now, "{bug:<20} {name:<12} {guarantee}").unwrap();
                assert!(path.contains("replica"), "a path can be read:\n{path}");
            }
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}\n{now}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("planted.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, now, "the table differs: UPDATE_GOLDEN=1 takes the new one");
}
