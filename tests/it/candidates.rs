//! What the database says of sagas, against the machine: `amends.steps` says where steps stand, and
//! `amends.candidates` for which sagas an act would be. Both look at the same hundreds of sagas, which
//! chance has led somewhere.

use std::collections::{BTreeMap, BTreeSet};

use amends::{
    Definition, Json, Op, Task,
    machine::{Kind, OperatorCommand, Phase, Status},
    wire::Reply,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    support,
    walker::{Walk, Walker},
};

const SAGAS: u64 = 1500;

/// The sagas in a database.
struct Walkers {
    definition: Definition,
    walkers: Vec<Walker>,
    /// Those whose nested saga is stuck.
    stuck_within: BTreeSet<Uuid>,
    connection: PgConnection,
    _postgres: support::Fresh,
}

impl Walkers {
    async fn stored() -> Self {
        let (postgres, mut connection) = support::migrated().await;
        sqlx::query("set amends.keys = 'noted'").execute(&mut connection).await.unwrap();
        let definition = Definition::of::<Walk>().unwrap();
        support::register(&mut connection, &definition).await;
        let walkers: Vec<_> = (0..SAGAS).map(|seed| Walker::begin(&definition, seed)).collect();
        let mut stuck_within = BTreeSet::new();
        for (n, walker) in walkers.iter().enumerate() {
            support::store(&mut connection, &definition, &walker.state, &walker.records).await;
            if n % 2 == 0 {
                nest(&mut connection, walker.state.id.0).await;
                stuck_within.insert(walker.state.id.0);
            }
        }
        Self { definition, walkers, stuck_within, connection, _postgres: postgres }
    }

    async fn candidates(&mut self, act: &str, step: Option<&str>) -> BTreeSet<Uuid> {
        sqlx::query_scalar::<_, Uuid>("select amends.candidates($1, null, $2, null, 10000)")
            .bind(act)
            .bind(step)
            .fetch_all(&mut self.connection)
            .await
            .unwrap()
            .into_iter()
            .collect()
    }

    async fn steps(&mut self, saga: Uuid) -> BTreeMap<String, (String, i32)> {
        let steps: Vec<(String, String, i32)> =
            sqlx::query_as("select step, status, attempts from amends.steps where saga_id = $1")
                .bind(saga)
                .fetch_all(&mut self.connection)
                .await
                .unwrap();
        let count = steps.len();
        let steps: BTreeMap<_, _> = steps.into_iter().map(|(s, t, n)| (s, (t, n))).collect();
        assert_eq!(steps.len(), count, "one row a step");
        steps
    }

    /// What `amends.steps` has to say.
    fn expected(&self, walker: &Walker) -> BTreeMap<String, (String, i32)> {
        let (outline, state) = (self.definition.outline(), &walker.state);
        let elements = |list| state.steps.iter().any(|s| s.plan == list && s.element.is_some());
        let shown = |at: &usize| *at >= outline.steps.len() || !elements(*at);
        let row = |at: usize| {
            let attempts = i32::try_from(state.steps[at].action.attempt).unwrap();
            (state.name(outline, at), (self.status(walker, at).to_owned(), attempts))
        };
        (0..state.steps.len()).filter(shown).map(row).collect()
    }

