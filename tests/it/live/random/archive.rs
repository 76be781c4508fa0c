//! What is stored of all sagas of a run.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use amends::{
    FactRow, Json, NextColumns, Op, Record, SagaId, fold,
    machine::{Kind, State},
};
use sqlx::{PgPool, Row as _};
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
    let rows = sqlx::query(
        "select saga_id, seq, attempt, at, kind, step, op, detail::text, sent, next::text
         from amends.facts order by saga_id, seq",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut facts: HashMap<_, Vec<_>> = HashMap::new();
    for row in rows {
        let fact = FactRow {
            seq: row.get("seq"),
            attempt: row.get("attempt"),
            at: row.get("at"),
            kind: row.get("kind"),
            step: row.get("step"),
            op: row.get("op"),
            detail: row.get("detail"),
            next: NextColumns { sent: row.get("sent"), next: row.get("next") },
        };
        facts.entry(row.get("saga_id")).or_default().push(fact.read().unwrap());
    }
    facts
}
