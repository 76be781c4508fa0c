//! When to look at a saga.

use std::time::Duration;

use amends::{
    SagaId,
    machine::Time,
    turn::{Due, Rearm},
};

use super::{Store, StoreError};

/// How long a replica that took timers has, before they fire again for another.
pub(super) const LEASE: Duration = Duration::from_secs(10);

impl Store {
    /// Leases up to `limit` timers that are due for at least so long: by the database's clock, or by `now`
    /// where that is later, because the clock went back. Replicas share them by `skip locked`; a lease that
    /// is not used up runs out, and the timer fires again. Sagas of the versions in `but` are left to
    /// replicas that know them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn claim(
        &self,
        limit: i64,
        late: Duration,
        now: Time,
        but: &[(String, u32)],
    ) -> Result<Vec<Due>, StoreError> {
        let (lease, late) = (LEASE.as_secs_f64(), late.as_secs_f64());
        macro_rules! claim {
            ($file:literal, $($more:expr),*) => {
                sqlx::query_file!($file, limit, lease, $($more),*)
                    .fetch_all(&self.database)
                    .await?
                    .into_iter()
                    .map(|row| Due {
                        saga: SagaId(row.saga_id),
                        leased_until: row.leased_until,
                        now: row.now,
                    })
                    .collect()
            };
        }
        if but.is_empty() {
            return Ok(claim!("src/store/sql/claim_timers.sql", late, now));
        }
        let but: Vec<_> = but.iter().map(|(name, version)| format!("{name}@{version}")).collect();
        Ok(claim!("src/store/sql/claim_known_timers.sql", &but, late, now))
    }

    /// How long until the next timer is due (`None` when there is none), and the database's clock.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn next_timer(
        &self,
        now: Time,
    ) -> Result<(Option<Duration>, Time), StoreError> {
        let row = sqlx::query_file!("src/store/sql/next_timer.sql", now)
            .fetch_one(&self.database)
            .await?;
        let wait = |s: f64| Duration::try_from_secs_f64(s.max(0.0)).unwrap_or(Duration::MAX);
        Ok((row.seconds.map(wait), row.now))
    }

    /// Sets leased timers again, unless another turn moved them meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn rearm(&self, rearm: &[Rearm]) -> Result<(), StoreError> {
        let (mut sagas, mut due_at, mut leases) = (vec![], vec![], vec![]);
        let (mut deleted, mut deleted_leases) = (vec![], vec![]);
        for rearm in rearm {
            match rearm {
                Rearm::Set(fired, due) => {
                    sagas.push(fired.saga.0);
                    due_at.push(*due);
                    leases.push(fired.leased_until);
                }
                Rearm::Delete(fired) => {
                    deleted.push(fired.saga.0);
                    deleted_leases.push(fired.leased_until);
                }
            }
        }
        sqlx::query_file!(
            "src/store/sql/rearm_timers.sql",
            &sagas,
            &due_at as &[Option<Time>],
            &leases,
            &deleted,
            &deleted_leases
        )
        .execute(&self.database)
        .await?;
        Ok(())
    }
}
