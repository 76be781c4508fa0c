//! `amends.candidates` says in SQL for which sagas an act would be; `machine::decide` says what an act
//! does. Both look at the same hundreds of sagas, which chance has led somewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    time::Duration,
};

use amends::{
    Await, BeforePivot, Compensatable, Definition, Delay, EventId, Finished, Given, Json, Op, Plan,
    Record, Rejection, Retry, Saga, SagaId, Step, Trigger,
    machine::{
        Arrival, Decision, Event, OperatorAct, OperatorCommand, Phase, ReplyEvent, State, Time,
        Turn, decide, start, waits,
    },
    wire::Reply,
};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgPoolOptions};
use uuid::Uuid;

use crate::support::{self, repository};

const SAGAS: u64 = 600;

#[derive(Serialize, Deserialize, Clone)]
struct Told {
    id: String,
}

struct Full;

impl Rejection for Full {
    fn code(&self) -> &str {
        "full"
    }
}

macro_rules! steps {
    ($($step:ident $name:literal $rejection:ty),*) => {$(
        struct $step;
        impl Step for $step {
            const NAME: &'static str = $name;
            type Input = Told;
            type Output = ();
            type Rejection = $rejection;
        }
    )*};
}

steps!(Hold "bank.hold" Full, Book "hotel.book" Full, Reserve "car.reserve" Full, Pay "bank.pay" Full,
    Mail "mail.send" Infallible);
impl Compensatable for Hold {}
impl Compensatable for Book {}
impl Compensatable for Reserve {}

/// A plan with a lock, parallel branches, an event and a delay before its pivot, and a step behind it.
struct Walk;

impl Saga for Walk {
    const NAME: &'static str = "walk";
    const VERSION: u32 = 1;
    type Input = Told;
    type Output = ();

    fn trigger() -> Trigger<Told> {
        Trigger::<Told>::on("walks.wanted")
            .key(|told| told.id.clone())
            .lock(|told| format!("walk/{}", told.id))
    }

    fn plan(mut p: Plan<BeforePivot>, told: Given<Told>) -> Finished<()> {
        let few = Retry::exponential(Duration::from_millis(100), Duration::from_secs(1)).limit(2);
        p.step(Hold::with(told.clone()).retry(few));
        p.together((Book::with(told.clone()).retry(few), Reserve::with(told.clone()).retry(few)));
        p.step(
            Await::<Told>::on("walks.told")
                .matching(|told| told.id.clone())
                .within(Duration::from_secs(60)),
        );
        p.step(Delay::of("cooling-off", Duration::from_secs(1)));
        let (mut p, paid) = p.pivot(Pay::with(told.clone()).retry(few));
        p.step(Mail::with(told).retry(few));
        p.finish(paid)
    }
}

/// Numbers that are the same in each run: SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(n).unwrap()).unwrap()
    }
}

/// A saga that chance leads.
struct Walker {
    state: State,
    records: Vec<Record>,
    now: Time,
}

