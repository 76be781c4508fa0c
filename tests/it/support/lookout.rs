//! Looks at probes and at what moves while orders come: a probe that says ready while nothing moves is
//! wrong.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sqlx::PgPool;
use tokio::{sync::watch, task::JoinSet};

use super::{Shop, probe::Probe};

const BEAT: Duration = Duration::from_millis(100);

const ENDED: &str = "select count(*) from amends.saga where finished_at is not null";

/// Sagas that begin move, too.
const BEGUN_AND_ENDED: &str = "select count(*) + count(finished_at) from amends.saga";

/// What was seen of one probe.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sight {
    pub(crate) role: String,
    /// The longest time in which it said ready and no saga ended.
    pub(crate) blind: Duration,
    /// How often it changed its mind.
    pub(crate) changes: u32,
    /// Why it was not ready last.
    pub(crate) why: String,
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, blind, changes, why } = self;
        write!(f, "{role}: ready without movement for {blind:.1?}, {changes} changes ({why})")
    }
}

/// Looks until it is ended.
pub(crate) struct Lookout {
    sights: Arc<Mutex<Vec<Sight>>>,
    tasks: JoinSet<()>,
}

impl Lookout {
    /// Begins to look; sagas end all the time unless something is wrong.
    pub(crate) fn over(shop: &Shop, probes: &[Probe]) -> Self {
        Self::counting(ENDED, shop, probes)
    }

    /// As [`Self::over`], where services may hang: orchestrators are right as long as sagas begin.
    pub(crate) fn over_orchestrators(shop: &Shop, probes: &[Probe]) -> Self {
        Self::counting(BEGUN_AND_ENDED, shop, probes)
    }

    fn counting(moves: &'static str, shop: &Shop, probes: &[Probe]) -> Self {
        let (moved, seen) = watch::channel(Instant::now());
        let (sights, mut tasks): (Arc<Mutex<Vec<Sight>>>, _) = (Arc::default(), JoinSet::new());
        tasks.spawn(follow(moves, shop.pool.clone(), moved));
        for (n, probe) in probes.iter().enumerate() {
            let sight = Sight { role: probe.role.clone(), ..Sight::default() };
            sights.lock().unwrap().push(sight);
            tasks.spawn(look(probe.clone(), seen.clone(), Arc::clone(&sights), n));
        }
        Self { sights, tasks }
    }

    /// What was seen.
    pub(crate) fn end(mut self) -> Vec<Sight> {
        self.tasks.abort_all();
        std::mem::take(&mut *self.sights.lock().unwrap())
    }
}

/// Notes when sagas end.
async fn follow(count: &'static str, pool: PgPool, moved: watch::Sender<Instant>) {
    let (mut beat, mut known) = (tokio::time::interval(BEAT), 0);
    loop {
        beat.tick().await;
        if let Ok(ended) = sqlx::query_scalar::<_, i64>(count).fetch_one(&pool).await
            && ended != known
        {
            known = ended;
            moved.send_replace(Instant::now());
        }
    }
}

async fn look(
    probe: Probe,
    moves: watch::Receiver<Instant>,
    sights: Arc<Mutex<Vec<Sight>>>,
    n: usize,
) {
    let mut beat = tokio::time::interval(BEAT);
    let (mut ready_since, mut known) = (None, None);
    loop {
        beat.tick().await;
        let (asked, answer) = (Instant::now(), probe.ready().await);
        let ready = answer.is_ok();
        ready_since = ready.then(|| ready_since.unwrap_or(asked));
        let changed = known.replace(ready).is_some_and(|before| before != ready);
        let blind = ready_since.map(|since| since.max(*moves.borrow()).elapsed());
        let sight = &mut sights.lock().unwrap()[n];
        sight.changes += u32::from(changed);
        if let Err(why) = answer {
            sight.why = why;
        }
        sight.blind = sight.blind.max(blind.unwrap_or_default());
    }
}