    fn status(&self, walker: &Walker, at: usize) -> &'static str {
        let (outline, step) = (self.definition.outline(), &walker.state.steps[at]);
        let task = &outline.steps[step.plan].task;
        let stuck_within = matches!(task, Task::Saga { .. })
            && Phase::Pending == step.op(last_op(walker, at)).phase
            && self.stuck_within.contains(&walker.state.id.0);
        let given_up = |r: &amends::Record| {
            r.step.as_deref() == Some(&walker.state.name(outline, at))
                && matches!(r.kind, Kind::TimedOut | Kind::Rejected | Kind::Unmappable)
        };
        match (step.compensation.phase, step.action.phase) {
            (Phase::Skipped, _) => "skipped",
            (Phase::Done, _) => "compensated",
            (Phase::GivenUp, _) => "stuck",
            _ if stuck_within => "stuck",
            (Phase::InFlight | Phase::Backoff | Phase::Pending, _) => "compensating",
            _ if step.compensation.attempt > 0 => "compensating",
            (_, Phase::Skipped) => "skipped",
            (_, Phase::Done) => "done",
            (_, Phase::Unknown) => "unknown",
            (_, Phase::GivenUp) => "stuck",
            (_, Phase::Rejected) if !task.has_effect() && !walker.records.iter().any(given_up) => {
                "cancelled"
            }
            (_, Phase::Rejected) => "rejected",
            (_, Phase::Idle) if step.action.attempt == 0 => "not reached",
            _ if !task.has_effect() => "waiting",
            (_, Phase::Pending) if task.is_call() => "pending",
            _ => "running",
        }
    }

    /// Whether an act that the machine accepts is one for many sagas: a call or a nested saga that may
    /// still answer is skipped and resolved by an act on one saga.
    fn is_for_many(&self, walker: &Walker, command: &OperatorCommand) -> bool {
        let (skips, step) = match command {
            OperatorCommand::Skip { step } => (true, step),
            OperatorCommand::Resolve { step, .. } => (false, step),
            _ => return true,
        };
        let outline = self.definition.outline();
        let at = walker.state.position(outline, step).unwrap();
        let plan = &outline.steps[walker.state.steps[at].plan];
        match walker.state.steps[at].op(last_op(walker, at)).phase {
            Phase::InFlight => false,
            Phase::Pending if plan.task.has_effect() => plan.task.is_call() && !skips,
            // Skipping a compensation that is under way is for one saga, too.
            _ => true,
        }
    }
}

/// The half of a step that it is about now.
fn last_op(walker: &Walker, at: usize) -> Op {
    if walker.state.steps[at].compensation.phase.is_open() { Op::Compensation } else { Op::Action }
}

/// A nested saga that is stuck.
async fn nest(connection: &mut PgConnection, outer: Uuid) {
    const NEST: &str = "insert into amends.saga
            (id, started_at, version, definition, status, input, error, parent, parent_step)
        values (gen_random_uuid(), now(), 1, 'errand', 'stuck', '{}',
            '{\"step\":\"hotel.book\",\"code\":\"given_up\",\"message\":\"no answer\"}', $1, 'errand')";
    sqlx::query(NEST).bind(outer).execute(connection).await.unwrap();
}

#[tokio::test]
async fn the_database_says_where_each_step_stands() {
    let mut walkers = Walkers::stored().await;
    let (mut left, mut met) = (Vec::new(), BTreeMap::<_, u32>::new());
    for n in 0..walkers.walkers.len() {
        let id = walkers.walkers[n].state.id.0;
        let (found, expected) = (walkers.steps(id).await, walkers.expected(&walkers.walkers[n]));
        for (status, _) in expected.values() {
            *met.entry(status.clone()).or_default() += 1;
        }
        if found != expected {
            let differs = |m: &BTreeMap<String, _>, o: &BTreeMap<String, _>| {
                m.iter().filter(|(k, v)| o.get(*k) != Some(*v)).map(|e| format!("{e:?}")).collect()
            };
            let (found, expected): (Vec<String>, Vec<String>) =
                (differs(&found, &expected), differs(&expected, &found));
            left.push(format!("{n}: {found:?}, and not {expected:?}"));
        }
    }
    assert!(left.is_empty(), "{} differ:\n{}", left.len(), left.join("\n"));
    let words = [
        "cancelled",
        "compensated",
        "compensating",
        "done",
        "not reached",
        "pending",
        "rejected",
        "running",
        "skipped",
        "stuck",
        "unknown",
        "waiting",
    ];
    assert!(met.keys().eq(words.iter()), "{met:?}");
}