impl Walker {
    fn begin(definition: &Definition, seed: u64) -> Self {
        let now = Time::from_timestamp(1_700_000_000 + i64::try_from(seed).unwrap(), 0).unwrap();
        let id = SagaId::from_message("walk", "AMENDS_EVENTS", seed, now);
        let input = Json::parse(format!(r#"{{"id":"w-{seed}"}}"#).as_bytes()).unwrap();
        let turn = start(definition, id, input.clone(), now);
        let state = State::new(definition.outline(), id, input);
        let mut walker = Self { state, records: Vec::new(), now };
        walker.take(definition, turn);
        let mut chance = Chance(seed);
        for _ in 0..chance.below(24) {
            walker.go(definition, &mut chance);
        }
        walker
    }

    fn take(&mut self, definition: &Definition, turn: Turn) {
        let record = |fact| Record::of(definition.outline(), &turn.next, fact);
        self.records.extend(turn.facts.iter().map(record));
        self.state = turn.next;
    }

    fn go(&mut self, definition: &Definition, chance: &mut Chance) {
        self.now += Duration::from_millis(10);
        let events = self.events(definition, chance);
        let Some(event) = events.get(chance.below(events.len().max(1))) else { return };
        if *event == Event::TimerFired {
            self.now = self.state.due().map_or(self.now, |due| due.max(self.now));
        }
        if let Decision::Turn(turn) = decide(definition, &self.state, event, self.now) {
            self.take(definition, *turn);
        }
    }

    /// What may happen to it now.
    fn events(&self, definition: &Definition, chance: &mut Chance) -> Vec<Event> {
        let outline = definition.outline();
        let mut events = Vec::new();
        if self.state.queued {
            events.push(Event::Granted);
        }
        if self.state.due().is_some() {
            events.push(Event::TimerFired);
        }
        for wait in waits(definition, &self.state) {
            let body = self.state.input.clone();
            let event = EventId::of_message("AMENDS_EVENTS", 1, self.now);
            events.push(Event::Arrived(Arrival { step: wait.step.into(), event, body }));
        }
        for (at, step) in self.state.steps.iter().enumerate() {
            for op in [Op::Action, Op::Compensation] {
                if !outline.steps[step.plan].task.is_call() || !step.op(op).phase.is_open() {
                    continue;
                }
                let reply = match chance.below(10) {
                    0 | 1 => Reply::Rejected { code: "full".into(), message: String::new() },
                    2 | 3 => Reply::Retry { message: "broke".into(), after: None },
                    4 => Reply::Pending,
                    _ => Reply::Ok(Json::null()),
                };
                let service = outline.steps[step.plan].service.clone();
                let (step, attempt) = (self.state.name(outline, at).into(), step.op(op).attempt);
                // Twice, so that replies are more frequent than the rest.
                let event = Event::Reply(ReplyEvent { step, op, attempt, service, reply });
                events.extend([event.clone(), event]);
            }
        }
        let acts = [
            OperatorCommand::Cancel,
            OperatorCommand::Pause,
            OperatorCommand::Resume,
            OperatorCommand::Retry,
        ];
        if chance.below(3) == 0 || self.state.paused {
            events.push(self.act(acts[chance.below(acts.len())].clone()));
        }
        events
    }

    fn act(&self, command: OperatorCommand) -> Event {
        let (by, reason, seen) = ("alice".into(), "a look".into(), self.state.seq);
        Event::Act(OperatorAct { command, by, reason, seen })
    }

    /// Why the machine refuses an act, if it does.
    fn refusal(&self, definition: &Definition, command: &OperatorCommand) -> Option<String> {
        match decide(definition, &self.state, &self.act(command.clone()), self.now) {
            Decision::Turn(_) => None,
            Decision::Refused(why) => Some(why),
            other => panic!("{command:?} is {other:?}"),
        }
    }

    /// Where a step stands: its compensation, once that was asked for.
    fn phase(&self, definition: &Definition, step: &str) -> Phase {
        let at = self.state.position(definition.outline(), step).unwrap();
        let step = &self.state.steps[at];
        let undo = step.compensation.phase;
        if undo == Phase::Idle { step.action.phase } else { undo }
    }
}

fn statement(name: &str) -> AssertSqlSafe<String> {
    let file = repository().join(format!("orchestrator/src/store/sql/{name}.sql"));
    AssertSqlSafe(std::fs::read_to_string(file).unwrap())
}

fn int(n: u32) -> i32 {
    i32::try_from(n).unwrap()
}

async fn register(connection: &mut PgConnection, definition: &Definition) {
    let outline = definition.outline();
    let column = |of: fn(&amends::StepOutline) -> String| -> Vec<String> {
        outline.steps.iter().map(of).collect()
    };
    sqlx::query(statement("register"))
        .bind(&outline.name)
        .bind(int(outline.version))
        .bind(definition.digest())
        .bind(serde_json::to_string(outline).unwrap())
        .bind((0..).take(outline.steps.len()).collect::<Vec<i32>>())
        .bind(column(|s| s.name.clone()))
        .bind(column(|s| s.service.clone()))
        .bind(column(|s| s.operation.clone()))
        .bind(column(|s| s.kind.as_str().to_owned()))
        .bind(column(|s| s.task.as_str().to_owned()))
        .execute(connection)
        .await
        .unwrap();
}

/// Writes a saga as the orchestrator would have by now.
async fn store(connection: &mut PgConnection, definition: &Definition, walker: &Walker) {
    let (state, records) = (&walker.state, &walker.records);
    let id = state.id.0;
    let last = records.last().unwrap().at;
    let ended = state.status.ended();
    let timers: Vec<Uuid> = if ended { Vec::new() } else { vec![id] };
    let due: Vec<Option<Time>> = timers.iter().map(|_| state.due()).collect();
    let key = definition.admit(&state.input).unwrap().key;
    let next = |r: &Record| r.next.clone().into_text(r.at, r.detail.as_ref());
    sqlx::query(statement("starts"))
        .bind([id])
        .bind([&definition.outline().name])
        .bind([int(definition.outline().version)])
        .bind([key])
        .bind([None::<String>])
        .bind([state.input.as_str()])
        .bind([records[0].at])
        .bind([state.status.as_str()])
        .bind([None::<String>])
        .bind([ended.then_some(last)])
        .bind([None::<Uuid>])
        .bind([None::<String>])
        .bind([state.input.digest().to_vec()])
        .bind(timers)
        .bind(due)
        .bind(vec![id; records.len()])
        .bind(records.iter().map(|r| int(r.seq)).collect::<Vec<_>>())
        .bind(records.iter().map(|r| int(r.attempt)).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.at).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.kind.as_str()).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.step.clone()).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.op.map(Op::as_str)).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.detail.as_ref().map(Json::as_str)).collect::<Vec<_>>())
        .bind(records.iter().map(next).collect::<Vec<_>>())
        .execute(connection)
        .await
        .unwrap();
}

