//! What is different in one step.

use super::difference::Difference;
use crate::{Retry, StepKind, StepOutline, Task, duration::span};

pub(super) fn changed(old: &StepOutline, new: &StepOutline) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut note = |change: Option<String>| {
        differences.extend(change.map(|change| Difference::changed(&new.name, change)));
    };
    note(differs("kind", old.kind.as_str(), new.kind.as_str()));
    note((old.needs != new.needs).then(|| reads("input from", &old.needs, &new.needs)));
    note(condition(old, new));
    note((old.within_ms != new.within_ms).then(|| times("within", old.within_ms, new.within_ms)));
    if new.task.is_call() {
        note(retry("action", old.retry, new.retry));
        if new.kind == StepKind::Compensatable {
            note(retry("compensation", old.compensation_retry, new.compensation_retry));
        }
        note(differs(
            "attempt timeout",
            &span(old.attempt_timeout_ms),
            &span(new.attempt_timeout_ms),
        ));
        note(differs("at once", &at_once(old), &at_once(new)));
    }
    differences.splice(0..0, identity(old, new));
    differences
}

/// What it is called, and what it does.
fn identity(old: &StepOutline, new: &StepOutline) -> Vec<Difference> {
    let mut differences = Vec::new();
    if old.name != new.name {
        let renamed = Difference::changed(&new.name, format!("renamed, was {}", old.name));
        differences.push(if matches!(new.task, Task::Event { .. }) {
            renamed.caution("an event that came before the deploy is kept for the old name only")
        } else {
            renamed
        });
    }
    if old.task != new.task {
        let change = match (&old.task, &new.task) {
            (Task::Saga { digest: was, .. }, Task::Saga { digest: is, .. })
                if task(&old.task) == task(&new.task) && was != is =>
            {
                format!("the plan of {} changed", task(&new.task))
            }
            _ => format!("{} → {}", task(&old.task), task(&new.task)),
        };
        differences.push(Difference::changed(&new.name, change));
    }
    if old.work() != new.work() && new.task.is_call() {
        let change = format!("does {} → {}", old.work(), new.work());
        let first = format!(
            "deploy the workers of `{}` that handle `{}` first",
            new.service, new.operation
        );
        differences.push(Difference::changed(&new.name, change).caution(first));
    }
    differences
}

fn differs(what: &str, old: &str, new: &str) -> Option<String> {
    (old != new).then(|| format!("{what}: {old} → {new}"))
}

fn retry(what: &str, old: Retry, new: Retry) -> Option<String> {
    differs(what, &old.to_string(), &new.to_string())
}

fn condition(old: &StepOutline, new: &StepOutline) -> Option<String> {
    match (&old.condition, &new.condition) {
        (None, Some(reads)) => Some(format!("always → only if {}", reads.join(" + "))),
        (Some(reads), None) => Some(format!("only if {} → always", reads.join(" + "))),
        (Some(old), Some(new)) if old != new => Some(reads("only if", old, new)),
        _ => None,
    }
}

fn at_once(step: &StepOutline) -> String {
    step.each.map_or_else(|| "one call".to_owned(), |elements| format!("{elements} of a list"))
}

pub(super) fn times(what: &str, old: Option<u64>, new: Option<u64>) -> String {
    let text = |time: Option<u64>| time.map_or_else(|| "none".to_owned(), span);
    format!("{what}: {} → {}", text(old), text(new))
}

pub(super) fn reads(what: &str, old: &[String], new: &[String]) -> String {
    let text = |names: &[String]| match names {
        [] => "nothing".to_owned(),
        names => names.join(" + "),
    };
    format!("{what} {} → {}", text(old), text(new))
}

/// What a step is beside a call, in words.
pub(super) fn task(task: &Task) -> String {
    match task {
        Task::Call => "a call".to_owned(),
        Task::Event { subject } => format!("a wait for {subject}"),
        Task::Delay { ms } => format!("a wait of {}", span(*ms)),
        Task::Until => "a wait until a time".to_owned(),
        Task::Saga { definition, version, .. } => format!("the saga {definition}@{version}"),
    }
}