#[tokio::test]
async fn the_database_finds_the_sagas_that_an_act_is_for() {
    let mut walkers = Walkers::stored().await;
    let mut statuses = BTreeMap::<_, u32>::new();
    for walker in &walkers.walkers {
        *statuses.entry(walker.state.status.as_str()).or_default() += 1;
    }
    assert!(statuses.len() == 7 && statuses.values().all(|n| *n > 5), "{statuses:?}");

    let mut acts: Vec<(&str, Option<String>, OperatorCommand)> = vec![
        ("retry", None, OperatorCommand::Retry),
        ("cancel", None, OperatorCommand::Cancel),
        ("pause", None, OperatorCommand::Pause),
        ("resume", None, OperatorCommand::Resume),
    ];
    let outline = walkers.definition.outline();
    let plan = outline.steps.iter().map(|s| s.name.clone());
    let elements = ["museum.visit.0", "museum.visit.1", "post.ship.0", "post.ship.1"];
    for step in plan.chain(elements.map(str::to_owned)) {
        let is_event = step.starts_with("walks.");
        // A list is resolved as a whole: with the outputs of its elements.
        let is_list = outline.steps.iter().any(|plan| plan.name == step && plan.each.is_some());
        let outcome = Reply::Ok(match (is_event, is_list) {
            (true, _) => walkers.walkers[0].state.input.clone(),
            (false, true) => Json::parse(b"[]").unwrap(),
            (false, false) => Json::null(),
        });
        let name = || Some(step.clone());
        acts.push(("skip", name(), OperatorCommand::Skip { step: step.clone() }));
        acts.push(("resolve", name(), OperatorCommand::Resolve { step: step.clone(), outcome }));
    }
    let (mut left, mut listed) = (Vec::new(), BTreeMap::<_, u32>::new());
    for (act, step, command) in &acts {
        let found = walkers.candidates(act, step.as_deref()).await;
        *listed.entry(*act).or_default() += u32::try_from(found.len()).unwrap();
        for (n, walker) in walkers.walkers.iter().enumerate() {
            let refusal = walker.refusal(&walkers.definition, command);
            // A list whose elements are known, and an element that is not: there is no such step.
            // Whether a program can compute now what none could before, no database knows.
            let by_code = |why: &String| *act == "retry" && why.contains("now as before");
            let refused = refusal.as_ref().is_some_and(|why| !by_code(why))
                || !walkers.is_for_many(walker, command);
            if found.contains(&walker.state.id.0) == refused {
                left.push(format!("{n} {act} {step:?}, {}: {refusal:?}", walker.state.status));
            }
        }
    }
    assert!(
        left.is_empty(),
        "{} are listed or not, against the machine:\n{}",
        left.len(),
        left.join("\n")
    );
    assert!(listed.len() == 6 && listed.values().all(|n| *n > 20), "{listed:?}");
}

/// Neither the outer saga nor its step failed: it is found all the same, and says where to look.
#[tokio::test]
async fn an_outer_saga_says_which_nested_saga_is_stuck() {
    let (postgres, mut connection) = support::migrated().await;
    sqlx::query("set amends.keys = 'noted'").execute(&mut connection).await.unwrap();
    let definition = Definition::of::<Walk>().unwrap();
    support::register(&mut connection, &definition).await;
    let errand = definition.outline().position("errand").unwrap();
    let walker = (0..).map(|seed| Walker::begin(&definition, seed)).find(|walker| {
        walker.state.status == Status::Running
            && walker.state.steps[errand].action.phase == Phase::Pending
    });
    let walker = walker.unwrap();
    let id = walker.state.id.0;
    support::store(&mut connection, &definition, &walker.state, &walker.records).await;
    let told = |arguments: &[&str]| {
        let mut command = std::process::Command::new(support::amends());
        let output = command.args(arguments).env("DATABASE_URL", &postgres.url).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!told(&["show", &id.to_string()]).contains("stuck"));

    nest(&mut connection, id).await;
    let nested: Uuid = sqlx::query_scalar("select id from amends.sagas where parent_id = $1")
        .bind(id)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let shown = told(&["show", &id.to_string()]);
    let why = "waits for a nested saga that is stuck, errand@1 as `errand`: hotel.book: given_up: no answer";
    assert!(shown.contains(why), "{shown}");
    assert!(shown.contains(&format!("amends show {nested}")), "{shown}");
    assert!(told(&["list", "--step", "errand"]).contains(&id.to_string()));
    let (status, code, exposed): (String, String, String) = sqlx::query_as(
        "select t.status, t.error ->> 'code', e.status
         from amends.steps t join amends.exposure e on e.saga_id = t.saga_id and e.step = t.step
         where t.saga_id = $1 and t.step = 'errand'",
    )
    .bind(id)
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!([status.as_str(), &code, &exposed], ["stuck", "given_up", "given up"]);
}
