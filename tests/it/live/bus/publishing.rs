//! What a batch publishes is published, however much it is.

use std::convert::Infallible;

use amends::{
    BeforePivot, Compensatable, Definition, Finished, Given, Plan, Saga, Step, Trigger, wire,
};
use serde_json::{Value, json};

use crate::support::{Stage, eventually};

struct Paint;

impl Step for Paint {
    const NAME: &'static str = "painter.paint";
    type Input = u32;
    type Output = Value;
    type Rejection = Infallible;
}

impl Compensatable for Paint {}

/// A step for each of many walls, all at once.
struct House;

impl Saga for House {
    const NAME: &'static str = "house";
    const VERSION: u32 = 1;
    type Input = Vec<u32>;
    type Output = ();

    fn trigger() -> Trigger<Vec<u32>> {
        Trigger::on("houses.built")
    }

    fn plan(mut p: Plan<BeforePivot>, walls: Given<Vec<u32>>) -> Finished<()> {
        let painted = p.step(Paint::each(walls).at_once(WALLS));
        p.finish(painted.map(drop))
    }
}

/// Together more than the client waits for acks of at once, which is 5,000.
const HOUSES: u32 = 12;
const WALLS: u32 = 900;

/// Whatever waits when an orchestrator starts is one batch.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_may_have_more_commands_than_the_client_waits_for_at_once() {
    let mut stage = Stage::set().await;
    let definitions = || vec![Definition::of::<House>().unwrap()];
    stage.enter("first", definitions()).await;
    stage.leave("first").await;
    for _ in 0..HOUSES {
        stage.publish("houses.built", json!((0..WALLS).collect::<Vec<_>>())).await;
    }
    stage.enter("second", definitions()).await;
    let all = u64::from(HOUSES * WALLS);
    eventually("all commands", async || {
        let stream = stage.shop.jetstream.get_stream(wire::COMMANDS_STREAM).await.ok()?;
        (stream.cached_info().state.messages >= all).then_some(())
    })
    .await;
    // Each was sent once: no attempt had to be given up for it.
    let repeated = "select count(*) from amends.history where kind = 'timed_out'";
    assert_eq!(stage.shop.number(repeated).await, 0);
    stage.leave("second").await;
}
