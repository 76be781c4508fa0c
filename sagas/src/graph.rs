//! A plan as a picture: what a box says is the same for each way of drawing.

mod mermaid;
mod svg;

use crate::{Outline, StepKind, StepOutline, Task, duration::span};

pub use mermaid::mermaid;
pub use svg::svg;

/// What happens on the way back, on an arrow.
const UNDO: &str = "undo";

/// What stands behind the pivot, on an arrow.
const NO_WAY_BACK: &str = "no way back";

/// The style of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Compensatable,
    Pivot,
    Retriable,
    Wait,
}

impl Style {
    fn of(step: &StepOutline) -> Self {
        match step.kind {
            _ if !step.task.has_effect() => Self::Wait,
            StepKind::Compensatable => Self::Compensatable,
            StepKind::Pivot => Self::Pivot,
            StepKind::Retriable => Self::Retriable,
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Compensatable => "compensatable",
            Self::Pivot => "pivot",
            Self::Retriable => "retriable",
            Self::Wait => "wait",
        }
    }
}

/// What a box says below the step's name: what it is, and on what terms.
fn lines(step: &StepOutline) -> Vec<String> {
    let kind = step.kind.as_str();
    let what = match &step.task {
        Task::Call => {
            let (attempts, each) = (step.retry.attempts(), span(step.attempt_timeout_ms));
            format!("{kind} · {attempts} attempts of {each}")
        }
        Task::Event { subject } => format!("waits for {subject}"),
        Task::Delay { ms } => format!("waits {}", span(*ms)),
        Task::Until => "waits until a time".to_owned(),
        Task::Saga { definition, version, .. } => {
            format!("{kind} · the saga {definition}@{version}")
        }
    };
    let renamed = step.task.is_call() && step.name != step.work();
    let terms = [
        renamed.then(|| format!("does {}", step.work())),
        step.each.map(|at_once| format!("for each, {at_once} at once")),
        step.within_ms.map(|within| format!("within {}", span(within))),
        step.condition.as_ref().map(|reads| format!("only if {}", reads.join(" + "))),
    ];
    let terms: Vec<_> = terms.into_iter().flatten().collect();
    std::iter::once(what).chain((!terms.is_empty()).then(|| terms.join(" · "))).collect()
}

/// What starts a saga, and on what terms.
fn opening(outline: &Outline) -> Vec<String> {
    let terms = [
        outline.keyed.then(|| "one saga per key".to_owned()),
        match outline.locks {
            0 => None,
            1 => Some("under a lock".to_owned()),
            n => Some(format!("under {n} locks")),
        },
        outline.deadline_ms.map(|deadline| format!("within {}", span(deadline))),
    ];
    let terms: Vec<_> = terms.into_iter().flatten().collect();
    let mut lines = vec![outline.trigger.clone()];
    lines.extend((!terms.is_empty()).then(|| terms.join(" · ")));
    lines
}

/// Whether a saga can turn back from these steps.
fn turns_back(steps: &[StepOutline]) -> bool {
    steps.iter().any(|step| step.kind != StepKind::Retriable)
}

/// Whether there is something to undo in these steps.
fn is_undone(steps: &[StepOutline]) -> bool {
    steps.iter().any(|step| step.kind == StepKind::Compensatable && step.task.has_effect())
}

/// Whether one of these is the pivot.
fn decides(steps: &[StepOutline]) -> bool {
    steps.iter().any(|step| step.kind == StepKind::Pivot)
}

#[cfg(test)]
mod tests;
