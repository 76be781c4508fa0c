//! Random plans of all parts on real servers, with services and people that do whatever they may, while
//! orchestrators are killed, connections cut and streams deleted. In the end every saga has ended, and
//! the services' own books say that it ended right.
//!
//! `AMENDS_RANDOM_SEED` draws other plans, services and faults, `AMENDS_RANDOM_SAGAS` a longer run. What
//! meets what is up to the clock: a seed is no replay.

mod archive;
mod faults;
mod judge;
mod ledger;
mod operator;
mod plan;
mod producer;
mod replica;
mod seen;
mod services;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    faults::{FAULTS, Stricken},
    operator::Operator,
    plan::{Plan, SERVICES},
    producer::Producer,
    seen::Seen,
    services::Services,
};
use crate::support::{Chance, Shop, eventually};

const SEED: u64 = 20_260_117;
const SAGAS: usize = 2_000;
const PLANS: usize = 24;

/// Sagas that are published at once.
const BURST: usize = 40;

/// Open sagas above which no more are published.
const OPEN_MAX: i64 = 250;

/// Messages that nobody can use.
const POISON: i64 = 3;

/// How long all that is open may take to end once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(180);

/// What must have happened for a run to prove something.
const WANTED: &[&str] = &[
    "act cancel: noted",
    "act pause: noted",
    "act resolve: noted",
    "act resume: noted",
    "act retry: noted",
    "act skip: noted",
    "action answered: doubled reply",
    "action answered: late reply",
    "action answered: lost command",
    "action answered: lost reply",
    "action answered: pending, and no reply until asked",
    "action answered: pending, then the real reply",
    "action answered: rejected",
    "action answered: retry",
    "await of a saga that compensated",
    "await of a saga that completed",
    "backend terminated",
    "call of a saga that compensated",
    "call of a saga that completed",
    "choice of a saga that compensated",
    "choice of a saga that completed",
    "compensation answered: doubled reply",
    "compensation answered: late reply",
    "compensation answered: lost command",
    "compensation answered: lost reply",
    "compensation answered: pending, then the real reply",
    "compensation answered: rejected",
    "compensation answered: retry",
    "delay of a saga that compensated",
    "delay of a saga that completed",
    "delay until of a saga that compensated",
    "delay until of a saga that completed",
    "doubled trigger",
    "event: before its saga",
    "event: doubled",
    "event: in time",
    "event: late",
    "event: not published",
    "fact cancel of saga",
    "fact deadline of saga",
    "fact granted of saga",
    "fact late of action",
    "fact pause of saga",
    "fact resolve of action",
    "fact resolve of compensation",
    "fact resume of saga",
    "fact retry of saga",
    "fact skip of action",
    "fact skip of compensation",
    "fact timed_out of action",
    "fact timed_out of compensation",
    "fact undo of saga",
    "list of a saga that compensated",
    "list of a saga that completed",
    "message purged",
    "nested saga of a saga that compensated",
    "nested saga of a saga that completed",
    "void action",
];

/// A run: its plans, its servers, and who takes part.
struct Run {
    seed: u64,
    sagas: usize,
    plans: Vec<Arc<Plan>>,
    shop: Shop,
    seen: Arc<Seen>,
    services: Arc<Services>,
    producer: Arc<Producer>,
    began: Instant,
}

