//! Several versions of a definition side by side, in replicas that do not know all of them.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use amends::{BeforePivot, Definition, Finished, Given, Plan, Saga, Step, Trigger};
use serde_json::{Value, json};

use crate::support::{Stage, eventually};

struct Work;

impl Step for Work {
    const NAME: &'static str = "shop.work";
    type Input = Value;
    type Output = u64;
    type Rejection = Infallible;
}

impl amends::Compensatable for Work {}

/// One step in version 1, two in version 2.
struct Job<const VERSION: u32>;

impl<const VERSION: u32> Saga for Job<VERSION> {
    const NAME: &'static str = "job";
    const VERSION: u32 = VERSION;
    type Input = Value;
    type Output = u64;

    fn trigger() -> Trigger<Value> {
        Trigger::on("jobs.wanted").key(|job| job["id"].to_string())
    }

    fn plan(mut p: Plan<BeforePivot>, job: Given<Value>) -> Finished<u64> {
        let mut done = p.step(Work::with(job.clone()));
        if VERSION > 1 {
            done = p.step(Work::with(job).named("shop.more"));
        }
        p.finish(done)
    }
}

fn one() -> Definition {
    Definition::of::<Job<1>>().unwrap()
}

fn two() -> Definition {
    Definition::of::<Job<2>>().unwrap()
}

async fn wanted(stage: &Stage, from: usize, to: usize) {
    for id in from..to {
        stage.publish("jobs.wanted", json!({"id": id})).await;
    }
}

/// A service that answers once it may.
async fn shop(stage: &Stage) -> Arc<AtomicBool> {
    let open = Arc::new(AtomicBool::new(false));
    let may = Arc::clone(&open);
    stage
        .serve("shop", move |_, _, _| {
            may.load(Ordering::Relaxed).then(|| json!({"outcome": "ok", "output": 1}))
        })
        .await;
    open
}

async fn ended(stage: &Stage, version: i32, count: i64) {
    eventually(&format!("{count} sagas of version {version} ended"), async || {
        let ended: i64 = sqlx::query_scalar(
            "select count(*) from amends.sagas where version = $1 and status = 'completed'",
        )
        .bind(version)
        .fetch_one(&stage.shop.pool)
        .await
        .unwrap();
        (ended == count).then_some(())
    })
    .await;
}

/// An upgrade, with old and new replicas side by side, and back again.
#[tokio::test]
async fn every_saga_ends_under_the_version_it_began_with() {
    let mut stage = Stage::set().await;
    stage.enter("old", vec![one()]).await;
    let open = shop(&stage).await;
    wanted(&stage, 0, 20).await;
    stage.shop.at_least("select count(*) from amends.saga where version = 1", 20).await;

    // Up: the new replica knows both versions.
    stage.enter("new", vec![one(), two()]).await;
    stage.leave("old").await;
    wanted(&stage, 20, 40).await;
    stage.shop.at_least("select count(*) from amends.saga where version = 2", 20).await;

    // Down: the old replica meets sagas of version 2. Their replies come to it, too.
    stage.enter("old", vec![one()]).await;
    stage.leave("new").await;
    open.store(true, Ordering::Relaxed);
    ended(&stage, 1, 20).await;
    // What was silent is asked again by nobody: no replica knows version 2. Replies of a service
    // that took its time:
    let sagas: Vec<uuid::Uuid> = sqlx::query_scalar("select id from amends.saga where version = 2")
        .fetch_all(&stage.shop.pool)
        .await
        .unwrap();
    for saga in &sagas {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Amends-Id", format!("{saga}:shop.work:action:1"));
        let reply = r#"{"outcome":"ok","output":1}"#;
        let jetstream = &stage.shop.jetstream;
        let ack = jetstream.publish_with_headers("amends.reply.shop", headers, reply.into());
        ack.await.unwrap().await.unwrap();
    }
    stage.shop.at_least("select count(*) from amends.mailbox where kind = 'reply'", 20).await;
    let replies: async_nats::jetstream::consumer::PullConsumer = stage
        .shop
        .jetstream
        .get_consumer_from_stream("orchestrator", "AMENDS_REPLIES")
        .await
        .unwrap();
    eventually("that no reply is held up", async || {
        let mut replies = replies.clone();
        let info = replies.info().await.ok()?;
        (info.num_pending == 0 && info.num_ack_pending == 0).then_some(())
    })
    .await;

    // Up again: what was left to it goes on.
    stage.enter("new", vec![one(), two()]).await;
    ended(&stage, 2, 20).await;
    assert_eq!(stage.shop.number("select count(*) from amends.dead_letters").await, 0);
    assert_eq!(stage.shop.number("select count(*) from amends.saga").await, 40);
}

#[tokio::test]
async fn a_retired_version_starts_no_more_sagas_and_drains() {
    let mut stage = Stage::set().await;
    stage.enter("old", vec![one()]).await;
    let open = shop(&stage).await;
    wanted(&stage, 0, 5).await;
    stage.shop.at_least("select count(*) from amends.saga", 5).await;
    sqlx::query("select amends.retire('job', 1, 'version 2 does more')")
        .execute(&stage.shop.pool)
        .await
        .unwrap();
    let draining = "select open_sagas from amends.definitions where version = 1";
    assert_eq!(stage.shop.number(draining).await, 5);
    // It holds at once. What the orchestrator leaves alone is delivered again.
    wanted(&stage, 5, 8).await;
    let triggers: async_nats::jetstream::consumer::PullConsumer =
        stage.shop.jetstream.get_consumer_from_stream("amends-job", "AMENDS_EVENTS").await.unwrap();
    eventually("triggers that are left alone", async || {
        let info = triggers.get_info().await.ok()?;
        (info.num_redelivered == 3).then_some(())
    })
    .await;
    open.store(true, Ordering::Relaxed);
    ended(&stage, 1, 5).await;
    assert_eq!(stage.shop.number(draining).await, 0);
    stage.enter("new", vec![one(), two()]).await;
    ended(&stage, 2, 3).await;
    assert_eq!(stage.shop.number("select count(*) from amends.saga where version = 1").await, 5);
}

/// Those of a trigger, of a batch of triggers, and of SQL.
#[tokio::test]
async fn the_version_before_a_retired_one_starts_all_that_come_later() {
    let mut stage = Stage::set().await;
    stage.enter("both", vec![one(), two()]).await;
    shop(&stage).await.store(true, Ordering::Relaxed);
    wanted(&stage, 0, 5).await;
    ended(&stage, 2, 5).await;
    let retire = "select amends.retire('job', 2, 'it does too much')";
    sqlx::query(retire).execute(&stage.shop.pool).await.unwrap();
    let start = "select amends.start('job', '{\"id\": 5}')";
    sqlx::query(start).execute(&stage.shop.pool).await.unwrap();
    wanted(&stage, 6, 30).await;
    ended(&stage, 1, 25).await;
    assert_eq!(stage.shop.number("select count(*) from amends.sagas where version = 2").await, 5);
}
