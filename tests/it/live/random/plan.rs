//! Random plans of all parts, what their functions make, and what is to be expected of a saga.

use std::sync::Arc;

use amends::{
    Admitted, Definition, Json, Outline, Retry, StepKind, StepOutline, Task,
    testing::{Mapping, Matching, StepFunctions, definition},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::support::Chance;

pub(super) const SERVICES: [&str; 3] = ["red", "green", "blue"];

/// Subjects of awaited events.
const SUBJECTS: [&str; 2] = ["random.paid", "random.sent"];

/// What a saga of a random plan is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    /// Its business key, or the path of a nested one.
    pub(super) key: String,
    /// Decides conditions, lengths of lists and times.
    pub(super) dice: u64,
    /// When it was wanted, in milliseconds since 1970.
    pub(super) at: i64,
    pub(super) locks: Vec<String>,
}

impl Order {
    fn dice(&self, step: &str) -> Chance {
        Chance::of(self.dice, step)
    }

    /// Whether the condition of a step holds.
    fn holds(&self, step: &str) -> bool {
        !self.dice(step).once_in(3)
    }

    /// How many elements a list has.
    fn elements(&self, step: &str) -> usize {
        self.dice(step).below(4)
    }

    /// What a nested saga is told.
    pub(super) fn nested(&self, step: &str) -> Self {
        let (key, dice) = (self.path(step), self.dice(step).next());
        Self { key, dice, locks: Vec::new(), at: self.at }
    }

    /// The name of what a step does, over all sagas.
    pub(super) fn path(&self, step: &str) -> String {
        format!("{}/{step}", self.key)
    }
}

/// A plan, and the plans within it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) outline: Outline,
    parts: Vec<Part>,
}

/// What of a step its outline does not say.
#[derive(Debug, Clone, Default)]
struct Part {
    nested: Option<Arc<Plan>>,
    /// Its event has the saga's key, which other steps may wait for too.
    shares_key: bool,
}

/// What a saga does in one of its steps, if it comes to its end.
#[derive(Debug)]
pub(super) enum Expected {
    Omitted,
    Call,
    List(usize),
    Nested,
    Waits,
}

/// Draws a plan of this name.
pub(super) fn plan(seed: u64, name: &str) -> Arc<Plan> {
    let mut chance = Chance::of(seed, name);
    Arc::new(Drawing { chance: &mut chance, plans: 0 }.plan(name, 0, false))
}

struct Drawing<'a> {
    chance: &'a mut Chance,
    plans: u32,
}

/// How deep plans are nested.
const DEPTH: u32 = 2;

