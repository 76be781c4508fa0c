//! Old sagas go with their partitions; what has not ended stays, and so do business keys.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use amends::{Await, BeforePivot, Definition, Finished, Given, Plan, Retry, Saga, Step, Trigger};
use amends_orchestrator::Config;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::time::MissedTickBehavior;

use crate::support::{Shop, Stage, eventually};

#[derive(Serialize, Deserialize, Clone)]
struct Wanted {
    id: String,
    waits: bool,
}

#[derive(Serialize, Deserialize)]
struct Told {
    id: String,
}

struct Work;

impl Step for Work {
    const NAME: &'static str = "shop.work";
    type Input = Wanted;
    type Output = ();
    type Rejection = Infallible;
}

/// Whoever may answer at once gives up at once.
struct Job;

impl Saga for Job {
    const NAME: &'static str = "job";
    const VERSION: u32 = 1;
    type Input = Wanted;
    type Output = ();

    fn trigger() -> Trigger<Wanted> {
        Trigger::<Wanted>::on("jobs.wanted").key(|job| job.id.clone())
    }

    fn plan(mut p: Plan<BeforePivot>, job: Given<Wanted>) -> Finished<()> {
        p.step(
            Await::<Told>::on("jobs.told")
                .matching(|told| told.id.clone())
                .only_if(job.map(|job| job.waits)),
        );
        let once = Retry::exponential(Duration::from_millis(1), Duration::from_millis(1)).limit(1);
        let (p, done) = p.pivot(Work::with(job).retry(once));
        p.finish(done)
    }
}

/// A job without a business key.
struct Nameless;

impl Saga for Nameless {
    const NAME: &'static str = "nameless";
    const VERSION: u32 = 1;
    type Input = Wanted;
    type Output = ();

    fn trigger() -> Trigger<Wanted> {
        Trigger::on("nameless.wanted")
    }

    fn plan(p: Plan<BeforePivot>, job: Given<Wanted>) -> Finished<()> {
        let (p, done) = p.pivot(Work::with(job));
        p.finish(done)
    }
}

fn definitions() -> Vec<Definition> {
    vec![Definition::of::<Job>().unwrap(), Definition::of::<Nameless>().unwrap()]
}

const RETAIN: Duration = Duration::from_secs(8);

/// An orchestrator that keeps sagas for some seconds, and a service that answers; `silent` not
/// before `awake`, and `broken` breaks until then.
async fn stage() -> (Stage, Arc<AtomicBool>) {
    let mut stage = Stage::set().await;
    let config = Config { retain: Some(RETAIN), ..Config::default() };
    stage.enter_with("one", config, definitions()).await;
    let awake = Arc::new(AtomicBool::new(false));
    let is_awake = Arc::clone(&awake);
    stage
        .serve("shop", move |_, _, job| match job["id"].as_str() {
            Some("silent") if !is_awake.load(Ordering::Relaxed) => None,
            Some("broken") if !is_awake.load(Ordering::Relaxed) => {
                Some(json!({"outcome": "retry", "message": "out of order"}))
            }
            _ => Some(json!({"outcome": "ok"})),
        })
        .await;
    (stage, awake)
}

fn job(id: &str) -> Value {
    json!({"id": id, "waits": id == "waiting"})
}

async fn status(stage: &Stage, key: &str) -> Option<String> {
    sqlx::query_scalar("select status from amends.sagas where key = $1")
        .bind(key)
        .fetch_optional(&stage.shop.pool)
        .await
        .unwrap()
}

async fn reaches(stage: &Stage, key: &str, wanted: &str) {
    eventually(&format!("{key} {wanted}"), async || {
        (status(stage, key).await.as_deref() == Some(wanted)).then_some(())
    })
    .await;
}

/// Bytes of all sagas and facts on the disk.
async fn bytes(stage: &Stage) -> i64 {
    stage
        .shop
        .number(
            "select sum(pg_total_relation_size(p.relid))::bigint
             from unnest(array['amends.saga', 'amends.fact']::regclass[]) as t (name),
                  pg_partition_tree(t.name) p",
        )
        .await
}

const DROPPED: &str = "select count(*) from amends.keys k
    where not exists (select from amends.sagas s where s.id = k.saga_id)";
const LETTERS: &str = "select count(*) from amends.dead_letters";

