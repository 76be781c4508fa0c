//! Each planted bug is found by the random runs: the proof that their checkers can fail. Which
//! promise caught which bug, and how soon, stands in `planted.txt`; `UPDATE_GOLDEN=1` writes it anew.

use std::{fmt::Write as _, path::Path};

use crate::{
    machine::tests::runs::{Run, SEEDS},
    seam::{Bug, plant},
    testing::{Guarantee, share},
};

/// Runs of the copy as it is, without a bug.
const RUNS_WITHOUT_BUG: u64 = 10_000;

/// The first promise that a bug breaks, and after how many runs: at most as many as the core's own
/// tests draw.
fn hunt(bug: Bug) -> Option<(Guarantee, u64)> {
    plant(Some(bug));
    let caught = (0..SEEDS).find_map(|seed| {
        let breach = Run::draw(seed).run(false).0.err()?;
        Some((breach.guarantee, seed + 1))
    });
    plant(None);
    caught
}

#[test]
fn each_planted_bug_is_caught() {
    let caught = share(Bug::ALL, |bug| hunt(*bug));
    let mut now = String::new();
    let mut missed = Vec::new();
    for (bug, caught) in Bug::ALL.iter().zip(caught) {
        let Some((guarantee, runs)) = caught else {
            missed.push(bug);
            continue;
        };
        let soon = match runs {
            1..=10 => "at once",
            11..=100 => "in 100 runs",
            101..=1_000 => "in 1,000 runs",
            1_001..=10_000 => "in 10,000 runs",
            _ => "in 100,000 runs",
        };
        let bug = words(&format!("{bug:?}"));
        writeln!(now, "{bug:<38} {soon:<15} {}", guarantee.as_str()).unwrap();
    }
    assert!(missed.is_empty(), "not caught in {SEEDS} runs: {missed:?}\n{now}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("planted.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, now, "the table differs: UPDATE_GOLDEN=1 takes the new one");
}

/// An edit that changes what the copy does while its bug is not planted would be caught in place of
/// every other bug.
#[test]
fn the_copy_without_a_bug_breaks_nothing() {
    let seeds: Vec<_> = (0..RUNS_WITHOUT_BUG).collect();
    let breaches = share(&seeds, |seed| Run::draw(*seed).run(false).0.err());
    let broken = seeds.iter().zip(breaches).find_map(|(seed, breach)| Some((seed, breach?)));
    assert_eq!(broken, None);
}

/// `AckBeforeCommit` as `ack before commit`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}
