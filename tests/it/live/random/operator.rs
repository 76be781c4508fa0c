//! People: they pause and cancel at random, bring what is missing, and heal what is stuck.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use amends::{SagaId, StepKind, Task};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use super::{
    plan::{Order, Plan},
    producer::Producer,
    seen::Seen,
    services::Services,
};
use crate::support::Chance;

/// Between two rounds.
const ROUND: Duration = Duration::from_millis(150);

/// How long an event may be missing until somebody publishes it after all.
const PATIENCE: Duration = Duration::from_secs(3);

const STUCK: &str = "
    select k.saga_id, s.definition, s.input, s.error ->> 'step', (
        select coalesce(array_agg(t.step), '{}') from amends.steps t
        where t.saga_id = k.saga_id and t.status = 'stuck')
    from amends.stuck_saga k
    join amends.saga s on s.id = k.saga_id
    order by random()
    limit 12";

type Stuck = (Uuid, String, sqlx::types::Json<Order>, Option<String>, Vec<String>);

pub(super) struct Operator {
    pool: PgPool,
    plans: BTreeMap<String, Arc<Plan>>,
    services: Arc<Services>,
    producer: Arc<Producer>,
    seen: Arc<Seen>,
    /// No more cancels and pauses.
    calm: AtomicBool,
    seed: u64,
}

impl Operator {
    pub(super) fn new(
        pool: PgPool,
        plans: &[Arc<Plan>],
        services: Arc<Services>,
        producer: Arc<Producer>,
        seed: u64,
    ) -> Arc<Self> {
        let all = plans.iter().flat_map(Plan::all);
        let plans = all.map(|plan| (plan.outline.name.clone(), plan)).collect();
        let (seen, calm) = (Arc::clone(&services.seen), AtomicBool::new(false));
        Arc::new(Self { pool, plans, services, producer, seen, calm, seed })
    }

    pub(super) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    /// Acts for ever.
    pub(super) async fn act(self: Arc<Self>) {
        let (mut chance, mut published) = (Chance::of(self.seed, "operator"), HashMap::new());
        let mut beat = tokio::time::interval(ROUND);
        loop {
            beat.tick().await;
            // What Postgres refuses or breaks off is done in a later round.
            let rounds = [
                self.interfere(&mut chance).await,
                self.resume(&mut chance).await,
                self.heal(&mut chance).await,
                self.bring_events(&mut published).await,
            ];
            if rounds.iter().any(Result::is_err) {
                self.seen.saw("round of the operator that failed");
            }
            self.services.ask().await;
        }
    }

    /// Calls a function of operators. What it refuses is noted, and tried in another way later.
    async fn call(&self, function: &str, saga: Uuid, step: Option<&str>, outcome: Option<Value>) {
        let call = match (function, &outcome) {
            ("resolve", _) => "select amends.resolve($1, $2, $3::jsonb::json, 'healed')".to_owned(),
            ("skip", _) => "select amends.skip($1, $2, 'healed')".to_owned(),
            _ => format!("select amends.{function}($1, 'by chance')"),
        };
        let mut query = sqlx::query(AssertSqlSafe(call)).bind(saga);
        if matches!(function, "resolve" | "skip") {
            query = query.bind(step);
        }
        if let Some(outcome) = outcome {
            query = query.bind(outcome);
        }
        let what = match query.execute(&self.pool).await {
            Ok(_) => "noted".to_owned(),
            Err(sqlx::Error::Database(refusal)) => {
                let why = refusal.message().split([':', '-']).next().unwrap_or_default().trim();
                format!("refused at once, as {why}")
            }
            Err(_) => "not said, as Postgres did not answer".to_owned(),
        };
        self.seen.saw(&format!("act {function}: {what}"));
    }

    /// A random act on a random saga.
    async fn interfere(&self, chance: &mut Chance) -> Result<(), sqlx::Error> {
        if self.calm.load(Ordering::Relaxed) {
            return Ok(());
        }
        let any = "select id from amends.open_sagas order by random() limit 2";
        for saga in sqlx::query_scalar(any).fetch_all(&self.pool).await? {
            let act = chance.one_of(&["cancel", "pause", "pause", "retry", "none"]);
            if act != "none" {
                self.call(act, saga, None, None).await;
            }
        }
        Ok(())
    }

