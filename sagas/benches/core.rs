//! How fast the pure core is: `cargo bench -p amends`.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark, whose input is its own")]

use std::{hint::black_box, time::Duration};

use amends::{
    AttemptId, BeforePivot, Compensatable, Definition, Finished, Given, Json, Op, Plan, Record,
    Rejection, Retry, Saga, SagaId, Step, Trigger, Values as _,
    machine::{self, Decision, Event, ReplyEvent, State, Time, Turn},
    wire::{self, Reply},
};
use chrono::DateTime;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};

/// What goes through all steps: about 200 bytes.
#[derive(Serialize, Deserialize)]
struct Job {
    n: u64,
    note: String,
    items: Vec<u32>,
}

impl Job {
    fn json() -> Json {
        let job = Self { n: 7, note: "n".repeat(150), items: vec![1, 2, 3] };
        Json::of(&job).unwrap()
    }

    fn on(self) -> Self {
        self
    }

    fn both(self, other: Self) -> Self {
        Self { n: other.n, ..self }
    }
}

struct No;

impl Rejection for No {
    fn code(&self) -> &'static str {
        "no"
    }
}

struct Work;

impl Step for Work {
    const NAME: &'static str = "bench.work";
    type Input = Job;
    type Output = Job;
    type Rejection = No;
}

impl Compensatable for Work {}

/// A step that carries nothing: what is left is the machine.
struct Bare;

impl Step for Bare {
    const NAME: &'static str = "bench.bare";
    type Input = ();
    type Output = ();
    type Rejection = No;
}

impl Compensatable for Bare {}

/// `STEPS` steps, one after the other.
struct Long<const STEPS: usize>;

impl<const STEPS: usize> Saga for Long<STEPS> {
    const NAME: &'static str = "long";
    const VERSION: u32 = 1;
    type Input = Job;
    type Output = Job;

    fn trigger() -> Trigger<Job> {
        Trigger::on("bench.wanted")
    }

    fn plan(mut p: Plan<BeforePivot>, job: Given<Job>) -> Finished<Job> {
        let mut last = job;
        let patient = Retry::exponential(Duration::from_millis(1), Duration::from_millis(1));
        for n in 0..STEPS {
            let work = Work::with(last.map(Job::on)).retry(patient.limit(1_000_000));
            last = p.step(work.named(&format!("bench.work-{n}")));
        }
        p.finish(last)
    }
}

struct Empty;

impl Saga for Empty {
    const NAME: &'static str = "empty";
    const VERSION: u32 = 1;
    type Input = ();
    type Output = ();

    fn trigger() -> Trigger<()> {
        Trigger::on("bench.wanted")
    }

    fn plan(mut p: Plan<BeforePivot>, given: Given<()>) -> Finished<()> {
        let first = p.step(Bare::with(given).named("bench.bare-0"));
        let second = p.step(Bare::with(first).named("bench.bare-1"));
        let third = p.step(Bare::with(second).named("bench.bare-2"));
        p.finish(third)
    }
}

/// A mapping over two values.
struct Joined;

impl Saga for Joined {
    const NAME: &'static str = "joined";
    const VERSION: u32 = 1;
    type Input = Job;
    type Output = Job;

    fn trigger() -> Trigger<Job> {
        Trigger::on("bench.wanted")
    }

    fn plan(mut p: Plan<BeforePivot>, job: Given<Job>) -> Finished<Job> {
        let first = p.step(Work::with((job.clone(), job).map(Job::both)));
        p.finish(first)
    }
}

fn id() -> SagaId {
    "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap()
}

fn now() -> Time {
    DateTime::from_timestamp_millis(1_700_000_000_123).unwrap()
}

/// A worker's answer.
fn answer(step: &str, attempt: u32, reply: Reply) -> Event {
    let (step, service) = (step.into(), "bench".to_owned());
    Event::Reply(ReplyEvent { step, op: Op::Action, attempt, service, reply })
}

fn turn(definition: &Definition, state: &State, event: &Event, at: Time) -> Turn {
    match machine::decide(definition, state, event, at) {
        Decision::Turn(turn) => *turn,
        other => unreachable!("{other:?}"),
    }
}

/// The state of a saga after so many of its steps.
fn after(definition: &Definition, steps: usize, input: &Json) -> State {
    let mut state = machine::start(definition, id(), input.clone(), now()).next;
    for step in 0..steps {
        let name = definition.outline().steps[step].name.clone();
        state = turn(definition, &state, &answer(&name, 1, Reply::Ok(input.clone())), now()).next;
    }
    state
}

