//! What is stored of all sagas of a run.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use amends::{
    Json, NextRecord, Op, Record, SagaId, fold,
    machine::{Kind, State, Time},
};
use sqlx::PgPool;
use uuid::Uuid;

use super::plan::{Order, Plan};

/// A saga as it is stored.
pub(super) struct StoredSaga {
    pub(super) plan: Arc<Plan>,
    /// As the view says.
    pub(super) status: String,
    pub(super) order: Order,
    /// What its facts say.
    pub(super) state: State,
    pub(super) facts: Vec<Record>,
    /// Its nested sagas, by step.
    pub(super) nested: BTreeMap<String, SagaId>,
}

impl StoredSaga {
    /// Whether something of this kind happened to a step.
    pub(super) fn has(&self, kind: Kind, op: Op, step: &str) -> bool {
        let about = |fact: &&Record| fact.step.as_deref() == Some(step);
        self.facts.iter().filter(about).any(|fact| fact.kind == kind && fact.op == Some(op))
    }
}

#[derive(sqlx::FromRow)]
struct SagaRow {
    id: Uuid,
    definition: String,
    status: String,
    input: String,
    parent_id: Option<Uuid>,
    parent_step: Option<String>,
}

#[derive(sqlx::FromRow)]
struct FactRow {
    saga_id: Uuid,
    seq: i32,
    attempt: i32,
    at: Time,
    kind: String,
    step: Option<String>,
    op: Option<String>,
    detail: Option<String>,
    next: Option<String>,
}

impl FactRow {
    fn read(self) -> Record {
        let detail = self.detail.as_deref().map(Json::trusted);
        Record {
            next: NextRecord::from_text(self.next.as_deref(), self.at, detail.as_ref()).unwrap(),
            seq: u32::try_from(self.seq).unwrap(),
            at: self.at,
            kind: self.kind.parse().unwrap(),
            step: self.step,
            op: self.op.map(|op| op.parse().unwrap()),
            attempt: u32::try_from(self.attempt).unwrap(),
            detail,
        }
    }
}

/// All sagas, by id.
pub(super) async fn sagas(
    pool: &PgPool,
    plans: &BTreeMap<String, Arc<Plan>>,
) -> HashMap<SagaId, StoredSaga> {
    let mut facts = facts(pool).await;
    let rows: Vec<SagaRow> = sqlx::query_as(
        "select id, definition, status, input::text, parent_id, parent_step from amends.sagas",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let (mut sagas, mut children) = (HashMap::new(), Vec::new());
    for row in rows {
        let id = SagaId(row.id);
        children
            .extend(row.parent_id.zip(row.parent_step).map(|(of, step)| (SagaId(of), step, id)));
        let (plan, input) = (Arc::clone(&plans[&row.definition]), Json::trusted(&row.input));
        let (order, facts) = (input.read().unwrap(), facts.remove(&row.id).unwrap_or_default());
        let state = fold(&plan.outline, id, input, facts.clone(), |_| {}).unwrap();
        let (status, nested) = (row.status, BTreeMap::new());
        sagas.insert(id, StoredSaga { plan, status, order, state, facts, nested });
    }
    for (outer, step, id) in children {
        sagas.get_mut(&outer).unwrap().nested.insert(step, id);
    }
    sagas
}

async fn facts(pool: &PgPool) -> HashMap<Uuid, Vec<Record>> {
    let rows: Vec<FactRow> = sqlx::query_as(
        "select saga_id, seq, attempt, at, kind, step, op, detail::text, next::text
         from amends.facts order by saga_id, seq",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut facts: HashMap<_, Vec<_>> = HashMap::new();
    for row in rows {
        facts.entry(row.saga_id).or_default().push(row.read());
    }
    facts
}
