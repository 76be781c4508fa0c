//! What a matrix reports: how much it tried, and how a run broke a promise.

use std::{collections::BTreeSet, fmt};

use super::{
    breach::Breach,
    case::Case,
    fault::Planned,
    sim::{End, Sim},
};
use crate::{machine::Status, transcript::Transcript};

/// What a matrix has tried.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    /// How many runs.
    pub runs: u64,
    /// Faults that were planned in them.
    pub planned: u64,
    /// Of these, how many happened: a compensation that is never sent cannot be lost.
    pub happened: u64,
    /// Runs that ended `completed`.
    pub completed: u64,
    /// Runs that ended `compensated`.
    pub compensated: u64,
    /// Runs in which the saga was stuck, and an operator got it going.
    pub healed: u64,
    seen: BTreeSet<Planned>,
    ended: BTreeSet<&'static str>,
    /// Events of the test that a saga took.
    taken: BTreeSet<usize>,
}

impl Coverage {
    pub(super) fn count(&mut self, case: &Case, end: &End) {
        self.runs += 1;
        self.planned += end.happened.len() as u64;
        self.happened += end.happened.iter().filter(|happened| **happened).count() as u64;
        self.completed += u64::from(end.status == Status::Completed);
        self.compensated += u64::from(end.status == Status::Compensated);
        self.healed += u64::from(end.seen.contains_key("stuck was healed"));
        self.ended.insert(end.status.as_str());
        self.taken.extend(&end.taken);
        if let Case::Faults(faults) = case {
            let happened = faults.iter().zip(&end.happened).filter(|(_, happened)| **happened);
            self.seen.extend(happened.map(|(fault, _)| fault.clone()));
        }
    }

    /// Whether some run ended so.
    pub(super) fn ended(&self, status: Status) -> bool {
        self.ended.contains(status.as_str())
    }

    /// How the runs ended.
    pub(super) fn ends(&self) -> String {
        self.ended.iter().copied().collect::<Vec<_>>().join(", ")
    }

    /// Whether a saga took this event of the test in some run.
    pub(super) fn took(&self, event: usize) -> bool {
        self.taken.contains(&event)
    }

    pub(super) fn never_happened(&self, faults: &[Planned]) -> Vec<String> {
        faults.iter().filter(|f| !self.seen.contains(*f)).map(Planned::to_string).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} runs, {} of {} planned faults happened; {} completed, {} compensated, {} stuck on \
             the way and healed",
            self.runs, self.happened, self.planned, self.completed, self.compensated, self.healed
        )
    }
}

/// A run that broke a promise, or was replayed.
pub(super) struct Failed {
    pub(super) case: Option<String>,
    pub(super) breach: Option<Breach>,
    pub(super) details: String,
}

impl Failed {
    pub(super) const fn vacuous(details: String) -> Self {
        Self { case: None, breach: None, details }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.case, &self.breach) {
            (Some(case), Some(breach)) => {
                writeln!(f, "{breach}\nin the run `.replay(\"{case}\")`\n")?;
            }
            (Some(case), None) => writeln!(f, "the run `.replay(\"{case}\")` breaks nothing\n")?,
            (None, _) => writeln!(f, "the fault matrix proves nothing")?,
        }
        f.write_str(&self.details)
    }
}

impl Sim<'_> {
    /// The sagas' transcripts, and all messages.
    pub(crate) fn render(&mut self, key: Option<&str>) -> String {
        let mut text = String::new();
        for (id, saga) in &self.sagas {
            let (outline, facts) = (saga.definition.outline(), saga.store.records());
            let transcript = Transcript {
                id: *id,
                definition: &outline.name,
                version: outline.version,
                key: key.filter(|_| saga.outer.is_none()),
                status: saga.store.state().status,
                input: Some(&saga.store.state().input),
                outline: Some(outline),
                facts: &facts,
            };
            text.push_str(&transcript.to_string());
            text.push('\n');
        }
        text.push_str("messages\n");
        for line in self.log() {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}