    async fn resume(&self, chance: &mut Chance) -> Result<(), sqlx::Error> {
        let paused = "select id from amends.open_sagas where status = 'paused'";
        for saga in sqlx::query_scalar(paused).fetch_all(&self.pool).await? {
            if chance.once_in(3) {
                self.call("resume", saga, None, None).await;
            }
        }
        Ok(())
    }

    async fn heal(&self, chance: &mut Chance) -> Result<(), sqlx::Error> {
        let stuck: Vec<Stuck> = sqlx::query_as(STUCK).fetch_all(&self.pool).await?;
        for (saga, definition, order, cause, steps) in stuck {
            self.seen.saw("stuck saga that somebody looked at");
            // Whose output cannot be computed, as a step was skipped that it needs.
            if cause.as_deref() == Some("") && steps.is_empty() {
                let given = json!({"outcome": "ok", "output": {"by": order.key}});
                match chance.below(3) {
                    0 => self.call("retry", saga, None, None).await,
                    1 => self.call("skip", saga, None, None).await,
                    _ => self.call("resolve", saga, None, Some(given)).await,
                }
                continue;
            }
            let cause = cause.filter(|step| !step.is_empty() && steps.is_empty());
            let steps: Vec<_> = steps.into_iter().chain(cause).collect();
            if steps.is_empty() || chance.below(5) < 2 {
                self.call("retry", saga, None, None).await;
                continue;
            }
            let step = &steps[chance.below(steps.len())];
            self.settle(saga, &self.plans[&definition], &order, step, chance).await?;
        }
        Ok(())
    }

    /// Skips a step, or says the truth about it, having done by hand what is not done.
    async fn settle(
        &self,
        saga: Uuid,
        plan: &Plan,
        order: &Order,
        step: &str,
        chance: &mut Chance,
    ) -> Result<(), sqlx::Error> {
        let Some(outline) = plan.step(step) else { return Ok(()) };
        let undoing = "select exists (select from amends.sends
            where saga_id = $1 and step = $2 and op = 'compensation')";
        let undo: bool =
            sqlx::query_scalar(undoing).bind(saga).bind(step).fetch_one(&self.pool).await?;
        let may_skip = undo || outline.kind == StepKind::Retriable;
        let whole_list = outline.each.is_some() && outline.name == step;
        if matches!(outline.task, Task::Saga { .. }) {
            self.call("retry", saga, None, None).await;
        } else if may_skip && (!outline.task.is_call() || whole_list || chance.once_in(3)) {
            self.call("skip", saga, Some(step), None).await;
        } else if outline.task.is_call() {
            let (of, path) = ((SagaId(saga), step.to_owned()), order.path(step));
            let outcome = self.services.ledger.lock().unwrap().by_hand(&of, &path, undo);
            if outcome["outcome"] == "rejected" && may_skip {
                self.call("skip", saga, Some(step), None).await;
            } else {
                self.call("resolve", saga, Some(step), Some(outcome)).await;
            }
        }
        Ok(())
    }

    /// Publishes events that somebody has been waiting for too long.
    async fn bring_events(
        &self,
        published: &mut HashMap<(Uuid, String), Instant>,
    ) -> Result<(), sqlx::Error> {
        let waits = "select saga_id, step, subject, key from amends.waits
            where since < clock_timestamp() - interval '3 s' order by since limit 50";
        let waits: Vec<(Uuid, String, String, String)> =
            sqlx::query_as(waits).fetch_all(&self.pool).await?;
        for (saga, step, subject, key) in waits {
            let last = published.get(&(saga, step.clone()));
            if last.is_none_or(|last| last.elapsed() > PATIENCE) {
                published.insert((saga, step), Instant::now());
                self.producer.event(subject, &key).await;
                self.seen.saw("event: late");
            }
        }
        Ok(())
    }
}
