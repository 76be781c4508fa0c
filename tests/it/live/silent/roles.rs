//! The order example with probes, its orders in a steady stream, and what a fault does to both.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

use crate::support::{Load, Lookout, Probe, Published, SERVICES, Shop, Sight, eventually};

/// Between two orders.
const PAUSE: Duration = Duration::from_millis(50);

/// Orders by which it is seen that all lanes and services work.
const ORDERS: usize = 20;

/// The longest that a probe may say ready while nothing moves.
pub(super) const BLIND: Duration = Duration::from_secs(5);

pub(super) const ENDED: &str = "select count(*) from amends.saga where finished_at is not null";

pub(super) async fn orchestrator(shop: &mut Shop, name: &str, database: &str) -> Probe {
    let variables = [("DATABASE_URL", database)];
    shop.start_with(name, &["orchestrator", "--http", "127.0.0.1:0"], &variables);
    Probe::of(shop, name).await
}

pub(super) async fn worker(shop: &mut Shop, service: &str, database: &str) -> Probe {
    let stock = shop.stock();
    let args = ["worker", service, "--seed-stock", &stock, "--http", "127.0.0.1:0"];
    shop.start_with(service, &args, &[("DATABASE_URL", database)]);
    Probe::of(shop, service).await
}

/// All services but this one.
pub(super) fn start_workers_but(shop: &mut Shop, but: &str) {
    for service in SERVICES.into_iter().filter(|service| *service != but) {
        shop.start_worker(service);
    }
}

/// A shop at work.
pub(super) struct Open {
    pub(super) shop: Shop,
    load: Load,
    pub(super) probes: Vec<Probe>,
}

/// What happened after a fault began.
#[derive(Debug)]
pub(super) struct Course {
    /// When the orders that were placed after it had ended.
    pub(super) moving: Option<Duration>,
    pub(super) sights: Vec<Sight>,
}

impl Open {
    /// Orders flow, and these probes say ready.
    pub(super) async fn at(shop: Shop, probes: Vec<Probe>) -> Self {
        shop.listening().await;
        let load = Load::start(&shop, "o", PAUSE);
        shop.at_least(ENDED, 40).await;
        for probe in &probes {
            probe.is_ready().await;
        }
        Self { shop, load, probes }
    }

    /// Looks at the probes while orders come.
    pub(super) fn look_out(&self) -> Lookout {
        Lookout::over(&self.shop, &self.probes)
    }

    /// What happens once `strike` has, until orders that are placed afterwards have ended, for at most
    /// `patience`.
    pub(super) async fn struck(&self, patience: Duration, strike: impl AsyncFnOnce()) -> Course {
        let lookout = self.look_out();
        let began = Instant::now();
        strike().await;
        let before = self.load.published().len();
        let after = eventually("orders after a fault", async || {
            Some(self.load.published().get(before + 1..=before + ORDERS)?.to_vec())
        })
        .await;
        let mut beat = tokio::time::interval(Duration::from_millis(100));
        let mut moving = None;
        while moving.is_none() && began.elapsed() < patience {
            beat.tick().await;
            moving = (self.open_among(&after).await == 0).then(|| began.elapsed());
        }
        Course { moving, sights: lookout.end() }
    }

    pub(super) fn published(&self) -> Vec<Published> {
        self.load.published()
    }

    /// How long each of these orders took, from its publication to its end, in order of length.
    pub(super) async fn times_of(&self, orders: &[Published]) -> Vec<Duration> {
        const ENDS: &str = "select key, finished_at from amends.sagas
            where key = any($1) and finished_at is not null";
        let keys: Vec<_> = orders.iter().map(|order| order.key.clone()).collect();
        let ends: BTreeMap<String, DateTime<Utc>> = eventually("the end of orders", async || {
            let ends = sqlx::query_as(ENDS).bind(&keys).fetch_all(&self.shop.pool).await.ok()?;
            (ends.len() == keys.len()).then(|| ends.into_iter().collect())
        })
        .await;
        let mut times: Vec<_> =
            orders.iter().map(|o| (ends[&o.key] - o.at).to_std().unwrap_or_default()).collect();
        times.sort_unstable();
        times
    }

    async fn open_among(&self, orders: &[Published]) -> usize {
        const ENDED: &str =
            "select count(*) from amends.sagas where key = any($1) and finished_at is not null";
        let keys: Vec<_> = orders.iter().map(|order| order.key.clone()).collect();
        let ended =
            sqlx::query_scalar::<_, i64>(ENDED).bind(&keys).fetch_one(&self.shop.pool).await;
        orders.len() - usize::try_from(ended.unwrap_or(0)).unwrap()
    }

    /// Until every order has ended; panics when ledgers do not balance.
    pub(super) async fn closes(self) -> Shop {
        let orders = i64::try_from(self.load.stop().await.len()).unwrap();
        self.shop.settled(orders).await;
        let audit = self.shop.audit().await;
        assert_eq!(audit.count("completed") + audit.count("compensated"), orders, "{audit:?}");
        self.shop
    }
}

impl Course {
    /// Panics unless it went on in time, and no probe said ready for too long while it did not.
    #[allow(clippy::print_stdout, reason = "a fault tells what it did")]
    pub(super) fn assert_moving_within(&self, bound: Duration) {
        println!("{self}");
        let in_time = self.moving.is_some_and(|moving| moving <= bound);
        let seen = self.sights.iter().all(|sight| sight.blind <= BLIND);
        assert!(in_time && seen, "moving within {bound:?}, blind for {BLIND:?}: {self}");
    }
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.moving {
            Some(moving) => write!(f, "moving after {moving:.1?}")?,
            None => write!(f, "not moving")?,
        }
        self.sights.iter().try_for_each(|sight| write!(f, "; {sight}"))
    }
}
