//! The statements that move sagas beside a plain model of them: random batches, with duplicates and
//! conflicts, are run on a real Postgres, and after each the tables hold what the model says.
//!
//! `AMENDS_SEEDS` asks for more or fewer runs, `AMENDS_SEED` for one of them.

mod operation;
mod rows;
mod tables;
mod world;

use std::{cell::RefCell, collections::BTreeMap};

use proptest::{
    collection::vec,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};

use crate::statements::{Session, sqlstate};
use operation::{Operation, operation};
use tables::{CLEAR, DUMP, Dump};
use world::Predicted;

/// Runs of the suite, and operations of each on average: 10,200 in all.
const SEEDS: u64 = 255;
const OPERATIONS: usize = 40;

/// A database, and what happened in it so far.
struct House {
    session: Session,
    /// How often each operation was carried out, and refused.
    seen: BTreeMap<&'static str, [usize; 2]>,
}

impl House {
    async fn new() -> Self {
        let mut session = Session::new().await;
        session.ask("set synchronous_commit = off").await.unwrap();
        Self { session, seen: BTreeMap::new() }
    }

    async fn dump(&mut self) -> Dump {
        serde_json::from_str(&self.session.ask(DUMP).await.unwrap()[0][0]).unwrap()
    }

    /// Runs these on empty tables; how the first that does not what it should differs.
    async fn run(&mut self, operations: &[Operation]) -> Result<(), String> {
        self.session.ask(CLEAR).await.unwrap();
        let mut before = self.dump().await;
        for (n, operation) in operations.iter().enumerate() {
            if operation.prepare(&mut self.session).await {
                before = self.dump().await;
            }
            let wrong = |what| format!("operation {n}, {operation:?}: {what}\nbefore {before:#?}");
            let mut predicted = Predicted::of(&before);
            let expected = operation.predict(&before, &mut predicted);
            let done = operation.run(&before, &mut self.session).await;
            let after = self.dump().await;
            let count = self.seen.entry(operation.name(&before)).or_default();
            match (&expected, &done) {
                (Ok(()), Ok(rows)) => {
                    count[0] += 1;
                    operation.check(&before, &mut predicted, rows).map_err(wrong)?;
                }
                (Err(codes), Err(error)) if codes.contains(&sqlstate(error).as_str()) => {
                    count[1] += 1;
                    predicted = Predicted::of(&before);
                }
                _ => return Err(wrong(format!("{done:?}, and not {expected:?}"))),
            }
            if let Some(what) = predicted.differences(&before, &after) {
                return Err(wrong(what));
            }
            before = after;
        }
        Ok(())
    }
}

fn asked(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// What is drawn from a seed; a failure is told with the fewest operations that lead to it.
fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: 1, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

#[test]
fn statements_do_what_their_model_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let house = RefCell::new(runtime.block_on(House::new()));
    let seeds = match asked("AMENDS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..asked("AMENDS_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds.clone() {
        let operations = vec(operation(), 0..=2 * OPERATIONS);
        let run = runner(seed).run(&operations, |operations| {
            let done = runtime.block_on(house.borrow_mut().run(&operations));
            done.map_err(TestCaseError::fail)
        });
        if let Err(error) = run {
            panic!("AMENDS_SEED={seed}: {error}");
        }
    }
    let seen = house.borrow().seen.clone();
    let all: usize = seen.values().flatten().sum();
    println!("{all} operations: {seen:?}");
    if seeds.end - seeds.start >= SEEDS {
        assert!(all >= 10_000, "{all}");
        for name in operation::NAMES {
            let [done, refused] = seen.get(name).copied().unwrap_or_default();
            assert!(done >= 50, "{name} was carried out {done} times only: {seen:?}");
            assert!(
                refused >= 10 || !operation::REFUSED.contains(&name),
                "{name} was refused {refused} times only: {seen:?}"
            );
        }
    }
}
