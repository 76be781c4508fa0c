//! Compensatable steps, then at most one pivot, then retriable ones. Whoever writes a plan in Rust is
//! held to it by the types; an outline may come from elsewhere.

use super::finding::Findings;
use crate::{Outline, StepKind};

pub(super) fn check(outline: &Outline, findings: &mut Findings<'_>) {
    let mut after_pivot = false;
    for stage in outline.stages() {
        let steps = &outline.steps[stage];
        let decided = after_pivot;
        for step in steps {
            match step.kind {
                StepKind::Compensatable if decided => {
                    findings
                        .error(step, "is compensatable, but stands after the pivot: no way back");
                }
                StepKind::Pivot if decided => {
                    findings.error(step, "is a second pivot: only one step can decide");
                }
                StepKind::Pivot if steps.len() > 1 => {
                    findings.error(step, "is a pivot beside other steps: it has to decide alone");
                }
                StepKind::Retriable if steps.iter().any(|s| s.kind != StepKind::Retriable) => {
                    findings
                        .error(step, "cannot be undone, but runs beside a step that can turn back");
                }
                StepKind::Compensatable | StepKind::Pivot | StepKind::Retriable => {}
            }
            after_pivot |= step.kind != StepKind::Compensatable;
        }
    }
}