impl Drawing<'_> {
    fn plan(&mut self, name: &str, depth: u32, undoable: bool) -> Plan {
        let outer = depth == 0;
        let stages = 1 + self.chance.below(if outer { 5 } else { 2 });
        let decides = !undoable && !self.chance.once_in(4);
        let pivot = decides.then(|| self.chance.below(stages));
        let mut plan = Plan { outline: empty(name), parts: Vec::new() };
        plan.outline.keyed = outer;
        if outer && self.chance.once_in(3) {
            plan.outline.locks = 1 + u32::try_from(self.chance.below(2)).unwrap();
        }
        if self.chance.once_in(if outer { 4 } else { 8 }) {
            plan.outline.deadline_ms = Some(self.chance.between(1_500, 6_000));
        }
        for stage in 0..stages {
            let kind = match pivot {
                Some(pivot) if stage == pivot => StepKind::Pivot,
                Some(pivot) if stage > pivot => StepKind::Retriable,
                _ => StepKind::Compensatable,
            };
            let most = if outer { 3 } else { 2 };
            let width = if kind == StepKind::Pivot { 1 } else { 1 + self.chance.below(most) };
            let known = plan.outline.steps.len();
            for _ in 0..width {
                self.step(&mut plan, stage, kind, known, depth);
            }
        }
        plan
    }

    fn step(&mut self, plan: &mut Plan, stage: usize, kind: StepKind, known: usize, depth: u32) {
        let (at, mut part) = (plan.outline.steps.len(), Part::default());
        let mut needs = vec!["input".to_owned()];
        needs.extend((0..known).filter(|_| self.chance.once_in(3)).map(|step| format!("s{step}")));
        let must = 5 + self.chance.below(3);
        let attempts =
            if kind == StepKind::Compensatable { 2 + self.chance.below(3) } else { must };
        let short = self.chance.once_in(4);
        let mut step = StepOutline {
            stage: u32::try_from(stage).unwrap(),
            name: format!("s{at}"),
            service: self.chance.one_of(&SERVICES).into(),
            operation: format!("do-{}", kind.as_str()),
            kind,
            needs,
            retry: self.retry(attempts),
            compensation_retry: self.retry(must),
            attempt_timeout_ms: self.chance.between(400, 900),
            within_ms: short.then(|| self.chance.between(900, 2_500)),
            task: Task::Call,
            condition: None,
            each: None,
        };
        if kind != StepKind::Pivot && self.chance.once_in(6) {
            step.condition = Some(vec!["input".into()]);
        }
        self.enrich(&mut step, &mut part, &plan.outline.name, depth);
        plan.outline.steps.push(step);
        plan.parts.push(part);
    }

    fn retry(&mut self, attempts: usize) -> Retry {
        let first = self.chance.millis(10, 60);
        Retry::exponential(first, first * 6).limit(u32::try_from(attempts).unwrap())
    }

    /// Makes another part of what is a call so far.
    fn enrich(&mut self, step: &mut StepOutline, part: &mut Part, outer: &str, depth: u32) {
        let kind = step.kind;
        match self.chance.below(20) {
            0..=2 if kind != StepKind::Pivot => {
                let subject = self.chance.one_of(&SUBJECTS).to_owned();
                step.task = Task::Event { subject };
                part.shares_key = self.chance.once_in(2);
                let patient = self.chance.once_in(3);
                step.within_ms = (!patient).then(|| self.chance.between(1_500, 4_000));
            }
            3 if kind != StepKind::Pivot => {
                step.task = Task::Delay { ms: self.chance.between(1, 200) };
                step.within_ms = None;
            }
            4 if kind != StepKind::Pivot => {
                step.task = Task::Until;
                step.within_ms = None;
            }
            5..=7 if kind != StepKind::Retriable && depth < DEPTH => {
                self.plans += 1;
                let name = format!("{outer}-{}", self.plans);
                let nested = self.plan(&name, depth + 1, kind == StepKind::Compensatable);
                let digest = nested.outline.digest();
                step.task = Task::Saga { definition: name, version: 1, digest };
                step.within_ms = step.within_ms.map(|within| within * 2);
                part.nested = Some(Arc::new(nested));
            }
            8..=10 if kind != StepKind::Pivot => {
                step.each = Some(1 + u32::try_from(self.chance.below(3)).unwrap());
            }
            _ => return,
        }
        step.operation = match step.task {
            Task::Call => return,
            Task::Event { .. } => "event".into(),
            Task::Delay { .. } | Task::Until => "delay".into(),
            Task::Saga { .. } => "saga".into(),
        };
        step.service = "amends".into();
    }
}

fn empty(name: &str) -> Outline {
    Outline {
        name: name.into(),
        version: 1,
        trigger: format!("random.wanted.{name}"),
        keyed: false,
        locks: 0,
        deadline_ms: None,
        steps: Vec::new(),
        output_needs: vec!["input".into()],
    }
}

impl Plan {
    pub(super) fn definition(&self) -> Definition {
        let mut parts = self.parts.iter();
        let functions = |step: &StepOutline| functions(step, parts.next().unwrap());
        let output = |values: &[Json]| Json::of(&json!({"by": order(values).key})).unwrap();
        let keyed = self.outline.keyed;
        let admit = move |body: &Json| {
            let order: Order = body.read().map_err(amends::InputError::Shape)?;
            let mut locks = order.locks;
            locks.sort();
            locks.dedup();
            Ok(Admitted { key: keyed.then_some(order.key), locks })
        };
        definition(self.outline.clone(), functions, Box::new(output), Box::new(admit)).unwrap()
    }