fn decide(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide");
    group.throughput(Throughput::Elements(1));
    let job = Job::json();
    let mut bench = |name: &str, definition: &Definition, state: &State, event: &Event| {
        group.bench_function(name, |b| {
            b.iter(|| machine::decide(definition, black_box(state), black_box(event), now()));
        });
    };
    let done = |step: &str, output: &Json| answer(step, 1, Reply::Ok(output.clone()));

    let empty = Definition::of::<Empty>().unwrap();
    let state = after(&empty, 1, &Json::null());
    bench("3 steps, no payload", &empty, &state, &done("bench.bare-1", &Json::null()));

    let three = Definition::of::<Long<3>>().unwrap();
    let state = after(&three, 1, &job);
    bench("3 steps", &three, &state, &done("bench.work-1", &job));
    bench("3 steps, known already", &three, &state, &done("bench.work-0", &job));
    let no = Reply::Rejected { code: "no".into(), message: String::new() };
    bench("3 steps, turning back", &three, &state, &answer("bench.work-1", 1, no));

    let many = Definition::of::<Long<24>>().unwrap();
    bench("24 steps, the second", &many, &after(&many, 1, &job), &done("bench.work-1", &job));
    bench("24 steps, the last", &many, &after(&many, 23, &job), &done("bench.work-23", &job));

    let (state, attempt) = long_history(&three, &job);
    let event = answer("bench.work-1", attempt, Reply::Ok(job));
    bench("3 steps, after 1,000 attempts", &three, &state, &event);
    group.finish();
}

/// A saga whose second step broke 1,000 times.
fn long_history(definition: &Definition, job: &Json) -> (State, u32) {
    let mut state = after(definition, 1, job);
    let mut at = now();
    for attempt in 1..=1000 {
        let broke = Reply::Retry { message: "broke".into(), after: None };
        state = turn(definition, &state, &answer("bench.work-1", attempt, broke), at).next;
        at += Duration::from_secs(1);
        state = turn(definition, &state, &Event::TimerFired, at).next;
    }
    (state, 1001)
}

fn start(c: &mut Criterion) {
    let mut group = c.benchmark_group("start");
    let job = Job::json();
    for (name, definition) in [
        ("one mapping over one value", Definition::of::<Long<1>>().unwrap()),
        ("one mapping over two values", Definition::of::<Joined>().unwrap()),
        ("24 steps", Definition::of::<Long<24>>().unwrap()),
    ] {
        group.bench_function(name, |b| {
            b.iter_batched(
                || job.clone(),
                |job| machine::start(&definition, id(), job, now()),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn fold(c: &mut Criterion) {
    let definition = Definition::of::<Long<3>>().unwrap();
    let outline = definition.outline();
    let job = Job::json();
    let state = after(&definition, 1, &job);
    let event = answer("bench.work-1", 1, Reply::Ok(job));
    let turn = turn(&definition, &state, &event, now());
    c.bench_function("fold a fact", |b| {
        b.iter_batched(
            || state.clone(),
            |mut state| {
                for fact in &turn.facts {
                    state.apply(outline, fact);
                }
                state
            },
            BatchSize::SmallInput,
        );
    });
    c.bench_function("clone a state of 3 steps", |b| b.iter(|| black_box(&state).clone()));
    c.bench_function("record a fact", |b| {
        b.iter(|| Record::of(outline, &turn.next, black_box(&turn.facts[0])));
    });
}

fn encode(c: &mut Criterion) {
    let definition = Definition::of::<Long<3>>().unwrap();
    let job = Job::json();
    let started = machine::start(&definition, id(), job.clone(), now());
    let send = started.facts[0].next.sends[0].clone();
    c.bench_function("command", |b| {
        b.iter(|| machine::command(&definition, &started.next, black_box(&send)));
    });
    c.bench_function("body of a compensation", |b| {
        b.iter(|| wire::command_body(Op::Compensation, black_box(&job), Some(&job)));
    });
    let text = format!("{}:inventory.reserve:action:2", id());
    let parsed: AttemptId = text.parse().unwrap();
    c.bench_function("Amends-Id, parse", |b| b.iter(|| black_box(&text).parse::<AttemptId>()));
    c.bench_function("Amends-Id, print", |b| b.iter(|| black_box(&parsed).to_string()));
    let reply = Reply::Ok(job);
    let body = reply.to_json().unwrap();
    c.bench_function("reply, parse", |b| {
        b.iter(|| Reply::parse(black_box(body.as_str().as_bytes())));
    });
    c.bench_function("reply, print", |b| b.iter(|| black_box(&reply).to_json()));
}

criterion_group!(core, decide, start, fold, encode);
criterion_main!(core);
