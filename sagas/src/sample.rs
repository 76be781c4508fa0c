//! Outlines for the tests of what reads outlines.

use crate::{
    Definition, Json, Outline, Retry, StepKind, StepOutline, Task, definition::StepCode,
    outline::OWN_SERVICE,
};

/// A call with default policies, named as its operation.
pub(crate) fn call(stage: u32, name: &str, kind: StepKind) -> StepOutline {
    let (service, operation) = name.split_once('.').unwrap_or((name, "do"));
    let retry = if kind == StepKind::Compensatable { Retry::ACTION } else { Retry::PERSISTENT };
    StepOutline {
        stage,
        name: name.into(),
        service: service.into(),
        operation: operation.into(),
        kind,
        needs: vec!["input".into()],
        retry,
        compensation_retry: Retry::PERSISTENT,
        attempt_timeout_ms: 15_000,
        within_ms: None,
        task: Task::Call,
        condition: None,
        each: None,
    }
}

/// A step that no service does.
pub(crate) fn own(stage: u32, name: &str, kind: StepKind, task: Task) -> StepOutline {
    let operation = task.operation().into();
    StepOutline { service: OWN_SERVICE.into(), operation, task, ..call(stage, name, kind) }
}

pub(crate) fn compensatable(stage: u32, name: &str) -> StepOutline {
    call(stage, name, StepKind::Compensatable)
}

pub(crate) fn pivot(stage: u32, name: &str) -> StepOutline {
    call(stage, name, StepKind::Pivot)
}

pub(crate) fn retriable(stage: u32, name: &str) -> StepOutline {
    call(stage, name, StepKind::Retriable)
}

pub(crate) fn nested(stage: u32, name: &str, kind: StepKind) -> StepOutline {
    let task = Task::Saga { definition: name.into(), version: 1, digest: String::new() };
    own(stage, name, kind, task)
}

pub(crate) fn outline(steps: Vec<StepOutline>) -> Outline {
    Outline {
        name: "trip".into(),
        version: 1,
        trigger: "trips.wanted".into(),
        keyed: true,
        locks: 0,
        deadline_ms: None,
        steps,
        output_needs: vec!["input".into()],
    }
}

/// A trip with one step of each sort.
pub(crate) fn trip() -> Outline {
    let mut flights = compensatable(1, "flight.book");
    flights.each = Some(4);
    let mut insurance = compensatable(1, "insurance.buy");
    insurance.condition = Some(vec!["input".into()]);
    let settled = Task::Event { subject: "payments.settled".into() };
    let mut settled = own(3, "payments.settled", StepKind::Compensatable, settled);
    settled.within_ms = Some(3_600_000);
    let cooling = Task::Delay { ms: 60_000 };
    outline(vec![
        compensatable(0, "hotel.book"),
        flights,
        insurance,
        nested(2, "rental", StepKind::Compensatable),
        settled,
        pivot(4, "card.charge"),
        own(5, "cooling-off", StepKind::Retriable, cooling),
        retriable(6, "mail.tickets"),
    ])
}

/// A definition of this outline; its code computes nothing.
pub(crate) fn definition(outline: Outline) -> Definition {
    parent(outline, Vec::new())
}

/// A definition whose nested steps are these sagas, in order.
pub(crate) fn parent(outline: Outline, children: Vec<Definition>) -> Definition {
    let mut children = children.into_iter();
    let code = outline.steps.iter().map(|step| {
        let nested = matches!(step.task, Task::Saga { .. });
        let child = if nested { children.next().map(|child| Ok(child.into())) } else { None };
        StepCode { child, ..StepCode::new(|_| Ok(())) }
    });
    let code = code.collect();
    Definition::of_parts(outline, code, Box::new(|_| Ok(Json::null())))
}