async fn candidates(
    connection: &mut PgConnection,
    act: &str,
    step: Option<&str>,
) -> BTreeSet<Uuid> {
    sqlx::query_scalar::<_, Uuid>("select amends.candidates($1, null, $2, null, 10000)")
        .bind(act)
        .bind(step)
        .fetch_all(connection)
        .await
        .unwrap()
        .into_iter()
        .collect()
}

#[tokio::test]
async fn the_database_finds_the_sagas_that_an_act_is_for() {
    let postgres = support::postgres().await;
    let pool = PgPoolOptions::new().connect(&postgres.url).await.unwrap();
    amends_orchestrator::migrate(&pool).await.unwrap();
    let mut connection = PgConnection::connect(&postgres.url).await.unwrap();
    sqlx::query("set amends.keys = 'noted'").execute(&mut connection).await.unwrap();
    let definition = Definition::of::<Walk>().unwrap();
    register(&mut connection, &definition).await;
    let walkers: Vec<_> = (0..SAGAS).map(|seed| Walker::begin(&definition, seed)).collect();
    let mut statuses = BTreeMap::<_, u32>::new();
    for walker in &walkers {
        *statuses.entry(walker.state.status.as_str()).or_default() += 1;
        store(&mut connection, &definition, walker).await;
    }
    assert!(statuses.len() == 7 && statuses.values().all(|n| *n > 5), "{statuses:?}");

    let names: Vec<_> = definition.outline().steps.iter().map(|s| s.name.as_str()).collect();
    let done = Reply::Ok(Json::null());
    let mut acts: Vec<(&str, Option<&str>, OperatorCommand)> = vec![
        ("retry", None, OperatorCommand::Retry),
        ("cancel", None, OperatorCommand::Cancel),
        ("pause", None, OperatorCommand::Pause),
        ("resume", None, OperatorCommand::Resume),
    ];
    for step in &names {
        let named = || (*step).to_owned();
        acts.push(("skip", Some(step), OperatorCommand::Skip { step: named() }));
        let outcome = if *step == "walks.told" {
            Reply::Ok(walkers[0].state.input.clone())
        } else {
            done.clone()
        };
        acts.push(("resolve", Some(step), OperatorCommand::Resolve { step: named(), outcome }));
    }
    let (mut said, mut left) = (BTreeMap::<_, u32>::new(), Vec::new());
    for (act, step, command) in &acts {
        let found = candidates(&mut connection, act, *step).await;
        for walker in &walkers {
            let refusal = walker.refusal(&definition, command);
            let listed = found.contains(&walker.state.id.0);
            if listed != refusal.is_none() {
                let phase = step.map(|step| walker.phase(&definition, step));
                match difference(act, listed, phase, &walker.state) {
                    Some(Difference::Said(what)) => *said.entry(what).or_default() += 1,
                    Some(Difference::Unsaid) => {}
                    None => left.push(format!("{act} {step:?} {phase:?} {listed} {refusal:?}")),
                }
            }
        }
    }
    assert!(left.is_empty(), "listed or not, against the machine:\n{}", left.join("\n"));
    assert_eq!(said.len(), 3, "what the functions' comments say is met: {said:?}");
}

/// Why the database and the machine may differ.
enum Difference {
    /// The comments of `amends.skip_all` and its like say so.
    Said(&'static str),
    /// They do not say.
    Unsaid,
}

fn difference(act: &str, listed: bool, step: Option<Phase>, state: &State) -> Option<Difference> {
    Some(match (act, listed, step) {
        ("skip", false, Some(Phase::InFlight | Phase::Pending)) | ("resolve", false, Some(Phase::InFlight)) => {
            Difference::Said("a step that is asked and may answer is for an act on one saga")
        }
        ("skip", true, Some(Phase::Backoff)) => {
            Difference::Said("what waits to be repeated is listed, also where only resolving helps")
        }
        ("cancel", true, None) if !state.turned => {
            Difference::Said("a saga that is not on its way back is listed, also behind its pivot")
        }
        // Stuck or paused on its way back.
        ("cancel", true, None)
        // A compensation that is pending.
        | ("resolve", false, Some(Phase::Pending))
        // A wait that was given up, of a saga that is stuck or paused on its way back.
        | ("skip" | "resolve", true, Some(Phase::Rejected)) => Difference::Unsaid,
        // An action that waits to be repeated, of a saga that is paused.
        ("resolve", false, Some(Phase::Backoff)) if state.paused => Difference::Unsaid,
        _ => return None,
    })
}