#[tokio::test]
async fn the_disk_stays_flat_and_open_sagas_stay_whole() {
    let (stage, awake) = stage().await;
    for id in ["silent", "broken", "waiting"] {
        stage.publish("jobs.wanted", job(id)).await;
    }
    reaches(&stage, "broken", "stuck").await;
    reaches(&stage, "silent", "running").await;
    stage.shop.at_least("select count(*) from amends.waits", 1).await;
    let facts = "select count(*) from amends.history h
        join amends.keys k on k.saga_id = h.saga_id where k.key in ('silent', 'broken', 'waiting')";
    let before = stage.shop.number(facts).await;

    // Sagas come at the same pace for four times as long as they are kept.
    let mut peaks = Vec::new();
    let mut pace = tokio::time::interval(Duration::from_millis(40));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for window in 0..4 {
        let mut peak = 0;
        for n in 0..200 {
            pace.tick().await;
            for m in 0..4 {
                let id = format!("{window}-{n}-{m}");
                let body = job(&id).to_string().into();
                stage.shop.jetstream.publish("jobs.wanted", body).await.unwrap().await.unwrap();
            }
            if n % 10 == 0 {
                peak = peak.max(bytes(&stage).await);
            }
        }
        peaks.push(peak);
    }
    stage.shop.at_least(DROPPED, 1000).await;
    assert!(peaks[3] < peaks[1] * 3 / 2, "bytes on the disk: {peaks:?}");

    // The first three have been too old for long; nothing of them is gone.
    assert_eq!(status(&stage, "broken").await.as_deref(), Some("stuck"));
    assert!(stage.shop.number(facts).await >= before);
    awake.store(true, Ordering::Relaxed);
    stage.publish("jobs.told", json!({"id": "waiting"})).await;
    let retry =
        "select amends.retry(k.saga_id, 'works again') from amends.keys k where key = 'broken'";
    sqlx::query(retry).execute(&stage.shop.pool).await.unwrap();
    // The silent one is asked again when its attempt has timed out, or by hand.
    let resolve = "select amends.resolve(k.saga_id, 'shop.work', '{\"outcome\":\"ok\"}', 'seen')
        from amends.keys k where key = 'silent'";
    sqlx::query(resolve).execute(&stage.shop.pool).await.unwrap();
    // They end, and are dropped then; that all went well their news say.
    stage.shop.at_least(DROPPED, 3203).await;
    assert_eq!(stage.shop.number(LETTERS).await, 0);
    let said = said(&stage).await;
    for key in ["silent", "broken", "waiting"] {
        assert!(said.contains(&(key.to_owned(), "completed".to_owned())), "{key}");
    }
}

/// What the news say: key and status.
async fn said(stage: &Stage) -> Vec<(String, String)> {
    let stream = stage.shop.jetstream.get_stream("AMENDS_SAGAS").await.unwrap();
    let info = stream.get_info().await.unwrap();
    let mut said = Vec::new();
    for sequence in info.state.first_sequence..=info.state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        let news: Value = serde_json::from_slice(&message.payload).unwrap();
        if let Some(key) = news["data"]["key"].as_str() {
            let status = message.subject.rsplit('.').next().unwrap();
            said.push((key.to_owned(), status.to_owned()));
        }
    }
    said
}

