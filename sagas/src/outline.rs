//! What a plan looks like as data: printed, stored, compared and pinned by a digest.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Retry, duration::span};

/// Most elements of a list: a saga's state is read and written whole.
pub const ELEMENTS_MAX: usize = 1000;

/// A definition's plan as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    /// The definition's name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// The subject that starts it.
    pub trigger: String,
    /// Whether the trigger names a business key.
    pub keyed: bool,
    /// How many locks a saga takes before it goes on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub locks: u32,
    /// How long a saga may take until it turns back, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The steps in order of the plan; those of one stage run in parallel.
    pub steps: Vec<StepOutline>,
    /// What the saga's output is made of.
    pub output_needs: Vec<String>,
}

/// A step as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutline {
    /// The stage it belongs to, from 0.
    pub stage: u32,
    /// Its name within the saga.
    pub name: String,
    /// The service that does it.
    pub service: String,
    /// The operation of that service.
    pub operation: String,
    /// Its place before, at or after the pivot.
    pub kind: StepKind,
    /// What its input is made of: `input`, or names of steps.
    pub needs: Vec<String>,
    /// How the action is repeated.
    pub retry: Retry,
    /// How the compensation is repeated.
    pub compensation_retry: Retry,
    /// How long one attempt may take, in milliseconds.
    pub attempt_timeout_ms: u64,
    /// How long the action may take with all retries, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
    /// What kind of work it is.
    #[serde(default, skip_serializing_if = "Task::is_call")]
    pub task: Task,
    /// What its condition reads, if it runs only under one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Vec<String>>,
    /// For a list, how many of its elements run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<u32>,
}

/// What kind of work a step is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// A service does it.
    #[default]
    Call,
    /// Waits for an event on a subject.
    Event {
        /// The subject.
        subject: String,
    },
    /// Waits for some time.
    Delay {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// Waits until a time that is known when it begins.
    Until,
    /// Another saga.
    Saga {
        /// Its definition.
        definition: String,
        /// The definition's version.
        version: u32,
        /// The digest of its plan.
        digest: String,
    },
}

impl Task {
    /// Whether a service does it.
    #[must_use]
    pub const fn is_call(&self) -> bool {
        matches!(self, Self::Call)
    }

    /// Whether it changes something that can be undone: waiting does not.
    #[must_use]
    pub const fn has_effect(&self) -> bool {
        matches!(self, Self::Call | Self::Saga { .. })
    }

    /// The word used in SQL.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Call => "call",
            task => task.operation(),
        }
    }

    /// What stands as the operation of a step that no service does.
    pub(crate) const fn operation(&self) -> &'static str {
        match self {
            Self::Call => "",
            Self::Event { .. } => "event",
            Self::Delay { .. } | Self::Until => "delay",
            Self::Saga { .. } => "saga",
        }
    }
}

/// The name of a list's element.
pub(crate) fn element_name(list: &str, element: usize) -> String {
    format!("{list}.{element}")
}

/// What stands as the service of a step that no service does.
pub(crate) const OWN_SERVICE: &str = "amends";

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// Richardson's three kinds of steps (Microservices Patterns, 4.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    /// Before the pivot: can be undone.
    Compensatable,
    /// Decides: once it is done the saga only goes forward.
    Pivot,
    /// After the pivot: repeated until done.
    Retriable,
}

impl StepKind {
    /// The word used in SQL and in print.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compensatable => "compensatable",
            Self::Pivot => "pivot",
            Self::Retriable => "retriable",
        }
    }
}

impl Outline {
    /// A digest of everything above, as 32 hex digits: two outlines with the same digest are the
    /// same plan. Functions that map values are code and not part of it; which values they read is.
    #[must_use]
    pub fn digest(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let hash = Sha256::digest(&text);
        hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// `name@version`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The step's position in the plan.
    #[must_use]
    pub fn position(&self, step: &str) -> Option<usize> {
        self.steps.iter().position(|s| s.name == step)
    }

    /// The list and the number that an element's name says: `<list>.<n>`.
    #[must_use]
    pub fn element(&self, name: &str) -> Option<(usize, usize)> {
        let (list, n) = name.rsplit_once('.')?;
        let digits = n.bytes().all(|b| b.is_ascii_digit()) && (n == "0" || !n.starts_with('0'));
        Some((self.position(list)?, n.parse().ok().filter(|_| digits)?))
    }

    /// The stages in order: each a range of positions.
    pub fn stages(&self) -> impl DoubleEndedIterator<Item = std::ops::Range<usize>> + '_ {
        let last = self.steps.last().map_or(0, |s| s.stage + 1);
        (0..last).map(|stage| {
            let start = self.steps.partition_point(|s| s.stage < stage);
            start..self.steps.partition_point(|s| s.stage <= stage)
        })
    }

    /// The services that the plan calls, each once.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        let calls = self.steps.iter().filter(|s| s.task.is_call());
        let mut names: Vec<_> = calls.map(|s| s.service.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter()
    }
}

/// The plan as a tree, one step a line.
impl fmt::Display for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}  on {}", self.name, self.version, self.trigger)?;
        if self.keyed {
            write!(f, ", one saga per key")?;
        }
        if self.locks > 0 {
            write!(f, ", under {}", if self.locks == 1 { "a lock" } else { "locks" })?;
        }
        if let Some(deadline) = self.deadline_ms {
            write!(f, ", within {}", span(deadline))?;
        }
        writeln!(f)?;
        let stages: Vec<_> = self.stages().collect();
        for (n, stage) in stages.iter().enumerate() {
            let last = n + 1 == stages.len();
            let (branch, trunk) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            if stage.len() == 1 {
                writeln!(f, "{branch}{}", self.steps[stage.start])?;
                continue;
            }
            writeln!(f, "{branch}together")?;
            for at in stage.clone() {
                let twig = if at + 1 == stage.end { "└─ " } else { "├─ " };
                writeln!(f, "{trunk}{twig}{}", self.steps[at])?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for StepOutline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Task::Call => self.call(f)?,
            Task::Event { subject } => write!(f, "{}  waits for {subject}", self.name)?,
            Task::Delay { ms } => write!(f, "{}  waits {}", self.name, span(*ms))?,
            Task::Until => write!(f, "{}  waits until", self.name)?,
            Task::Saga { definition, version, .. } => {
                write!(
                    f,
                    "{}  {}, is the saga {definition}@{version}",
                    self.name,
                    self.kind.as_str()
                )?;
            }
        }
        if let Some(within) = self.within_ms {
            write!(f, " within {}", span(within))?;
        }
        if !self.needs.is_empty() {
            write!(f, ", from {}", self.needs.join(" + "))?;
        }
        self.condition.as_ref().map_or(Ok(()), |reads| write!(f, ", if {}", reads.join(" + ")))
    }
}

impl StepOutline {
    /// `<service>.<operation>`.
    pub(crate) fn work(&self) -> String {
        format!("{}.{}", self.service, self.operation)
    }

    fn call(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.name, self.kind.as_str())?;
        if let Some(at_once) = self.each {
            write!(f, ", for each, {at_once} at once")?;
        }
        if self.name != self.work() {
            write!(f, ", does {}", self.work())?;
        }
        write!(f, ", {} attempts of {}", self.retry.attempts(), span(self.attempt_timeout_ms))
    }
}
