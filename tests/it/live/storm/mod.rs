//! Up to three of many faults at once, on servers, ways and processes, while orders and trips come. Once all
//! faults are over every saga ends, and the services' own ledgers say that it ended right.
//!
//! `AMENDS_STORM_SECONDS` makes it last longer, `AMENDS_STORM_SEED` draws other faults, times and orders;
//! `AMENDS_STORM_ONLY` names the faults to draw from, separated by commas. What meets what is up to the
//! clock: a seed is no replay.

mod deck;
mod judge;
mod nats;
mod network;
mod postgres;
mod processes;
mod producer;
mod report;
mod world;

use std::{
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    deck::Deck, nats::NatsFault, network::NetworkFault, postgres::PostgresFault,
    processes::ProcessFault, producer::Producer, report::Report, world::World,
};
use crate::support::{Chance, Lookout, eventually};

const SEED: u64 = 20_260_211;
const SECONDS: u64 = 60;

/// How long all that is open may take to end once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(120);

/// A setting of the environment.
fn setting<T: std::str::FromStr<Err: Debug>>(name: &str, usual: T) -> T {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_saga_ends_right_after_a_storm() {
    let storm = Storm::gathers().await;
    let lookout = Lookout::over_orchestrators(&*storm.world.shop.lock().await, &storm.world.probes);
    let publishing = storm.producer.start();
    tokio::select! {
        () = storm.rages() => {}
        () = storm.world.revive(&storm.report) => {}
    }
    storm.report.blind(lookout.end());
    publishing.stop().await;
    let calm = Instant::now();
    storm.world.calm().await;
    tokio::select! {
        () = storm.ended(calm) => {}
        () = storm.world.revive(&storm.report) => {}
    }
    judge::judge(&storm.world, &storm.report).await;
    storm.report.is_good(storm.seed);
}

struct Storm {
    seed: u64,
    length: Duration,
    only: Option<Vec<String>>,
    began: Instant,
    world: World,
    producer: Arc<Producer>,
    report: Report,
}

impl Storm {
    async fn gathers() -> Self {
        let seed = setting("AMENDS_STORM_SEED", SEED);
        let length = Duration::from_secs(setting("AMENDS_STORM_SECONDS", SECONDS));
        let only = deck::only();
        let world = World::open().await;
        let producer = Producer::new(seed, &world);
        let (began, report) = (Instant::now(), Report::default());
        Self { seed, length, only, began, world, producer, report }
    }

    /// Three fronts, each with one fault at a time: Postgres, nats-server, and what lies around them.
    async fn rages(&self) {
        let world = &self.world;
        let around: Vec<_> = NetworkFault::ALL
            .map(Around::Network)
            .into_iter()
            .chain(ProcessFault::ALL.map(Around::Process))
            .collect();
        tokio::join!(
            self.front("postgres", &PostgresFault::ALL, async |fault: PostgresFault, chance| {
                fault.strike(world, chance).await
            }),
            self.front("nats", &NatsFault::ALL, async |fault: NatsFault, chance| {
                fault.strike(world, chance).await
            }),
            self.front("around", &around, async |fault: Around, chance| match fault {
                Around::Network(fault) => fault.strike(world, chance).await,
                Around::Process(fault) => fault.strike(world, chance).await,
            }),
        );
    }

    async fn front<F: Copy + Debug>(
        &self,
        name: &str,
        faults: &[F],
        strike: impl AsyncFn(F, &mut Chance) -> bool,
    ) {
        let mut chance = Chance::of(self.seed, name);
        let Some(mut deck) = Deck::of(faults, self.only.as_deref()) else { return };
        while self.began.elapsed() < self.length {
            tokio::time::sleep(chance.millis(200, 1_200)).await;
            let fault = deck.deal(&mut chance);
            self.report.tell(self.began, &format!("{fault:?}"));
            let landed = strike(fault, &mut chance).await;
            self.report.struck(format!("{fault:?}"), landed);
        }
    }

    /// Until every saga that was wanted has ended, or until it took too long.
    async fn ended(&self, calm: Instant) {
        let mut beat = tokio::time::interval(Duration::from_millis(500));
        while calm.elapsed() < PATIENCE {
            beat.tick().await;
            let lost = self.producer.want_lost(&self.world).await;
            let open = self.world.ask("select count(*) from amends.timer").await;
            self.report.lost(lost.unwrap_or(0));
            if (lost, open) == (Some(0), Some(0)) {
                return self.report.over(calm.elapsed());
            }
        }
        for saga in eventually("the open sagas", async || self.world.open_sagas().await).await {
            self.report.violation(format!("does not end within {PATIENCE:?}: {saga}"));
        }
    }
}

/// What strikes neither server.
#[derive(Clone, Copy)]
enum Around {
    Network(NetworkFault),
    Process(ProcessFault),
}

impl Debug for Around {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network(fault) => fault.fmt(f),
            Self::Process(fault) => fault.fmt(f),
        }
    }
}