#[tokio::test]
async fn a_dropped_saga_keeps_its_key_and_an_old_message_still_works() {
    let (mut stage, awake) = stage().await;
    awake.store(true, Ordering::Relaxed);
    stage.publish("jobs.wanted", job("a")).await;
    stage.publish("nameless.wanted", job("silent")).await;
    let id: sqlx::types::Uuid = eventually("a saga without a key", async || {
        let id = "select id from amends.sagas where key is null and status = 'completed'";
        sqlx::query_scalar(id).fetch_optional(&stage.shop.pool).await.unwrap()
    })
    .await;
    stage.shop.at_least(DROPPED, 1).await;
    eventually("the end of the partition", async || {
        (stage.shop.number("select count(*) from amends.sagas").await == 0).then_some(())
    })
    .await;

    // Published once more, under the same key.
    stage.publish("jobs.wanted", job("a")).await;
    let mut other = job("a");
    other["more"] = true.into();
    stage.publish("jobs.wanted", other).await;
    stage.shop.at_least(LETTERS, 1).await;
    let reason: String = sqlx::query_scalar("select reason from amends.dead_letters")
        .fetch_one(&stage.shop.pool)
        .await
        .unwrap();
    assert!(reason.contains("the key `a` of `job` was used before with another body"), "{reason}");

    // Delivered once more, by consumers that start over.
    awake.store(false, Ordering::Relaxed);
    stage.leave("one").await;
    let stream = stage.shop.jetstream.get_stream("AMENDS_EVENTS").await.unwrap();
    for consumer in ["amends-job", "amends-nameless"] {
        stream.delete_consumer(consumer).await.unwrap();
    }
    let config = Config { retain: Some(RETAIN), ..Config::default() };
    stage.enter_with("two", config, definitions()).await;
    // What has no key begins again under the same id, and its effects are the same.
    let place: String = eventually("a saga from before all partitions", async || {
        let place =
            "select c.relname::text from amends.saga s join pg_class c on c.oid = s.tableoid
            where s.id = $1";
        sqlx::query_scalar(place).bind(id).fetch_optional(&stage.shop.pool).await.unwrap()
    })
    .await;
    assert_eq!(place, "saga_default");
    let resolve =
        format!("select amends.resolve('{id}', 'shop.work', '{{\"outcome\":\"ok\"}}', 'seen')");
    sqlx::query(AssertSqlSafe(resolve)).execute(&stage.shop.pool).await.unwrap();
    eventually("the end of the old saga", async || {
        let left = "select (select count(*) from amends.saga_default)
            + (select count(*) from amends.fact_default) + (select count(*) from amends.acts)";
        (stage.shop.number(left).await == 0).then_some(())
    })
    .await;
    // The one with a key never began again: its only facts are gone with its partition.
    let again = said(&stage).await.into_iter().filter(|(_, status)| status == "completed").count();
    assert_eq!(again, 1, "one saga with a key, which completed once");
    eventually("a look at each message", async || {
        (stage.shop.number(LETTERS).await == 1).then_some(())
    })
    .await;

    // Whoever knows that no copy will come may let the key be used again.
    let forgotten =
        stage.shop.number("select amends.forget_keys(interval '0', 'no copy can come')").await;
    assert_eq!(forgotten, 1);
    stage.publish("jobs.wanted", job("a")).await;
    reaches(&stage, "a", "completed").await;
}

/// Whoever reads for long keeps partitions from being made, and nobody from going on.
#[tokio::test]
async fn a_long_query_holds_up_no_saga() {
    let (stage, _) = stage().await;
    let mut reader = stage.shop.pool.begin().await.unwrap();
    sqlx::query("select count(*) from amends.sagas").fetch_one(&mut *reader).await.unwrap();
    let elsewhere = "select count(*) from amends.saga_default";
    let mut sagas = 0;
    while stage.shop.number(elsewhere).await == 0 {
        let id = format!("j-{sagas}");
        stage.publish("jobs.wanted", job(&id)).await;
        reaches(&stage, &id, "completed").await;
        sagas += 1;
    }
    assert_eq!(stage.shop.number("select count(*) from amends.saga").await, sagas);
    reader.commit().await.unwrap();
    stage.shop.at_least(DROPPED, sagas).await;
    assert_eq!(stage.shop.number(elsewhere).await, 0);
    assert_eq!(stage.shop.number(LETTERS).await, 0);
}

/// A program of before does not write keys: the database does.
#[tokio::test]
async fn an_older_program_holds_keys_too() {
    let shop = Shop::closed().await;
    let start = "insert into amends.saga (id, started_at, version, definition, status, key, input)
        values (amends.first_id(clock_timestamp() + $1 * interval '1 s'), now(), 1, 'order', 'running',
                'o-1', '{\"a\": [1, 2]}')";
    sqlx::query(start).bind(0).execute(&shop.pool).await.unwrap();
    let second = sqlx::query(start).bind(1).execute(&shop.pool).await.unwrap_err();
    assert_eq!(second.as_database_error().unwrap().code().as_deref(), Some("23505"));
    let digest: Vec<u8> = sqlx::query_scalar("select digest from amends.business_key")
        .fetch_one(&shop.pool)
        .await
        .unwrap();
    assert_eq!(digest, amends::Json::parse(b"{\"a\":[1,2]}").unwrap().digest());
}
