//! What is different between two plans, for whoever deploys one after the other.

mod difference;
mod moves;
mod policies;

use crate::{Outline, StepOutline};
pub use difference::{Difference, DifferenceKind};
use moves::moved;

/// What a deploy from `old` to `new` changes: the saga as a whole, then its steps in the new order,
/// then those that are gone. A step that only has another name is told as renamed. Versions and the
/// functions that map values are not compared.
///
/// ```
/// # use amends::{Outline, diff};
/// # fn show(old: &Outline, new: &Outline) {
/// for difference in diff(old, new) {
///     println!("{difference}"); // ~ hotel.book: action: 10 attempts, … → 20 attempts, …
/// }
/// # }
/// ```
#[must_use]
pub fn diff(old: &Outline, new: &Outline) -> Vec<Difference> {
    let pairs = pairs(old, new);
    let mut differences = whole(old, new);
    for (at, step) in new.steps.iter().enumerate() {
        match pairs.iter().find(|(_, new)| *new == at) {
            Some((before, _)) => differences.extend(policies::changed(&old.steps[*before], step)),
            None => differences.push(added(old, new, at)),
        }
    }
    differences.extend(moved(old, new, &pairs));
    for (at, step) in old.steps.iter().enumerate() {
        if pairs.iter().all(|(before, _)| *before != at) {
            differences.push(removed(old, new, step));
        }
    }
    differences
}

/// Which step of the old plan is which of the new one: by name, then by what they do.
fn pairs(old: &Outline, new: &Outline) -> Vec<(usize, usize)> {
    let by_name = |(at, step): (usize, &StepOutline)| Some((at, new.position(&step.name)?));
    let mut pairs: Vec<_> = old.steps.iter().enumerate().filter_map(by_name).collect();
    for (before, step) in old.steps.iter().enumerate() {
        let free = |at: &usize| pairs.iter().all(|(_, new)| new != at);
        let same = |at: &usize| {
            let other = &new.steps[*at];
            let work = other.work() == step.work() && other.kind == step.kind;
            work && other.task == step.task && old.position(&other.name).is_none()
        };
        if new.position(&step.name).is_none()
            && let Some(at) = (0..new.steps.len()).find(|at| free(at) && same(at))
        {
            pairs.push((before, at));
        }
    }
    pairs.sort_unstable();
    pairs
}

fn added(old: &Outline, new: &Outline, at: usize) -> Difference {
    let step = &new.steps[at];
    let (text, place) = (step.to_string(), moves::place(new, at));
    let text = text.strip_prefix(&step.name).unwrap_or(&text).trim().to_owned();
    let added =
        Difference::new(DifferenceKind::Added, Some(&step.name), format!("{text}; {place}"));
    if step.task.is_call() && old.steps.iter().all(|s| s.work() != step.work()) {
        return added.caution(format!(
            "deploy the workers of `{}` that handle `{}` first",
            step.service, step.operation
        ));
    }
    added
}

fn removed(old: &Outline, new: &Outline, step: &StepOutline) -> Difference {
    let removed = Difference::new(
        DifferenceKind::Removed,
        Some(&step.name),
        format!("is gone; was {}", step.kind.as_str()),
    );
    if step.task.is_call() && new.steps.iter().all(|s| s.work() != step.work()) {
        return removed.caution(format!(
            "keep the workers of `{}` that handle `{}` until no saga of {} is open",
            step.service,
            step.operation,
            old.title()
        ));
    }
    removed
}

/// What concerns the saga as a whole.
fn whole(old: &Outline, new: &Outline) -> Vec<Difference> {
    let mut differences = Vec::new();
    if old.trigger != new.trigger {
        let change = format!("starts on {} → {}", old.trigger, new.trigger);
        let caution =
            format!("events on {} start no saga once only {} runs", old.trigger, new.title());
        differences.push(Difference::whole(change).caution(caution));
    }
    match (old.keyed, new.keyed) {
        (true, false) => differences.push(
            Difference::whole("one saga per key → one per message".into())
                .caution("what is published twice starts two sagas"),
        ),
        (false, true) => {
            differences.push(Difference::whole("one saga per message → one per key".into()));
        }
        _ => {}
    }
    if old.locks != new.locks {
        let change = format!("locks: {} → {}", old.locks, new.locks);
        let caution = format!(
            "sagas of {} and {} do not take turns where their locks differ",
            old.title(),
            new.title()
        );
        differences.push(Difference::whole(change).caution(caution));
    }
    if old.deadline_ms != new.deadline_ms {
        let change = policies::times("deadline", old.deadline_ms, new.deadline_ms);
        differences.push(Difference::whole(change));
    }
    if old.output_needs != new.output_needs {
        let change = policies::reads("output from", &old.output_needs, &new.output_needs);
        differences.push(
            Difference::whole(change).caution("whoever reads the output of sagas meets both forms"),
        );
    }
    differences
}

#[cfg(test)]
mod tests;
