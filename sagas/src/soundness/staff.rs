//! Each step that a service does has a handler there.

use super::finding::Findings;
use crate::{Handler, Outline, StepKind};

pub(super) fn check(outline: &Outline, handlers: &[Handler], findings: &mut Findings<'_>) {
    for step in outline.steps.iter().filter(|step| step.task.is_call()) {
        let (service, operation) = (step.service.as_str(), step.operation.as_str());
        let mut of_service = handlers.iter().filter(|h| h.service() == service).peekable();
        if of_service.peek().is_none() {
            findings.error(
                step,
                format!("no worker does the service `{service}`: its commands would wait"),
            );
            continue;
        }
        match of_service.find(|h| h.operation() == operation) {
            None => findings.error(step, format!("`{service}` does not handle `{operation}`")),
            Some(handler) if step.kind == StepKind::Compensatable && !handler.compensates() => {
                findings.error(
                    step,
                    format!("`{service}` does not handle its compensation: register it with `.step`, not `.forward`"),
                );
            }
            Some(_) => {}
        }
    }
}
