//! What a storm tells in the end.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::support::Sight;

/// Of the planned faults so many must have been there.
const LANDED_PERCENT: usize = 95;

/// What is told of more than this is only counted.
const SHOWN: usize = 10;

#[derive(Debug, Default)]
struct Told {
    /// By name: how often it was planned, and how often it was there.
    faults: BTreeMap<String, (usize, usize)>,
    /// Processes that ended without being asked to.
    ended: BTreeMap<String, usize>,
    sagas: BTreeMap<String, i64>,
    lost: usize,
    over: Option<Duration>,
    sights: Vec<Sight>,
    violations: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Report(Mutex<Told>);

impl Report {
    #[allow(clippy::print_stdout, reason = "a storm tells what it does")]
    pub(super) fn tell(&self, began: Instant, what: &str) {
        println!("{:>7.1?}  {what}", began.elapsed());
    }

    pub(super) fn struck(&self, fault: String, landed: bool) {
        let mut told = self.0.lock().unwrap();
        let (planned, there) = told.faults.entry(fault).or_default();
        *planned += 1;
        *there += usize::from(landed);
    }

    pub(super) fn ended(&self, role: &str, code: Option<i32>, last_words: &str) {
        let role = role.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        let how = format!("{role} with {code:?}: {last_words}");
        *self.0.lock().unwrap().ended.entry(how).or_default() += 1;
    }

    pub(super) fn sagas(&self, statuses: Vec<(String, i64)>) {
        self.0.lock().unwrap().sagas = statuses.into_iter().collect();
    }

    /// Triggers that went with their stream, and have not been published again.
    pub(super) fn lost(&self, triggers: usize) {
        let mut told = self.0.lock().unwrap();
        told.lost = told.lost.max(triggers);
    }

    /// How long it took from the last fault until every saga had ended.
    pub(super) fn over(&self, after: Duration) {
        self.0.lock().unwrap().over = Some(after);
    }

    pub(super) fn blind(&self, sights: Vec<Sight>) {
        self.0.lock().unwrap().sights = sights;
    }

    pub(super) fn violation(&self, what: String) {
        self.0.lock().unwrap().violations.push(what);
    }

    /// Says all, and panics unless the storm proves that nothing is wrong.
    #[allow(clippy::print_stdout, reason = "a storm tells what it found")]
    pub(super) fn is_good(&self, seed: u64) {
        let told = self.0.lock().unwrap();
        println!("seed {seed}\n{told}");
        let (planned, there) = told.landed();
        assert!(told.violations.is_empty(), "seed {seed}: {} violations", told.violations.len());
        assert!(
            there * 100 >= planned * LANDED_PERCENT,
            "seed {seed}: only {there} of {planned} faults were there"
        );
        assert!(told.compensated() > 0, "seed {seed}: nothing was compensated");
    }
}

impl Told {
    fn landed(&self) -> (usize, usize) {
        self.faults.values().fold((0, 0), |(planned, there), (p, t)| (planned + p, there + t))
    }

    fn compensated(&self) -> i64 {
        let of = |(how, count): (&String, &i64)| how.contains(" compensated").then_some(*count);
        self.sagas.iter().filter_map(of).sum()
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (planned, there) = self.landed();
        writeln!(f, "{there} of {planned} faults of {} kinds", self.faults.len())?;
        for (fault, (planned, there)) in &self.faults {
            writeln!(f, "{there:>7} of {planned}  {fault}")?;
        }
        let sagas: i64 = self.sagas.values().sum();
        writeln!(f, "{sagas} sagas; {} triggers were published once more", self.lost)?;
        for (how, count) in &self.sagas {
            writeln!(f, "{count:>7}  {how}")?;
        }
        for (how, times) in &self.ended {
            writeln!(f, "{times:>7}  ended by itself: {how}")?;
        }
        self.sights.iter().try_for_each(|sight| writeln!(f, "{sight}"))?;
        match self.over {
            Some(after) => writeln!(f, "all had ended {after:.1?} after the last fault")?,
            None => writeln!(f, "not all has ended")?,
        }
        writeln!(f, "{} violations", self.violations.len())?;
        self.violations.iter().take(SHOWN).try_for_each(|what| writeln!(f, "  {what}"))
    }
}
