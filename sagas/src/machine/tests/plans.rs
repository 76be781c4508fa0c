//! Random plans as data, and definitions made of them.

use std::{ops::Range, sync::Arc, time::Duration};

use crate::{
    Definition, Json, MapError, Outline, Retry, StepKind, StepOutline, Task,
    definition::{Input, Matches, StepCode},
    given::{Env, Eval},
    machine::Time,
    outline::OWN_SERVICE,
    testing::{External, SplitMix64},
};

/// An output that no mapping can read.
pub(super) const UNREADABLE: &str = r#"{"no":"field"}"#;

pub(super) const SERVICES: [&str; 3] = ["red", "green", "blue"];

/// Subjects of events.
const SUBJECTS: [&str; 2] = ["paid", "sent"];

/// What a plan may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taste {
    /// Waits, conditions, lists, nested sagas, locks.
    pub(super) rich: bool,
    /// Nothing has a limit in time.
    pub(super) patient: bool,
}

/// A plan with what its functions do.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) outline: Outline,
    steps: Vec<Extra>,
}

/// What a step's functions do, beside reading what it needs.
#[derive(Debug, Default)]
struct Extra {
    condition: Option<bool>,
    /// How many elements a list has.
    elements: usize,
    until: Option<Time>,
    child: Option<Arc<Drawn>>,
}

/// 1 to 6 stages of 1 to 4 steps, with the pivot at any of them or nowhere.
pub(super) fn plan(random: &mut SplitMix64, taste: Taste) -> Arc<Drawn> {
    Arc::new(Drawing { random, taste, plans: 0 }.plan(2, false))
}

struct Drawing<'a> {
    random: &'a mut SplitMix64,
    taste: Taste,
    plans: u32,
}

impl Drawing<'_> {
    fn plan(&mut self, depth: u32, undoable: bool) -> Drawn {
        let name = format!("random-{}", self.plans);
        self.plans += 1;
        let outer = depth == 2;
        let stages = 1 + self.random.pick(if outer { 6 } else { 3 });
        let pivot = (self.random.chance(2) && !undoable).then(|| self.random.pick(6));
        let mut drawn = Drawn { outline: empty(&name), steps: Vec::new() };
        if self.taste.rich && outer && self.random.chance(8) {
            drawn.outline.locks = 1;
        }
        if self.taste.rich && !self.taste.patient && self.random.chance(6) {
            drawn.outline.deadline_ms = Some(self.between(1_000, 600_000));
        }
        for stage in 0..stages {
            let (kind, width) = match pivot {
                Some(pivot) if stage == pivot => (StepKind::Pivot, 1),
                Some(pivot) if stage > pivot => (StepKind::Retriable, 1 + self.random.pick(4)),
                _ => (StepKind::Compensatable, 1 + self.random.pick(4)),
            };
            let known = drawn.outline.steps.len();
            for _ in 0..width {
                let needs = self.needs(0..known);
                self.step(&mut drawn, stage, kind, needs, depth);
            }
        }
        drawn.outline.output_needs = self.needs(0..drawn.outline.steps.len());
        drawn
    }

    fn between(&mut self, least: u64, below: u64) -> u64 {
        least + self.random.next() % (below - least)
    }

    /// Nothing (the value is then `null`), or some of the saga's input and the steps before.
    fn needs(&mut self, known: Range<usize>) -> Vec<String> {
        let mask = self.random.next();
        let names = std::iter::once("input".to_owned()).chain(known.map(step_name));
        let wanted = names.enumerate().filter(|(n, _)| mask & (1 << (n % 64)) != 0);
        wanted.map(|(_, name)| name).collect()
    }

    fn step(
        &mut self,
        drawn: &mut Drawn,
        stage: usize,
        kind: StepKind,
        needs: Vec<String>,
        depth: u32,
    ) {
        let at = drawn.outline.steps.len();
        let retry = Retry::exponential(Duration::from_millis(100), Duration::from_secs(10));
        let limit = |n: usize| retry.limit(1 + u32::try_from(n).unwrap());
        let within = !self.taste.patient && self.random.chance(5);
        let mut step = StepOutline {
            stage: u32::try_from(stage).unwrap(),
            name: step_name(at),
            service: SERVICES[self.random.pick(SERVICES.len())].into(),
            operation: format!("work-{at}"),
            kind,
            needs,
            retry: limit(self.random.pick(4)),
            compensation_retry: limit(self.random.pick(4)),
            attempt_timeout_ms: self.between(500, 20_000),
            within_ms: within.then(|| self.between(500, 60_000)),
            task: Task::Call,
            condition: None,
            each: None,
        };
        let mut extra = Extra::default();
        if self.taste.rich {
            self.enrich(&mut step, &mut extra, depth);
        }
        drawn.outline.steps.push(step);
        drawn.steps.push(extra);
    }

    fn enrich(&mut self, step: &mut StepOutline, extra: &mut Extra, depth: u32) {
        let kind = step.kind;
        if kind != StepKind::Pivot && self.random.chance(8) {
            extra.condition = Some(self.random.chance(2));
            step.condition = Some(step.needs.clone());
        }
        match self.random.pick(24) {
            0 | 1 if kind != StepKind::Pivot => {
                let subject = SUBJECTS[self.random.pick(SUBJECTS.len())].to_owned();
                step.task = Task::Event { subject };
            }
            2 if kind != StepKind::Pivot => {
                step.task = Task::Delay { ms: self.between(1, 60_000) };
                step.within_ms = None;
            }
            3 if kind != StepKind::Pivot => {
                let ms = i64::try_from(self.between(0, 120_000)).unwrap();
                extra.until = Time::from_timestamp_millis(1_700_000_000_000 + ms);
                step.task = Task::Until;
                step.within_ms = None;
            }
            4 | 5 if kind != StepKind::Retriable && depth > 0 => {
                let child = self.plan(depth - 1, kind == StepKind::Compensatable);
                step.task = Task::Saga {
                    definition: child.outline.name.clone(),
                    version: 1,
                    digest: child.outline.digest(),
                };
                extra.child = Some(Arc::new(child));
            }
            6..=8 if kind != StepKind::Pivot => {
                step.each = Some(1 + u32::try_from(self.random.pick(3)).unwrap());
                extra.elements = self.random.pick(5);
            }
            _ => {}
        }
        if !step.task.is_call() {
            step.service = OWN_SERVICE.into();
            step.operation = step.task.operation().into();
        }
    }
}

