//! All orchestrators are killed while many sagas are in flight, and one starts.
//!
//! The sagas begin while no service runs, as otherwise they would end faster than they can be
//! published. Then the services start; as soon as one saga of a hundred has ended, there are sagas
//! before each step, commands and replies on their way, and messages in the orchestrators' hands that
//! nobody has acked. That is when they are killed. The services go on.
//!
//! How it went is read from the facts afterwards: a saga has moved when it has a fact that was decided
//! after the new orchestrator was started. To look meanwhile would disturb what is measured.

use std::time::{Duration, Instant};

use amends_app::{During as _, Failed};
use sqlx::{
    Row as _,
    types::chrono::{DateTime, Utc},
};

use crate::{
    load::{Arrivals, Load, Workload},
    report::Recovery,
    session::Session,
};

/// Orchestrators that are killed.
const REPLICAS: usize = 2;

/// Of all sagas that had not ended by then: how many, and the seconds until the first of them had
/// moved, all had, and all had ended.
const MOVED: &str = "
select count(*),
       extract(epoch from min(moved_at) - $1)::float8,
       extract(epoch from max(moved_at) - $1)::float8,
       extract(epoch from max(finished_at) - $1)::float8
from (
    select s.finished_at, min(f.at) as moved_at
    from amends.saga s join amends.fact f on f.saga_id = s.id and f.at > $1
    where s.finished_at > $1 and s.started_at <= $1
    group by s.id
) m";

impl Session<'_> {
    pub(crate) async fn recovery(&mut self, sagas: u32) -> Result<(), Failed> {
        for round in 0..self.plan.rounds {
            for barrier in self.barriers {
                self.progress.say(&format!("recovery {}: {sagas} sagas begin …", round + 1));
                let found = self.recover(sagas, *barrier).await?;
                self.recoveries.push(found);
            }
        }
        Ok(())
    }

    async fn recover(&mut self, sagas: u32, barrier: bool) -> Result<Recovery, Failed> {
        self.processes.stop_workers().await;
        self.processes.orchestrators(REPLICAS, &self.client).await?;
        let (began, all) = (Instant::now(), u64::from(sagas));
        let arrivals = Arrivals::Closed(usize::try_from(sagas).during("sagas in flight")?);
        let load = Load::start(self.client.clone(), arrivals, Workload::HAPPY, self.next).await?;
        self.all_wait(all).await?;
        load.open.close();
        self.processes.workers(barrier).await?;
        self.barrier = Some(barrier);
        load.open.wait_for(Duration::ZERO, Some(all / 100 + 1)).await?;
        self.processes.kill_orchestrators().await?;
        let killed_after_s = began.elapsed().as_secs_f64();
        let at = sqlx::query_scalar::<_, DateTime<Utc>>("select clock_timestamp()");
        let at = at.fetch_one(&self.meter.database).await.during("the time")?;
        self.processes.start_orchestrator()?;
        let ended = load.open.ended();
        self.progress
            .say(&format!("killed all after {killed_after_s:.1} s, when {ended} had ended"));
        self.see_ended(&load, all).await?;
        let rss_mib = self.orchestrator_mib();
        self.next = load.stop().await?;
        self.processes.check()?;
        let row = sqlx::query(MOVED).bind(at).fetch_one(&self.meter.database).await;
        let row = row.during("how sagas moved")?;
        let count: i64 = row.try_get(0).during("how sagas moved")?;
        let seconds = |at: usize| row.try_get(at).during("how sagas moved");
        let found = Recovery {
            barrier,
            in_flight: u64::try_from(count).unwrap_or(0),
            killed_after_s,
            first_moved_s: seconds(1)?,
            moving_s: seconds(2)?,
            ended_s: seconds(3)?,
            rss_mib,
        };
        let Recovery { in_flight, first_moved_s, moving_s, ended_s, .. } = found;
        self.progress.say(&format!(
            "{in_flight} in flight: the first moved after {first_moved_s:.1} s, all after {moving_s:.1} s; all had ended after {ended_s:.1} s"
        ));
        Ok(found)
    }

    /// Waits until all have ended, and says now and then how many have.
    async fn see_ended(&self, load: &Load, all: u64) -> Result<(), Failed> {
        loop {
            let ended = load.open.ended() as u64;
            if ended >= all {
                return Ok(());
            }
            load.open.wait_for(Duration::ZERO, Some((all - ended).min(all / 5 + 1))).await?;
            self.progress.say(&format!("{} of {all} have ended", load.open.ended()));
        }
    }
}
