//! Judges a run when every saga has ended: the services' books beside what is stored.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use amends::{Op, SagaId, StepOutline, Task, machine::Kind};
use sqlx::PgPool;

use super::{
    archive::{self, StoredSaga},
    ledger::{Effect, Ledger},
    plan::{Expected, Plan},
    seen::Seen,
};

/// What no saga may leave behind, and what may not be in the tables: each query finds it.
const NOTHING: [(&str, &str); 12] = [
    ("timers", "select row_to_json(x)::text from amends.timer x"),
    ("waits", "select row_to_json(x)::text from amends.waits x"),
    ("locks", "select row_to_json(x)::text from amends.locks x"),
    ("mail", "select row_to_json(x)::text from amends.mailbox x"),
    ("stuck sagas", "select row_to_json(x)::text from amends.stuck x"),
    ("acts that nobody decided", "select row_to_json(x)::text from amends.acts x where accepted is null"),
    ("statuses that are not the last fact's", "
        select s.id::text from amends.sagas s where s.status is distinct from (
            select f.next ->> 'status' from amends.facts f
            where f.saga_id = s.id and f.next ->> 'status' is not null order by f.seq desc limit 1)"),
    ("keys of two sagas", "
        select key from amends.sagas where key is not null group by key having count(*) > 1"),
    ("events that one saga took twice", "
        select saga_id || ' ' || (next ->> 'event') from amends.facts where next ->> 'event' is not null
            group by saga_id, next ->> 'event' having count(*) > 1"),
    ("outputs that are not what the plan makes", "
        select s.id::text from amends.sagas s
        where s.status = 'completed' and s.output ->> 'by' is distinct from s.input ->> 'key'
          and not exists (
              select from amends.facts f
              where f.saga_id = s.id and f.kind = 'skip' and f.step is null)"),
    ("steps that were begun after the deadline, and could be held back", "
        select row_to_json(x)::text from amends.sends x
        join amends.sagas s on s.id = x.saga_id
        join amends.definition_step d on d.name = s.definition and d.version = s.version
            and d.step = regexp_replace(x.step, '\\.[0-9]+$', '')
        where x.op = 'action' and x.attempt = 1 and d.kind <> 'retriable'
          and x.at > s.deadline_at + interval '1 ms'"),
    // One that a late effect opens again has lost its lock, and undoes what others may not have seen.
    ("pairs of sagas that held one lock at once", "
        with held as (
            select l.name, s.id, f.at as since, (
                select min(e.at) from amends.facts e
                where e.saga_id = s.id and e.next ->> 'status' in ('completed', 'compensated')) as until
            from amends.sagas s
            join amends.facts f on f.saga_id = s.id and f.kind = 'granted'
            cross join json_array_elements_text(s.input -> 'locks') l (name))
        select row_to_json(a) || ' ' || row_to_json(b)
        from held a join held b on a.name = b.name and a.id < b.id
        where a.since < b.until - interval '50 ms' and b.since < a.until - interval '50 ms'"),
];

/// What is wrong; nothing if the run was right.
pub(super) async fn breaches(
    pool: &PgPool,
    plans: &[Arc<Plan>],
    ledger: &Ledger,
    seen: &Seen,
) -> Vec<String> {
    let mut breaches = Vec::new();
    for (what, query) in NOTHING {
        let found: Vec<String> = sqlx::query_scalar(query).fetch_all(pool).await.unwrap();
        if !found.is_empty() {
            let (count, some) = (found.len(), &found[..found.len().min(3)]);
            breaches.push(format!("there are {count} {what}: {some:#?}"));
        }
    }
    let all = plans.iter().flat_map(Plan::all);
    let plans = all.map(|plan| (plan.outline.name.clone(), plan)).collect();
    let (sagas, effects) = (archive::sagas(pool, &plans).await, ledger.by_saga());
    let court = Court { sagas: &sagas, effects: &effects };
    for (id, saga) in &sagas {
        note(seen, saga);
        let name = format!("{id} ({}, {})", saga.order.key, saga.status);
        breaches.extend(court.wrong(*id, saga).into_iter().map(|wrong| format!("{name}: {wrong}")));
    }
    for saga in effects.keys().filter(|saga| !sagas.contains_key(saga)) {
        breaches.push(format!("{saga} is no saga, and has effects"));
    }
    breaches
}

/// Notes what happened in a saga.
fn note(seen: &Seen, saga: &StoredSaga) {
    seen.saw(&format!("saga {}", saga.status));
    for fact in &saga.facts {
        let about = fact.op.map_or("saga", Op::as_str);
        seen.saw(&format!("fact {} of {about}", fact.kind.as_str()));
    }
    for (step, expected) in saga.plan.expected(&saga.order) {
        let part = match (&expected, &step.task) {
            (Expected::Omitted, _) => "choice",
            (Expected::List(_), _) => "list",
            (_, Task::Event { .. }) => "await",
            (_, Task::Delay { .. }) => "delay",
            (_, Task::Until) => "delay until",
            (_, Task::Saga { .. }) => "nested saga",
            (_, Task::Call) => "call",
        };
        seen.saw(&format!("{part} of a saga that {}", saga.status));
    }
}

struct Court<'a> {
    sagas: &'a HashMap<SagaId, StoredSaga>,
    effects: &'a HashMap<SagaId, Vec<(&'a str, &'a Effect)>>,
}

impl Court<'_> {
    fn wrong(&self, id: SagaId, saga: &StoredSaga) -> Vec<String> {
        let mut wrong = match saga.status.as_str() {
            "completed" => self.completed(id, saga),
            "compensated" => self.compensated(id, saga),
            _ => vec!["it has not ended".to_owned()],
        };
        if saga.state.status.as_str() != saga.status || saga.state.due().is_some() {
            wrong.push(format!("its facts say {}, due {:?}", saga.state.status, saga.state.due()));
        }
        wrong.extend(self.order(id, saga));
        wrong
    }

    fn effects(&self, saga: SagaId) -> &[(&str, &Effect)] {
        self.effects.get(&saga).map_or(&[], Vec::as_slice)
    }

    /// Each effect stands exactly once.
    fn completed(&self, id: SagaId, saga: &StoredSaga) -> Vec<String> {
        let (mut wrong, mut called) = (Vec::new(), BTreeSet::new());
        for (step, expected) in saga.plan.expected(&saga.order) {
            match self.reached(saga, step, expected) {
                Ok(calls) => called.extend(calls),
                Err(why) => wrong.push(why),
            }
        }
        let effects: BTreeMap<_, _> = self.effects(id).iter().copied().collect();
        for step in &called {
            let stands = effects.get(step.as_str()).map_or((0, 0), |e| (e.applied, e.undone));
            if stands != (1, 0) && !saga.has(Kind::Skipped, Op::Action, step) {
                wrong.push(format!("`{step}` was applied and undone {stands:?} times"));
            }
        }
        for (step, effect) in effects {
            if !called.contains(step) && effect.applied > 0 {
                wrong.push(format!("`{step}` was applied, and the plan does not ask for it"));
            } else if effect.undone > 0 {
                wrong.push(format!("`{step}` was undone"));
            }
        }
        wrong
    }

    /// The calls of a step of a completed saga, or what is wrong with it.
    fn reached(
        &self,
        saga: &StoredSaga,
        step: &StepOutline,
        expected: Expected,
    ) -> Result<Vec<String>, String> {
        let name = &step.name;
        if saga.has(Kind::Skipped, Op::Action, name) {
            return Ok(vec![name.clone()]);
        }
        let omitted = saga.has(Kind::Omitted, Op::Action, name);
        if omitted != matches!(expected, Expected::Omitted) {
            return Err(format!("`{name}` was omitted: {omitted}"));
        }
        match expected {
            Expected::Omitted => Ok(Vec::new()),
            Expected::Call => Ok(vec![name.clone()]),
            Expected::List(count) => Ok((0..count).map(|n| format!("{name}.{n}")).collect()),
            Expected::Waits if saga.has(Kind::Done, Op::Action, name) => Ok(Vec::new()),
            Expected::Waits => Err(format!("`{name}` was not waited for")),
            Expected::Nested => {
                let nested = saga.nested.get(name).map(|id| self.sagas[id].status.as_str());
                let completed = nested == Some("completed");
                let why = || format!("the nested saga `{name}` is {nested:?}");
                completed.then(Vec::new).ok_or_else(why)
            }
        }
    }

    /// No effect stands, and each was undone once.
    fn compensated(&self, id: SagaId, saga: &StoredSaga) -> Vec<String> {
        let mut wrong = Vec::new();
        let judged = |step: &str| !saga.has(Kind::Skipped, Op::Compensation, step);
        for (step, effect) in self.effects(id).iter().filter(|(step, _)| judged(step)) {
            let counts = (effect.applied, effect.undone);
            if !matches!(counts, (0, 0) | (1, 1)) {
                wrong.push(format!("`{step}` was applied and undone {counts:?} times"));
            }
        }
        for (step, nested) in saga.nested.iter().filter(|(step, _)| judged(step)) {
            let status = &self.sagas[nested].status;
            if status != "compensated" {
                wrong.push(format!("the nested saga `{step}` is {status}"));
            }
        }
        wrong
    }

    /// What stands in a later stage was done after, and undone before, what stands in an earlier one. A
    /// step that somebody went on without may be done at any time.
    fn order(&self, id: SagaId, saga: &StoredSaga) -> Vec<String> {
        let mut wrong = Vec::new();
        let skipped = |step: &str| {
            [Op::Action, Op::Compensation].iter().any(|op| saga.has(Kind::Skipped, *op, step))
        };
        let judged = |(step, effect): &&(&str, &Effect)| !effect.by_hand && !skipped(step);
        let of: Vec<_> = self.effects(id).iter().filter(judged).collect();
        let stage = |step: &str| saga.plan.step(step).map(|step| step.stage);
        for (early, first) in &of {
            for (late, second) in of.iter().filter(|(late, _)| stage(early) < stage(late)) {
                let done = first.applied > 0 && second.applied > 0;
                if done && first.applied_as > second.applied_as {
                    wrong.push(format!("`{late}` was done before `{early}`"));
                }
                let undone = first.undone > 0 && second.undone > 0;
                if undone && first.undone_as < second.undone_as {
                    wrong.push(format!("`{early}` was undone before `{late}`"));
                }
            }
        }
        wrong
    }
}
