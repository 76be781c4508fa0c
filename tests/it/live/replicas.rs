//! Replicas beside each other: one leads, and nothing depends on it.

use std::time::Duration;

use amends::{BeforePivot, Definition, Finished, Given, Plan, Saga, Step, Trigger};
use serde_json::{Value, json};
use sqlx::{Executor as _, PgPool, types::Uuid};

use crate::support::{Cash, Stage, eventually};

struct Sale;

impl Saga for Sale {
    const NAME: &'static str = "sale";
    const VERSION: u32 = 3;
    type Input = Value;
    type Output = Value;

    fn trigger() -> Trigger<Value> {
        Trigger::on("sales.made")
    }

    fn plan(p: Plan<BeforePivot>, sale: Given<Value>) -> Finished<Value> {
        let (p, paid) = p.pivot(Cash::with(sale));
        p.finish(paid)
    }
}

/// A sign of life of a replica that takes nothing.
const BEAT: &str = "insert into amends.leader (place, holder, definitions, since, at)
    values (encode(sha256('sale@3 '), 'hex'), '00000000-0000-0000-0000-000000000001', 'sale@3 ',
            clock_timestamp(), clock_timestamp())
    on conflict (place) do update set at = excluded.at";

fn definitions() -> Vec<Definition> {
    vec![Definition::of::<Sale>().unwrap()]
}

async fn serve(stage: &Stage) -> tokio::task::JoinHandle<()> {
    stage.serve("till", |_, _, sale| Some(json!({ "outcome": "ok", "output": sale }))).await
}

/// Who leads.
async fn leaders(stage: &Stage) -> Vec<Uuid> {
    let sql = "select holder from amends.leader
        where definitions = 'sale@3 ' and holder is not null";
    sqlx::query_scalar(sql).fetch_all(&stage.shop.pool).await.unwrap()
}

/// Leads as long as it is not stopped, and takes nothing.
async fn hang(pool: PgPool) {
    let mut beats = tokio::time::interval(Duration::from_millis(300));
    loop {
        beats.tick().await;
        pool.execute(BEAT).await.unwrap();
    }
}

async fn sell(stage: &Stage, ended: i64) {
    stage.publish("sales.made", json!({ "n": ended })).await;
    eventually("the end of a sale", async || {
        let count = "select count(*) from amends.sagas where status = 'completed'";
        let count: i64 = sqlx::query_scalar(count).fetch_one(&stage.shop.pool).await.ok()?;
        (count == ended).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_another_takes_its_place() {
    let mut stage = Stage::set().await;
    stage.enter("first", definitions()).await;
    let services = serve(&stage).await;
    let first = eventually("a leader", async || leaders(&stage).await.first().copied()).await;
    stage.enter("second", definitions()).await;
    sell(&stage, 1).await;
    assert_eq!(leaders(&stage).await, [first]);
    stage.leave("first").await;
    sell(&stage, 2).await;
    let next = eventually("the next leader", async || leaders(&stage).await.first().copied()).await;
    assert_ne!(next, first);
    stage.leave("second").await;
    services.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_leader_does_not_take_others_do() {
    let mut stage = Stage::set().await;
    let hung = tokio::spawn(hang(stage.shop.pool.clone()));
    eventually("a leader that hangs", async || leaders(&stage).await.first().copied()).await;
    stage.enter("standby", definitions()).await;
    let services = serve(&stage).await;
    sell(&stage, 1).await;
    sell(&stage, 2).await;
    // Its machine is gone.
    hung.abort();
    let gone = leaders(&stage).await;
    eventually("the next leader", async || (leaders(&stage).await != gone).then_some(())).await;
    sell(&stage, 3).await;
    stage.leave("standby").await;
    services.abort();
}
