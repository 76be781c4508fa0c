//! Reading sagas back: a row, and the fold of its facts.

use std::collections::HashMap;

use amends::{
    FactRow, Json, NextColumns, SagaId,
    machine::Time,
    turn::{KeyHolder, Stored},
};

use super::{Store, StoreError, timers::LEASE, uuids};

impl Store {
    /// Reads sagas with all their facts; what does not exist is absent. What may be a lease is told by the
    /// database's clock, or by `now` where that is later.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn load(
        &self,
        ids: &[SagaId],
        now: Time,
    ) -> Result<HashMap<SagaId, Stored>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let ids = uuids(ids);
        let lease = LEASE.as_secs_f64();
        let rows = sqlx::query_file!("src/store/sql/load_sagas.sql", &ids, lease, now)
            .fetch_all(&self.database)
            .await?;
        let sagas = rows.into_iter().map(|row| {
            let stored = Stored {
                definition: row.definition,
                version: unsigned(row.version),
                key: row.key,
                trace: row.trace,
                input: Json::trusted(&row.input),
                timer_at: row.due_at,
                parent: row.parent.map(SagaId),
                facts: Ok(Vec::new()),
            };
            (SagaId(row.id), stored)
        });
        let mut sagas: HashMap<_, _> = sagas.collect();
        // Facts are read after the rows: they may be newer, never older.
        let rows = sqlx::query_file!("src/store/sql/load_facts.sql", &ids)
            .fetch_all(&self.database)
            .await?;
        for row in rows {
            let Some(saga) = sagas.get_mut(&SagaId(row.saga_id)) else { continue };
            let fact = FactRow {
                seq: row.seq,
                attempt: row.attempt,
                at: row.at,
                kind: row.kind,
                step: row.step,
                op: row.op,
                detail: row.detail,
                next: NextColumns { sent: row.sent, next: row.next },
            };
            if let Ok(facts) = &mut saga.facts {
                match fact.read() {
                    Ok(fact) => facts.push(fact),
                    Err(why) => saga.facts = Err(why),
                }
            }
        }
        Ok(sagas)
    }

    /// Finds the sagas that hold these business keys: (definition, key).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn holders(
        &self,
        keys: &[(String, String)],
    ) -> Result<HashMap<(String, String), KeyHolder>, StoreError> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let (definitions, keys): (Vec<_>, Vec<_>) = keys.iter().cloned().unzip();
        let rows = sqlx::query_file!("src/store/sql/find_keys.sql", &definitions, &keys)
            .fetch_all(&self.database)
            .await?;
        let found = rows.into_iter().map(|row| {
            // A digest of another length is of another body.
            let digest = row.digest.try_into().unwrap_or_default();
            ((row.definition, row.key), KeyHolder { id: SagaId(row.id), digest })
        });
        Ok(found.collect())
    }
}

/// The columns are never negative.
fn unsigned(n: i32) -> u32 {
    u32::try_from(n).unwrap_or(0)
}
