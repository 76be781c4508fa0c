//! What a storm strikes: two orchestrators and all services as processes, each behind proxies, on a Postgres
//! whose clock can be set and a nats-server.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use async_nats::jetstream;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tokio::sync::Mutex;

use super::report::Report;
use crate::support::{Agency, FakedClock, Probe, Proxy, Shop, eventually, folder, listen, spell};

/// The login of all processes; the test's own is another.
pub(super) const LOGIN: &str = "crew";

pub(super) const ORCHESTRATORS: [&str; 2] = ["orchestrator-0", "orchestrator-1"];

/// The processes of services; all services of trips share one.
pub(super) const WORKERS: [&str; 5] = ["inventory", "payment", "shipping", "notification", "trips"];

/// How long a fault has to show.
const SHOWS: Duration = Duration::from_secs(10);

/// How long the database may take to answer the test.
const ANSWER: Duration = Duration::from_secs(2);

/// The ways of some processes to both servers.
pub(super) struct Way {
    pub(super) postgres: Proxy,
    pub(super) nats: Proxy,
}

pub(super) struct World {
    pub(super) shop: Mutex<Shop>,
    pub(super) clock: FakedClock,
    /// Of the first orchestrator, of the second, and of all services.
    pub(super) ways: [Way; 3],
    pub(super) probes: Vec<Probe>,
    pub(super) pool: PgPool,
    pub(super) jetstream: jetstream::Context,
    /// The database's address for the test.
    pub(super) database: String,
    /// The database's address for who logs in as the processes do.
    pub(super) login: String,
}

impl World {
    /// Everything runs, and nothing is wrong.
    pub(super) async fn open() -> Self {
        let folder = folder();
        let (local, clock) = FakedClock::of_servers(&folder).await;
        let shop = Shop::closed_on(folder, local).await;
        let database = shop.local.database_url().to_owned();
        let statements = [
            "create role crew login in role amends_orchestrator",
            "grant create on database amends to crew",
        ];
        spell::command(&database, &statements).await;
        let login = database.replacen("//amends@", "//crew@", 1);
        let ways = [way(&shop, &login).await, way(&shop, &login).await, way(&shop, &login).await];
        let mut probes = Vec::new();
        for role in ORCHESTRATORS {
            let port = listen(Ipv4Addr::LOCALHOST.into()).await.local_addr().unwrap();
            probes.push(Probe::at(role, port.to_string()));
        }
        let (pool, jetstream) = (shop.pool.clone(), shop.jetstream.clone());
        let shop = Mutex::new(shop);
        let world = Self { shop, clock, ways, probes, pool, jetstream, database, login };
        for role in ORCHESTRATORS.into_iter().chain(WORKERS) {
            world.start(role).await;
        }
        world.is_at_work().await;
        world
    }

    async fn is_at_work(&self) {
        for probe in &self.probes {
            probe.is_ready().await;
        }
        let schemas = "select count(*) from pg_tables where tablename = 'ledger'";
        eventually("all ledgers", async || (self.ask(schemas).await? == 9).then_some(())).await;
        let stock = "select count(*) from inventory.stock";
        eventually("the stock", async || (self.ask(stock).await? > 0).then_some(())).await;
        spell::can_fake_a_full_disk(&self.database).await;
    }

    pub(super) async fn start(&self, role: &str) {
        self.start_in(&mut *self.shop.lock().await, role);
    }

    fn start_in(&self, shop: &mut Shop, role: &str) {
        let stock = shop.stock();
        let orchestrator = ORCHESTRATORS.iter().position(|name| *name == role);
        let args = match (orchestrator, role) {
            (Some(n), _) => vec!["orchestrator", "--http", self.probes[n].address()],
            (None, "trips") => ["worker"].into_iter().chain(Agency::SERVICES).collect(),
            (None, service) => vec!["worker", service, "--seed-stock", &stock],
        };
        let way = &self.ways[orchestrator.unwrap_or(2)];
        let variables = [("DATABASE_URL", way.postgres.url()), ("NATS_URL", way.nats.url())];
        shop.start_with(role, &args, &variables);
    }

    /// Starts again what ends without being asked to, as any supervisor does; for ever.
    pub(super) async fn revive(&self, report: &Report) {
        let mut beat = tokio::time::interval(Duration::from_millis(300));
        loop {
            beat.tick().await;
            for role in ORCHESTRATORS.into_iter().chain(WORKERS) {
                let mut shop = self.shop.lock().await;
                if shop.has_ended(role) {
                    let code = shop.ends(role).await;
                    let log = shop.log_of(role);
                    report.ended(role, code, log.lines().last().unwrap_or_default());
                    self.start_in(&mut shop, role);
                }
            }
        }
    }

    /// Nothing is in anybody's way any more.
    pub(super) async fn calm(&self) {
        for way in &self.ways {
            way.postgres.pass();
            way.nats.pass();
        }
        self.clock.set_off(0);
    }

    /// A number from the database, if it answers at all.
    pub(super) async fn ask(&self, sql: &str) -> Option<i64> {
        let (pool, sql) = (self.pool.clone(), sql.to_owned());
        let asked =
            tokio::spawn(
                async move { sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&pool).await },
            );
        tokio::time::timeout(ANSWER, asked).await.ok()?.unwrap().ok()
    }

    /// What a new session of the processes' login is told.
    pub(super) async fn ask_as_they_do(&self, sql: &'static str) -> sqlx::Result<i64> {
        let mut session = PgConnection::connect(&self.login).await?;
        let answer = sqlx::query_scalar(sql).fetch_one(&mut session).await?;
        session.close().await?;
        Ok(answer)
    }

    /// All sagas that have not ended.
    pub(super) async fn open_sagas(&self) -> Option<Vec<String>> {
        let open = "select format('%s %s is %s at %s', definition, key, status, step)
            from amends.sagas where finished_at is null order by started_at";
        sqlx::query_scalar(open).fetch_all(&self.pool).await.ok()
    }
}

async fn way(shop: &Shop, database: &str) -> Way {
    let postgres = Proxy::before(database).await;
    Way { postgres, nats: Proxy::before(shop.local.nats_url()).await }
}

/// Lets a fault last, longer if it has to show first; whether it has shown.
pub(super) async fn lasts(time: Duration, mut shows: impl AsyncFnMut() -> bool) -> bool {
    let (began, mut shown) = (Instant::now(), false);
    let mut beat = tokio::time::interval(Duration::from_millis(100));
    while !shown && began.elapsed() < SHOWS {
        beat.tick().await;
        shown = shows().await;
    }
    tokio::time::sleep(time.saturating_sub(began.elapsed())).await;
    shown
}
