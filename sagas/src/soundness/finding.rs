//! A finding, and how it is told.

use std::fmt;

use serde::Serialize;

use crate::StepOutline;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Some saga cannot go as its definition says.
    Error,
    /// It works, but perhaps not as its author thinks.
    Warning,
}

impl Severity {
    /// The word used in print.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Something that [`check`](super::check) found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The definition, as `name@version`.
    pub definition: String,
    /// The step, if it is about one.
    pub step: Option<String>,
    /// What is wrong, in a sentence that says what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity.as_str(), self.definition)?;
        if let Some(step) = &self.step {
            write!(f, " {step}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// What was found in one definition.
pub(super) struct Findings<'a> {
    definition: String,
    found: &'a mut Vec<Finding>,
}

impl<'a> Findings<'a> {
    pub(super) fn of(definition: String, found: &'a mut Vec<Finding>) -> Self {
        Self { definition, found }
    }

    fn add(&mut self, severity: Severity, step: Option<&StepOutline>, message: String) {
        let (definition, step) = (self.definition.clone(), step.map(|step| step.name.clone()));
        self.found.push(Finding { severity, definition, step, message });
    }

    pub(super) fn whole(&mut self, message: impl Into<String>) {
        self.add(Severity::Error, None, message.into());
    }

    pub(super) fn error(&mut self, step: &StepOutline, message: impl Into<String>) {
        self.add(Severity::Error, Some(step), message.into());
    }

    pub(super) fn warning(&mut self, step: &StepOutline, message: impl Into<String>) {
        self.add(Severity::Warning, Some(step), message.into());
    }
}
