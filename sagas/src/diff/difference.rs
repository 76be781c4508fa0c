//! What one difference is, and how it is told.

use std::fmt;

use serde::Serialize;

/// What sort of difference it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DifferenceKind {
    /// A step of the new plan only.
    Added,
    /// A step of the old plan only.
    Removed,
    /// A step, or the saga as a whole, that is in both.
    Changed,
}

/// One difference between two plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What sort.
    pub kind: DifferenceKind,
    /// The step in the new plan (a removed one in the old); `None` for the saga as a whole.
    pub step: Option<String>,
    /// What is different.
    pub change: String,
    /// What to see to while sagas of both plans run; `None`: nothing, as each saga ends under the
    /// plan it began with.
    pub caution: Option<String>,
}

impl Difference {
    pub(super) fn new(kind: DifferenceKind, step: Option<&str>, change: String) -> Self {
        Self { kind, step: step.map(str::to_owned), change, caution: None }
    }

    pub(super) fn changed(step: &str, change: String) -> Self {
        Self::new(DifferenceKind::Changed, Some(step), change)
    }

    pub(super) fn whole(change: String) -> Self {
        Self::new(DifferenceKind::Changed, None, change)
    }

    pub(super) fn caution(self, caution: impl Into<String>) -> Self {
        Self { caution: Some(caution.into()), ..self }
    }
}

/// One line, and a second one for the caution.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            DifferenceKind::Added => '+',
            DifferenceKind::Removed => '-',
            DifferenceKind::Changed => '~',
        };
        let step = self.step.as_deref().unwrap_or("saga");
        write!(f, "{sign} {step}: {}", self.change)?;
        self.caution.as_ref().map_or(Ok(()), |caution| write!(f, "\n    mind: {caution}"))
    }
}