fn empty(name: &str) -> Outline {
    Outline {
        name: name.into(),
        version: 1,
        trigger: "random.trigger".into(),
        keyed: false,
        locks: 0,
        deadline_ms: None,
        steps: Vec::new(),
        output_needs: Vec::new(),
    }
}

fn step_name(step: usize) -> String {
    format!("step-{step}")
}

impl Drawn {
    /// A definition whose values record what they were made of.
    pub(super) fn definition(&self) -> Definition {
        self.made(UNREADABLE)
    }

    /// The same, after a deploy of mappings that read whatever comes.
    pub(super) fn repaired(&self) -> Definition {
        self.made("")
    }

    /// This plan and those within it.
    pub(super) fn all(this: &Arc<Self>) -> Vec<Arc<Self>> {
        let children = this.steps.iter().filter_map(|extra| extra.child.as_ref());
        let mut all = vec![Arc::clone(this)];
        children.for_each(|child| all.extend(Self::all(child)));
        all
    }

    /// One event for each step that waits for one.
    pub(super) fn events(this: &Arc<Self>) -> Vec<External> {
        let mut events = Vec::new();
        for plan in Self::all(this) {
            for step in &plan.outline.steps {
                if let Task::Event { subject } = &step.task {
                    let (subject, n) = (subject.clone(), events.len());
                    let body = Json::trusted(&format!(r#"{{"key":"k","n":{n}}}"#));
                    events.push(External { subject, body });
                }
            }
        }
        events
    }

    fn made(&self, unreadable: &'static str) -> Definition {
        let steps = self.outline.steps.iter().zip(&self.steps);
        let code = steps.map(|(step, extra)| self.code(step, extra, unreadable)).collect();
        let output = reader(&self.outline, &self.outline.output_needs, unreadable);
        Definition::of_parts(self.outline.clone(), code, output)
    }

    fn code(&self, step: &StepOutline, extra: &Extra, unreadable: &'static str) -> StepCode {
        let reads = reader(&self.outline, &step.needs, unreadable);
        let constant = |value: Json| -> Eval { Box::new(move |_| Ok(value.clone())) };
        let elements = extra.elements;
        let input = match &step.task {
            Task::Event { .. } => constant(Json::trusted(r#""k""#)),
            Task::Until => constant(Json::of(&extra.until).unwrap()),
            Task::Delay { .. } => constant(Json::null()),
            _ if step.each.is_some() => Box::new(move |env: &Env<'_>| {
                let value = reads(env)?;
                let list = (0..elements).map(|n| format!("[{n},{value}]"));
                Ok(Json::trusted(&format!("[{}]", list.collect::<Vec<_>>().join(","))))
            }),
            _ => reads,
        };
        let condition = extra.condition.map(|holds| -> Eval {
            let reads = reader(&self.outline, &step.needs, unreadable);
            Box::new(move |env| reads(env).map(|_| Json::of(&holds).unwrap()))
        });
        let matches = matches!(step.task, Task::Event { .. }).then(|| -> Matches {
            Box::new(|event| {
                let body: serde_json::Map<String, serde_json::Value> = event.read()?;
                Ok(body["key"].as_str().unwrap().to_owned())
            })
        });
        StepCode {
            input: Input::Eval(input),
            condition,
            matches,
            child: extra.child.as_ref().map(|child| Ok(Arc::new(child.made(unreadable)))),
            ..StepCode::new(|_| Ok(()))
        }
    }
}

fn reader(outline: &Outline, needs: &[String], unreadable: &'static str) -> Eval {
    let sources: Vec<_> = needs.iter().map(|need| outline.position(need)).collect();
    Box::new(move |env| {
        let mut read = Vec::with_capacity(sources.len());
        for source in &sources {
            read.push(value(env, *source, unreadable).ok_or_else(MapError::no_output)?);
        }
        let text = if read.is_empty() { "null".into() } else { format!("[{}]", read.join(",")) };
        Ok(Json::trusted(&text))
    })
}

fn value<'a>(env: &Env<'a>, source: Option<usize>, unreadable: &str) -> Option<&'a str> {
    let Some(step) = source else { return Some(env.input.as_str()) };
    if (env.omitted)(step) {
        return Some("null");
    }
    (env.output)(step).map(Json::as_str).filter(|output| *output != unreadable)
}
