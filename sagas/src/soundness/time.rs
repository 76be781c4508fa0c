//! Times that cannot be kept.

use super::finding::Findings;
use crate::{Definition, Retry, StepKind, StepOutline, Task, duration::span};

pub(super) fn check(definition: &Definition, bounded: bool, findings: &mut Findings<'_>) {
    let outline = definition.outline();
    let bounded = bounded || outline.deadline_ms.is_some();
    for step in &outline.steps {
        match &step.task {
            Task::Call => {
                within(step, findings);
                compensation(step, findings);
                last_word(step, findings);
            }
            Task::Event { .. } if step.within_ms.is_none() && !bounded => {
                findings.warning(
                    step,
                    "may wait for ever: give it a `.within(…)`, or the saga a deadline",
                );
            }
            Task::Event { .. } | Task::Delay { .. } | Task::Until | Task::Saga { .. } => {}
        }
    }
    deadline(definition, findings);
}

/// A limit has to leave room for what it limits.
fn within(step: &StepOutline, findings: &mut Findings<'_>) {
    let Some(within) = step.within_ms else { return };
    let attempt = step.attempt_timeout_ms;
    let again = attempt.saturating_add(step.retry.first_ms());
    let budget = budget(step.retry, attempt);
    let limit = span(within);
    if within < attempt {
        let attempt = span(attempt);
        findings.error(
            step,
            format!("is given up after {limit}, before its first attempt may time out ({attempt}): lengthen `.within(…)`, or shorten `.attempt_timeout(…)`"),
        );
    } else if step.retry.attempts() > 1 && within <= again {
        let again = span(again);
        findings.error(
            step,
            format!("is given up after {limit}, before an attempt that timed out is repeated ({again}): lengthen `.within(…)`, or say `.limit(1)`"),
        );
    } else if within < budget {
        let (attempts, budget) = (step.retry.attempts(), span(budget));
        findings.warning(
            step,
            format!("is given up after {limit}, before its {attempts} attempts can all time out ({budget})"),
        );
    }
}

/// Who is away for long enough to lose the action may be away for the compensation too.
fn compensation(step: &StepOutline, findings: &mut Findings<'_>) {
    if step.kind != StepKind::Compensatable {
        return;
    }
    let action = longest_call(step);
    let undo = budget(step.compensation_retry, step.attempt_timeout_ms);
    if undo < action {
        let (undo, action) = (span(undo), span(action));
        findings.warning(
            step,
            format!("its compensation is given up after {undo}, sooner than the action ({action}): a service that is away for that long leaves the saga stuck"),
        );
    }
}

/// What must happen has to be repeated.
fn last_word(step: &StepOutline, findings: &mut Findings<'_>) {
    let (retry, what) = match step.kind {
        StepKind::Compensatable => (step.compensation_retry, "its compensation"),
        StepKind::Pivot | StepKind::Retriable => (step.retry, "it"),
    };
    if retry.attempts() == 1 {
        findings.warning(
            step,
            format!("{what} is not repeated: one broken attempt leaves the saga stuck"),
        );
    }
}

/// Before the pivot the deadline turns the saga back, so it has to be longer than the steps' own
/// patience. After it the deadline is only an alarm.
fn deadline(definition: &Definition, findings: &mut Findings<'_>) {
    let outline = definition.outline();
    let Some(deadline) = outline.deadline_ms else { return };
    let limit = span(deadline);
    let path = path(definition, |step| step.kind == StepKind::Compensatable);
    let too_long = |at: &usize| {
        let step = &outline.steps[*at];
        let nested = step.kind == StepKind::Compensatable && !step.task.is_call();
        nested && longest(definition, *at).is_some_and(|longest| longest > deadline)
    };
    let mut alone = (0..outline.steps.len()).filter(too_long).peekable();
    if alone.peek().is_none() && path > deadline {
        let path = span(path);
        findings.whole(format!(
            "its deadline of {limit} is shorter than what its steps may take until the pivot, with all their attempts ({path}): lengthen it, or give steps a `.within(…)` or fewer attempts"
        ));
    }
    for at in alone {
        let longest = span(longest(definition, at).unwrap_or(0));
        findings.error(
            &outline.steps[at],
            format!("may take {longest}, and the saga's deadline is {limit}"),
        );
    }
}

/// The longest that these steps may take, one stage after the other.
fn path(definition: &Definition, counts: impl Fn(&StepOutline) -> bool) -> u64 {
    let outline = definition.outline();
    let slowest = |stage: std::ops::Range<usize>| {
        let steps = stage.filter(|at| counts(&outline.steps[*at]));
        steps.filter_map(|at| longest(definition, at)).max().unwrap_or(0)
    };
    outline.stages().map(slowest).fold(0, u64::saturating_add)
}

/// The longest that a step may take; `None` when nothing says it.
fn longest(definition: &Definition, at: usize) -> Option<u64> {
    let step = &definition.outline().steps[at];
    match &step.task {
        Task::Call => Some(longest_call(step)),
        Task::Event { .. } => step.within_ms,
        Task::Delay { ms } => Some(*ms),
        Task::Until => None,
        Task::Saga { .. } => {
            let child = definition.child(at).map(|child| longest_saga(child));
            [child, step.within_ms].into_iter().flatten().min()
        }
    }
}

fn longest_call(step: &StepOutline) -> u64 {
    let budget = budget(step.retry, step.attempt_timeout_ms);
    step.within_ms.map_or(budget, |within| within.min(budget))
}

/// Until it has ended, if it does not turn back.
fn longest_saga(definition: &Definition) -> u64 {
    let before = path(definition, |step| step.kind == StepKind::Compensatable);
    let after = path(definition, |step| step.kind != StepKind::Compensatable);
    let before = definition.outline().deadline_ms.map_or(before, |deadline| before.min(deadline));
    before.saturating_add(after)
}

/// All attempts and the delays between them, when each attempt times out.
fn budget(retry: Retry, attempt_timeout_ms: u64) -> u64 {
    let delays = u64::try_from(retry.delays_max().as_millis()).unwrap_or(u64::MAX);
    u64::from(retry.attempts()).saturating_mul(attempt_timeout_ms).saturating_add(delays)
}
