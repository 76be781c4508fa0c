//! Explores a setting, and says what was found.

use std::{
    fmt::{self, Write as _},
    time::{Duration, Instant},
};

use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::{happened::Breach, moves::Move, setting::Setting, world::World};

/// After so many steps a large exploration is cut, and says so.
const STEPS_MAX: usize = 15_000_000;

/// In which order states are visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The nearest first: paths are short, and all that is to be visited is in memory.
    Breadth,
    /// The farthest first: takes little memory.
    Depth,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Report {
    /// The setting.
    pub(crate) name: &'static str,
    /// Distinct states.
    pub(crate) states: usize,
    /// Steps from one state to another.
    pub(crate) steps: usize,
    /// Whether all states were visited.
    pub(crate) whole: bool,
    /// The longest path.
    pub(crate) depth: usize,
    /// How long it took.
    pub(crate) took: Duration,
    /// The first broken guarantee, and the path to it.
    pub(crate) broken: Option<(&'static str, String)>,
    /// What happened that was to happen.
    pub(crate) reached: Vec<Reached>,
    /// What did not happen.
    pub(crate) missed: Vec<&'static str>,
}

/// A rare event that happened.
#[derive(Debug)]
pub(crate) struct Reached {
    /// Which.
    pub(crate) event: &'static str,
    /// How often, by all paths.
    pub(crate) times: u64,
    /// The length of the path that shows it; none where each leads to a state that was known already.
    pub(crate) steps: Option<usize>,
}

/// Visits all states, until a guarantee is broken.
#[must_use]
pub(crate) fn explore(setting: Setting, order: Order, threads: usize) -> Report {
    let began = Instant::now();
    let builder = setting.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures);
    let builder = match order {
        Order::Breadth => builder,
        Order::Depth => builder.target_state_count(STEPS_MAX),
    };
    match order {
        Order::Breadth => report(&builder.spawn_bfs().join(), began),
        Order::Depth => report(&builder.spawn_dfs().join(), began),
    }
}

fn report(checker: &impl Checker<Setting>, began: Instant) -> Report {
    let took = began.elapsed();
    let setting = checker.model();
    // Before paths are walked once more.
    let tallies: Vec<_> =
        setting.reaches.iter().map(|event| (*event, setting.tally.of(*event))).collect();
    let mut found = checker.discoveries();
    let broken = Breach::ALL.iter().find_map(|breach| {
        let path = found.remove(breach.text())?;
        Some((breach.text(), describe(setting, path)))
    });
    let (reached, missed): (Vec<_>, Vec<_>) = tallies.iter().partition(|(_, times)| *times > 0);
    let reached = reached.into_iter().map(|(event, times)| {
        let event = event.text();
        let steps = found.get(event).map(|path| path.clone().into_actions().len());
        Reached { event, times, steps }
    });
    Report {
        name: setting.name,
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        whole: broken.is_none() && checker.state_count() < STEPS_MAX,
        depth: checker.max_depth(),
        took,
        broken,
        reached: reached.collect(),
        missed: missed.into_iter().map(|(event, _)| event.text()).collect(),
    }
}

/// A path in words, and the facts in the end.
fn describe(setting: &Setting, path: Path<World, Move>) -> String {
    let mut text = String::new();
    let mut last = None;
    for (n, (world, step)) in path.into_vec().into_iter().enumerate() {
        if let Some(step) = step {
            let at = (world.now - crate::setting::epoch()).as_seconds_f64();
            let _ = writeln!(text, "{:>3} {at:>8.3} s  {step}", n + 1);
        }
        last = Some(world);
    }
    let Some(world) = last else { return text };
    for (at, rows) in world.database.sagas.iter().enumerate() {
        let Some(stored) = &rows.stored else { continue };
        let _ = writeln!(text, "saga {at}, {}", setting.sagas[at].definition.outline().name);
        for record in &stored.records {
            let (step, op) = (record.step.as_deref().unwrap_or(""), record.op);
            let op = op.map_or("", amends::Op::as_str);
            let sends: Vec<_> = record
                .next
                .sends
                .iter()
                .map(|s| format!("{}:{}:{}", s.step, s.op, s.attempt))
                .collect();
            let status = record.next.status.map_or("", amends::machine::Status::as_str);
            let _ = writeln!(
                text,
                "  {:>2} {} {step} {op} {} {status} {}",
                record.seq,
                record.kind.as_str(),
                record.attempt,
                sends.join(" ")
            );
        }
        let seconds = |at: amends::machine::Time| (at - crate::setting::epoch()).as_seconds_f64();
        let timer = rows.timer.map(|at| at.map(seconds));
        let (mailbox, lock) = (&rows.mailbox, rows.lock);
        let _ = writeln!(text, "  timer {timer:?}, mailbox {mailbox:?}, lock {lock:?}");
    }
    text
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.states as f64 / self.took.as_secs_f64().max(0.001);
        writeln!(
            f,
            "{:<22} {:>10} states {:>11} steps  {:<5}  depth {:>3} {:>7.1} s {:>8.0} states/s",
            self.name,
            self.states,
            self.steps,
            if self.whole { "whole" } else { "cut" },
            self.depth,
            self.took.as_secs_f64(),
            rate
        )?;
        for Reached { event, times, steps } in &self.reached {
            let steps =
                steps.map_or_else(String::new, |steps| format!(", an example in {steps} steps"));
            writeln!(f, "    {event}: {times} times{steps}")?;
        }
        for event in &self.missed {
            writeln!(f, "    NEVER: {event}")?;
        }
        if let Some((guarantee, path)) = &self.broken {
            writeln!(f, "    BROKEN: {guarantee}\n{path}")?;
        }
        Ok(())
    }
}
