//! What a test gives the matrix and no run uses: it would look as if it were tested.

use super::{model::Invariant, report::Coverage, sim::External};
use crate::{Definition, Outline, Task};

/// Why no step can take some of these events.
pub(super) fn unawaited(definition: &Definition, events: &[External]) -> Vec<String> {
    events.iter().filter_map(|event| why_unawaited(definition, event)).collect()
}

fn why_unawaited(definition: &Definition, event: &External) -> Option<String> {
    let (name, subject) = (&definition.outline().name, &event.subject);
    let children = definition.children();
    let definitions = || std::iter::once(definition).chain(children.iter().map(|child| &**child));
    let awaited: Vec<_> = definitions().flat_map(|d| subjects(d.outline())).collect();
    if awaited.is_empty() {
        return Some(format!(
            "no step of `{name}` waits for an event: leave `.event(\"{subject}\", …)` out"
        ));
    }
    if !awaited.contains(&subject.as_str()) {
        let awaited = awaited.join("`, `");
        return Some(format!(
            "no step of `{name}` waits for an event on `{subject}`: give one on `{awaited}`, or leave `.event(\"{subject}\", …)` out"
        ));
    }
    let mut wrong = None;
    for definition in definitions() {
        for (at, step) in definition.outline().steps.iter().enumerate() {
            if !waits_for(&step.task, subject) {
                continue;
            }
            match definition.matches(at, &event.body) {
                Ok(_) => return None,
                Err(error) => wrong = Some(format!("`.event(\"{subject}\", …)`: {error}")),
            }
        }
    }
    wrong
}

fn subjects(outline: &Outline) -> impl Iterator<Item = &str> {
    outline.steps.iter().filter_map(|step| match &step.task {
        Task::Event { subject } => Some(subject.as_str()),
        _ => None,
    })
}

fn waits_for(task: &Task, wanted: &str) -> bool {
    matches!(task, Task::Event { subject } if subject == wanted)
}

/// What no run has used: events that no saga took, and conditions on ends that no run had.
pub(super) fn never_used<W>(
    coverage: &Coverage,
    events: &[External],
    invariants: &[Invariant<W>],
    key: Option<&str>,
) -> Vec<String> {
    let untaken = events.iter().enumerate().filter(|(n, _)| !coverage.took(*n));
    let untaken = untaken.map(|(_, event)| {
        let subject = &event.subject;
        let key = key.map_or_else(String::new, |key| format!(" (`{key}`)"));
        format!(
            "no run took the event of `.event(\"{subject}\", …)`: let `.matching(…)` find in it the saga's business key{key}, or the value that the step's `.key(…)` names; or leave the event out"
        )
    });
    let unreached = invariants.iter().filter_map(|invariant| {
        let status = invariant.status.filter(|status| !coverage.ended(*status))?;
        let (name, ends) = (&invariant.name, coverage.ends());
        Some(format!(
            "no run ended {status}, so `.ends(Status::{status:?}, \"{name}\", …)` was never asked: the runs ended {ends}; leave it out, or let the model lead there"
        ))
    });
    untaken.chain(unreached).collect()
}