    /// This plan and those within it.
    pub(super) fn all(this: &Arc<Self>) -> Vec<Arc<Self>> {
        let nested = this.parts.iter().filter_map(|part| part.nested.as_ref());
        let mut all = vec![Arc::clone(this)];
        nested.for_each(|plan| all.extend(Self::all(plan)));
        all
    }

    /// The step of this name, or the list whose element it is.
    pub(super) fn step(&self, name: &str) -> Option<&StepOutline> {
        let at = self.outline.position(name);
        let list = || self.outline.element(name).map(|(list, _)| list);
        self.outline.steps.get(at.or_else(list)?)
    }

    /// What a saga that was told this does in each step.
    pub(super) fn expected(&self, order: &Order) -> Vec<(&StepOutline, Expected)> {
        let expected = |step: &StepOutline| match &step.task {
            _ if step.condition.is_some() && !order.holds(&step.name) => Expected::Omitted,
            Task::Call if step.each.is_some() => Expected::List(order.elements(&step.name)),
            Task::Call => Expected::Call,
            Task::Saga { .. } => Expected::Nested,
            Task::Event { .. } | Task::Delay { .. } | Task::Until => Expected::Waits,
        };
        self.outline.steps.iter().map(|step| (step, expected(step))).collect()
    }

    /// The events that such a saga and those within it wait for: subject and key.
    pub(super) fn events(&self, order: &Order) -> Vec<(String, String)> {
        let mut events = Vec::new();
        for (step, part) in self.outline.steps.iter().zip(&self.parts) {
            if let Task::Event { subject } = &step.task {
                events.push((subject.clone(), event_key(order, &step.name, part.shares_key)));
            }
            if let Some(nested) = &part.nested {
                events.extend(nested.events(&order.nested(&step.name)));
            }
        }
        events
    }
}

fn event_key(order: &Order, step: &str, shares: bool) -> String {
    if shares { order.key.clone() } else { order.path(step) }
}

fn order(values: &[Json]) -> Order {
    values[0].read().unwrap()
}

fn functions(step: &StepOutline, part: &Part) -> StepFunctions {
    let (name, needs) = (step.name.clone(), step.needs.clone());
    let condition = step.condition.as_ref().map(|_| -> Mapping<bool> {
        let name = name.clone();
        Box::new(move |values| order(values).holds(&name))
    });
    let matches = matches!(step.task, Task::Event { .. }).then(|| -> Matching {
        Box::new(|event| {
            let event: Map<String, Value> = event.read()?;
            Ok(event["key"].as_str().unwrap().to_owned())
        })
    });
    let (task, each, shares) = (step.task.clone(), step.each.is_some(), part.shares_key);
    let input = move |values: &[Json]| {
        let order = order(values);
        let given = || {
            let known = needs.iter().zip(values).skip(1);
            let known = known.map(|(need, value)| (need.clone(), value.read().unwrap()));
            known.collect::<Map<String, Value>>()
        };
        Json::of(&match task {
            Task::Event { .. } => json!(event_key(&order, &name, shares)),
            Task::Until => {
                let more = order.dice(&name).millis(0, 400);
                let at = chrono::DateTime::from_timestamp_millis(order.at).unwrap() + more;
                json!(at)
            }
            Task::Saga { .. } => json!(order.nested(&name)),
            Task::Call if each => {
                let one = |n| json!({"key": order.key, "n": n, "of": given()});
                Value::Array((0..order.elements(&name)).map(one).collect())
            }
            Task::Call | Task::Delay { .. } => json!({"key": order.key, "of": given()}),
        })
        .unwrap()
    };
    let nested = part.nested.as_ref().map(|plan| Arc::new(plan.definition()));
    StepFunctions { input: Box::new(input), condition, matches, nested }
}