fn setting<T: std::str::FromStr<Err: std::fmt::Debug>>(name: &str, usual: T) -> T {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_plans_end_right_whatever_happens() {
    let run = Run::begin().await;
    let mut stricken = Stricken::start(&run.shop, &run.plans, &run.seen).await;
    for service in SERVICES {
        tokio::spawn(Arc::clone(&run.services).serve(service));
    }
    run.poison().await;
    let operator = run.operator();
    let acting = tokio::spawn(Arc::clone(&operator).act());
    run.storm(&mut stricken).await;
    run.services.mend();
    operator.calm_down();
    run.ended().await;
    acting.abort();
    stricken.drain().await;
    run.judge().await;
}

impl Run {
    async fn begin() -> Self {
        let seed = setting("AMENDS_RANDOM_SEED", SEED);
        let shop = Shop::closed().await;
        let seen = Arc::new(Seen::default());
        Self {
            seed,
            sagas: setting("AMENDS_RANDOM_SAGAS", SAGAS),
            plans: (0..PLANS).map(|n| plan::plan(seed, &format!("r{n}"))).collect(),
            services: Services::new(seed, shop.jetstream.clone(), Arc::clone(&seen)),
            producer: Producer::new(shop.jetstream.clone(), Arc::clone(&seen)),
            seen,
            shop,
            began: Instant::now(),
        }
    }

    fn operator(&self) -> Arc<Operator> {
        let (services, producer) = (Arc::clone(&self.services), Arc::clone(&self.producer));
        Operator::new(self.shop.pool.clone(), &self.plans, services, producer, self.seed)
    }

    #[allow(clippy::print_stdout, reason = "a run tells what it does")]
    fn tell(&self, what: &str) {
        println!("{:>7.1?}  {what}", self.began.elapsed());
    }

    /// Letters that are to be there in the end, and no others.
    async fn poison(&self) {
        let subject = &self.plans[0].outline.trigger;
        for _ in 0..POISON {
            self.producer.publish(subject.clone(), "poison".to_owned()).await;
        }
        let letters = "select count(*) from amends.dead_letters where body = 'poison'";
        self.shop.at_least(letters, POISON).await;
    }

    /// Publishes all triggers, while faults strike.
    async fn storm(&self, stricken: &mut Stricken<'_>) {
        let mut chance = Chance::of(self.seed, "faults");
        let bursts = self.sagas.div_ceil(BURST);
        let every = (bursts / FAULTS.len() / 2).max(1);
        for burst in 0..bursts {
            self.room(OPEN_MAX).await;
            for n in burst * BURST..self.sagas.min((burst + 1) * BURST) {
                self.producer.want(self.seed, &self.plans[n % PLANS], n).await;
            }
            if burst % every == every / 2 {
                let fault = FAULTS[burst / every % FAULTS.len()];
                stricken.strike(fault, &mut chance).await;
                self.tell(&format!("{fault:?}, after {} triggers", (burst + 1) * BURST));
            }
        }
        self.tell("all is published");
        self.room(OPEN_MAX / 5).await;
        self.tell("nothing goes wrong any more");
    }

    /// Until few enough sagas are open.
    async fn room(&self, open_max: i64) {
        let open = "select count(*) from amends.timer";
        eventually("room for more sagas", async || {
            (self.shop.number(open).await < open_max).then_some(())
        })
        .await;
    }

    /// Until every saga that was wanted has ended.
    async fn ended(&self) {
        let (pool, began) = (&self.shop.pool, Instant::now());
        let mut beat = tokio::time::interval(Duration::from_secs(1));
        loop {
            beat.tick().await;
            // In this order: what is silent opens nothing again.
            let silent = self.services.are_silent().await;
            let lost = self.producer.want_lost(pool).await;
            let open =
                sqlx::query_scalar("select count(*) from amends.timer").fetch_one(pool).await;
            if silent && lost == 0 && matches!(open, Ok(0_i64)) {
                return self.tell("all has ended");
            }
            if began.elapsed() > PATIENCE {
                let open: Vec<String> = sqlx::query_scalar(OPEN).fetch_all(pool).await.unwrap();
                let seed = self.seed;
                panic!(
                    "seed {seed}: {lost} sagas did not begin, services are silent: {silent}, and these \
                     did not end: {open:#?}"
                );
            }
        }
    }

    #[allow(clippy::print_stdout, reason = "a run tells what it has seen")]
    async fn judge(&self) {
        let (seed, seen) = (self.seed, &self.seen);
        let ledger = std::mem::take(&mut *self.services.ledger.lock().unwrap());
        seen.add("void action", ledger.voided);
        let mut breaches = judge::breaches(&self.shop.pool, &self.plans, &ledger, seen).await;
        breaches.append(&mut self.services.wrong.lock().unwrap());
        let letters = self.shop.number("select count(*) from amends.dead_letters").await;
        println!("seed {seed}\n{seen}");
        assert!(breaches.is_empty(), "seed {seed}: {} breaches: {breaches:#?}", breaches.len());
        assert_eq!(letters, POISON, "seed {seed}: dead letters");
        let faults = FAULTS.map(|fault| fault.name());
        let wanted: Vec<_> =
            WANTED.iter().copied().chain(faults.iter().map(String::as_str)).collect();
        let missing = seen.missing(&wanted);
        // A run that somebody made shorter need not see everything.
        assert!(missing.is_empty() || self.sagas < SAGAS, "seed {seed} never saw {missing:?}");
    }
}

/// Some sagas that are open, with all that was recorded of them.
const OPEN: &str = "
    select json_build_object('saga', s, 'timer', t.due_at,
        'locks', (select json_agg(l) from amends.lock l where l.saga_id = s.id),
        'acts', (select json_agg(a) from amends.acts a where a.saga_id = s.id),
        'facts', (select json_agg(f order by f.seq) from amends.facts f where f.saga_id = s.id))::text
    from amends.timer t join amends.saga s on s.id = t.saga_id
    order by s.id limit 5";
