//! What can go wrong, as data.

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::{Definition, Op, Outline, StepKind, StepOutline, Task};

/// Something that goes wrong once in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The action says no.
    Rejected,
    /// So many attempts break.
    Fails(u32),
    /// The first command is lost.
    LostCommand,
    /// The first reply is lost.
    LostReply,
    /// The first command arrives twice, and so does the reply.
    Duplicate,
    /// The first command arrives after all else has happened.
    LateCommand,
    /// The first reply arrives after its attempt has timed out.
    LateReply,
    /// No command arrives until nothing else happens.
    Unreachable,
    /// It is done, but no reply arrives until the step was given up.
    LateSuccess,
    /// An operator cancels the saga while the step is in flight.
    Cancel,
    /// The saga's deadline passes while the step is in flight.
    Deadline,
    /// The event that a step waits for comes before the saga begins.
    EarlyEvent,
    /// It comes after all else has happened.
    LateEvent,
    /// The orchestrator dies after so many writes (commits, publications, acks).
    Crash(u32),
}

impl Fault {
    const fn word(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Fails(_) => "fails",
            Self::LostCommand => "lost_command",
            Self::LostReply => "lost_reply",
            Self::Duplicate => "duplicate",
            Self::LateCommand => "late_command",
            Self::LateReply => "late_reply",
            Self::Unreachable => "unreachable",
            Self::LateSuccess => "late_success",
            Self::Cancel => "cancel",
            Self::Deadline => "deadline",
            Self::EarlyEvent => "early_event",
            Self::LateEvent => "late_event",
            Self::Crash(_) => "crash",
        }
    }
}

/// A fault, and where it happens: `lost_reply inventory.reserve:action`, `crash 7`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Planned {
    /// What goes wrong.
    pub fault: Fault,
    /// At which half of which step; nowhere for a crash.
    pub at: Option<(String, Op)>,
}

impl Planned {
    /// The orchestrator dies after so many writes.
    #[must_use]
    pub const fn crash(after: u32) -> Self {
        Self { fault: Fault::Crash(after), at: None }
    }

    /// Whether it is meant for one of these steps, or for no step.
    pub(crate) fn is_at(&self, steps: &BTreeSet<String>) -> bool {
        self.at.as_ref().is_none_or(|(step, _)| steps.contains(step))
    }

    /// Whether it is meant for this half of this step, or of an element of this list.
    pub(crate) fn hits(&self, step: &str, op: Op) -> bool {
        let element = |rest: &str| rest.strip_prefix('.').is_some_and(|n| n.parse::<u32>().is_ok());
        self.at.as_ref().is_some_and(|(name, half)| {
            *half == op
                && step.strip_prefix(name).is_some_and(|rest| rest.is_empty() || element(rest))
        })
    }
}

/// All faults at all steps of a plan and of the sagas within it, but crashes: how many writes there
/// are shows only in a run. `never_rejects` says which steps' services cannot say no.
pub(crate) fn everywhere(
    definition: &Definition,
    never_rejects: impl Fn(&StepOutline) -> bool,
) -> Vec<Planned> {
    let mut all = Vec::new();
    let children = definition.children();
    let outlines = children.iter().map(|child| child.outline());
    for outline in std::iter::once(definition.outline()).chain(outlines) {
        for step in &outline.steps {
            let mut add = |op, faults: Vec<Fault>| {
                let at = |fault| Planned { fault, at: Some((step.name.clone(), op)) };
                all.extend(faults.into_iter().map(at));
            };
            let may_reject = step.kind != StepKind::Retriable && !never_rejects(step);
            add(Op::Action, of_action(outline, step, may_reject));
            if step.kind == StepKind::Compensatable && step.task.is_call() {
                add(Op::Compensation, of_both(step.compensation_retry.attempts()));
            }
        }
    }
    all.sort();
    all.dedup();
    all
}

fn of_action(outline: &Outline, step: &StepOutline, may_reject: bool) -> Vec<Fault> {
    match step.task {
        Task::Event { .. } => vec![Fault::EarlyEvent, Fault::Duplicate, Fault::LateEvent],
        Task::Call => {
            let mut faults = of_both(step.retry.attempts());
            faults.extend([Fault::LateSuccess, Fault::Cancel]);
            faults.extend(may_reject.then_some(Fault::Rejected));
            faults.extend(outline.deadline_ms.map(|_| Fault::Deadline));
            faults
        }
        _ => Vec::new(),
    }
}

/// What can happen to an action as well as to a compensation.
fn of_both(attempts: u32) -> Vec<Fault> {
    vec![
        Fault::Fails(1),
        Fault::Fails(attempts),
        Fault::LostCommand,
        Fault::LostReply,
        Fault::Duplicate,
        Fault::LateCommand,
        Fault::LateReply,
        Fault::Unreachable,
    ]
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fault.word())?;
        if let Fault::Fails(n) | Fault::Crash(n) = self.fault {
            write!(f, " {n}")?;
        }
        if let Some((step, op)) = &self.at {
            write!(f, " {step}:{op}")?;
        }
        Ok(())
    }
}

impl FromStr for Planned {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no fault: `lost_reply inventory.reserve:action` is one");
        let mut words = text.split_whitespace();
        let word = words.next().ok_or_else(wrong)?;
        let mut number = || words.next().and_then(|n| n.parse().ok()).ok_or_else(wrong);
        let fault = match word {
            "rejected" => Fault::Rejected,
            "fails" => Fault::Fails(number()?),
            "lost_command" => Fault::LostCommand,
            "lost_reply" => Fault::LostReply,
            "duplicate" => Fault::Duplicate,
            "late_command" => Fault::LateCommand,
            "late_reply" => Fault::LateReply,
            "unreachable" => Fault::Unreachable,
            "late_success" => Fault::LateSuccess,
            "cancel" => Fault::Cancel,
            "deadline" => Fault::Deadline,
            "early_event" => Fault::EarlyEvent,
            "late_event" => Fault::LateEvent,
            "crash" => return Ok(Self::crash(number()?)),
            _ => return Err(wrong()),
        };
        let (step, op) = words.next().and_then(|at| at.rsplit_once(':')).ok_or_else(wrong)?;
        let op = op.parse().map_err(|_| wrong())?;
        Ok(Self { fault, at: Some((step.to_owned(), op)) })
    }
}
