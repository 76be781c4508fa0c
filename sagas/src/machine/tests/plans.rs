//! Random plans as data, and definitions made of them.

use std::{ops::Range, time::Duration};

use proptest::{collection::vec, option, prelude::*};

use crate::{
    Definition, Json, MapError, Outline, Retry, StepKind, StepOutline, Task,
    plan::{Env, Eval, Input, StepCode},
};

/// An output that no mapping can read.
pub(super) const UNREADABLE: &str = r#"{"no":"field"}"#;

pub(super) const SERVICES: [&str; 3] = ["red", "green", "blue"];

#[derive(Debug, Clone)]
struct Draw {
    service: usize,
    limits: (u32, u32),
    attempt_timeout_ms: u64,
    within_ms: Option<u64>,
    needs: u32,
}

fn draw() -> impl Strategy<Value = Draw> {
    let within = option::weighted(0.2, 500_u64..60_000);
    (0..SERVICES.len(), (1_u32..=4, 1_u32..=4), 500_u64..20_000, within, any::<u32>()).prop_map(
        |(service, limits, attempt_timeout_ms, within_ms, needs)| Draw {
            service,
            limits,
            attempt_timeout_ms,
            within_ms,
            needs,
        },
    )
}

/// 1 to 6 stages of 1 to 4 steps, with the pivot at any of them or nowhere.
pub(super) fn outline() -> impl Strategy<Value = Outline> {
    let stages = vec(vec(draw(), 1..=4), 1..=6);
    (stages, option::of(0_usize..6), any::<u32>()).prop_map(|(stages, pivot, needs)| {
        let mut outline = empty();
        for (stage, draws) in stages.into_iter().enumerate() {
            let (kind, width) = match pivot {
                Some(pivot) if stage == pivot => (StepKind::Pivot, 1),
                Some(pivot) if stage > pivot => (StepKind::Retriable, draws.len()),
                _ => (StepKind::Compensatable, draws.len()),
            };
            let known = outline.steps.len();
            for draw in &draws[..width] {
                let needs = needs_of(draw.needs, 0..known);
                outline.steps.push(step(outline.steps.len(), stage, kind, draw, needs));
            }
        }
        outline.output_needs = needs_of(needs, 0..outline.steps.len());
        outline
    })
}

fn empty() -> Outline {
    Outline {
        name: "random".into(),
        version: 1,
        trigger: "random.trigger".into(),
        keyed: false,
        locks: 0,
        deadline_ms: None,
        steps: Vec::new(),
        output_needs: Vec::new(),
    }
}

/// Nothing (the value is then `null`), or some of the saga's input and the steps before.
fn needs_of(mask: u32, known: Range<usize>) -> Vec<String> {
    let names = std::iter::once("input".to_owned()).chain(known.map(name));
    names.enumerate().filter(|(n, _)| mask & (1 << (n % 32)) != 0).map(|(_, name)| name).collect()
}

fn name(step: usize) -> String {
    format!("step-{step}")
}

fn step(at: usize, stage: usize, kind: StepKind, draw: &Draw, needs: Vec<String>) -> StepOutline {
    let retry = Retry::exponential(Duration::from_millis(100), Duration::from_secs(10));
    StepOutline {
        stage: u32::try_from(stage).unwrap(),
        name: name(at),
        service: SERVICES[draw.service].into(),
        operation: format!("work-{at}"),
        kind,
        needs,
        retry: retry.limit(draw.limits.0),
        compensation_retry: retry.limit(draw.limits.1),
        attempt_timeout_ms: draw.attempt_timeout_ms,
        within_ms: draw.within_ms,
        task: Task::Call,
        condition: None,
        each: None,
    }
}

/// A definition whose values record what they were made of.
pub(super) fn definition(outline: Outline) -> Definition {
    made_of(outline, UNREADABLE)
}

/// The same, after a deploy of mappings that read whatever comes.
pub(super) fn repaired(outline: Outline) -> Definition {
    made_of(outline, "")
}

fn made_of(outline: Outline, unreadable: &'static str) -> Definition {
    let code = |s: &StepOutline| StepCode {
        input: Input::Eval(reader(&outline, &s.needs, unreadable)),
        ..StepCode::new(|_| Ok(()))
    };
    let inputs = outline.steps.iter().map(code).collect();
    let output = reader(&outline, &outline.output_needs, unreadable);
    Definition::of_parts(outline, inputs, output)
}

fn reader(outline: &Outline, needs: &[String], unreadable: &'static str) -> Eval {
    let sources: Vec<_> = needs.iter().map(|need| outline.position(need)).collect();
    Box::new(move |env| {
        let mut read = Vec::with_capacity(sources.len());
        for source in &sources {
            read.push(value(env, *source, unreadable).ok_or_else(MapError::panicked)?.as_str());
        }
        let text = if read.is_empty() { "null".into() } else { format!("[{}]", read.join(",")) };
        Ok(Json::trusted(&text))
    })
}

fn value<'a>(env: &Env<'a>, source: Option<usize>, unreadable: &str) -> Option<&'a Json> {
    let Some(step) = source else { return Some(env.input) };
    (env.output)(step).filter(|output| output.as_str() != unreadable)
}
