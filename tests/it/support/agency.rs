//! The trip example as real processes on private servers.

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
};

use amends_demo::audit::TripAudit;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Shop, eventually};

/// A trip that goes well: two hotels, and nothing else.
pub(crate) fn trip(id: &str, traveller: &str) -> Value {
    json!({
        "trip_id": id, "traveller": traveller, "card": "tok_visa",
        "stays": [{"hotel": "grand", "nights": 2}, {"hotel": "station", "nights": 1}],
    })
}

/// A travel agency.
pub(crate) struct Agency(Shop);

impl Deref for Agency {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.0
    }
}

impl DerefMut for Agency {
    fn deref_mut(&mut self) -> &mut Shop {
        &mut self.0
    }
}

impl Agency {
    pub(crate) const SERVICES: [&str; 5] = ["hotel", "car", "insurance", "card", "mail"];

    /// An orchestrator and all services.
    pub(crate) async fn open() -> Self {
        let agency = Self(Shop::open(&Self::SERVICES).await);
        // Who judges reads all ledgers, also those that nothing was written to.
        let ledgers = "select count(*) from pg_tables where tablename = 'ledger'
            and schemaname in ('hotel', 'car', 'insurance', 'card', 'mail')";
        agency.at_least(ledgers, 5).await;
        agency
    }

    pub(crate) async fn wants(&self, trip: &Value) {
        self.publish_on("trips.wanted", trip.to_string()).await;
    }

    /// The visa of a trip is granted.
    pub(crate) async fn grants(&self, id: &str) {
        let visa = json!({"trip_id": id, "visa": format!("v-{id}")});
        self.publish_on("visas.granted", visa.to_string()).await;
    }

    pub(crate) async fn id(&self, key: &str) -> Uuid {
        let id = "select id from amends.sagas where key = $1";
        sqlx::query_scalar(id).bind(key).fetch_one(&self.pool).await.unwrap()
    }

    /// Until a saga has this status.
    pub(crate) async fn status(&self, key: &str, status: &str) {
        const STATUS: &str = "select status from amends.sagas where key = $1";
        eventually(&format!("status {status} of {key}"), async || {
            let now: Option<String> =
                sqlx::query_scalar(STATUS).bind(key).fetch_optional(&self.pool).await.ok()?;
            (now? == status).then_some(())
        })
        .await;
    }

    /// The status of each step of a saga.
    pub(crate) async fn steps(&self, saga: Uuid) -> BTreeMap<String, String> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("select step, status from amends.steps where saga_id = $1")
                .bind(saga)
                .fetch_all(&self.pool)
                .await
                .unwrap();
        rows.into_iter().collect()
    }

    /// Until a step of a saga has this status.
    pub(crate) async fn step(&self, key: &str, step: &str, status: &str) {
        const STEP: &str =
            "select t.status from amends.steps t join amends.sagas s on s.id = t.saga_id
            where s.key = $1 and t.step = $2";
        eventually(&format!("{step} of {key} is {status}"), async || {
            let step = sqlx::query_scalar(STEP).bind(key).bind(step);
            let now: Option<String> = step.fetch_optional(&self.pool).await.ok()?;
            (now? == status).then_some(())
        })
        .await;
    }

    /// Why a saga turned back: step and code.
    pub(crate) async fn reason(&self, key: &str) -> (String, String) {
        let reason = "select error ->> 'step', error ->> 'code' from amends.sagas where key = $1";
        sqlx::query_as(reason).bind(key).fetch_one(&self.pool).await.unwrap()
    }

    /// The saga that is a step of this one, and its status.
    pub(crate) async fn nested(&self, outer: Uuid) -> (Uuid, String) {
        let nested = "select id, status from amends.tree where parent_id = $1";
        sqlx::query_as(nested).bind(outer).fetch_one(&self.pool).await.unwrap()
    }

    /// All ledgers of the trip services; panics when they do not balance.
    pub(crate) async fn trips(&self) -> TripAudit {
        let audit = TripAudit::of(&self.database()).await.unwrap();
        assert!(audit.balanced(), "{:#?}", audit.problems);
        audit
    }
}
