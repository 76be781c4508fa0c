//! Sagas that share locks, an event's batch or a statement: none holds up the others, and none is given up
//! for what is wrong with another.

use amends::{Await, BeforePivot, Definition, Finished, Given, Plan, Saga, Trigger};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::traces::{address, get};
use crate::support::{SERVICES, Shop, Stage, eventually, order};

#[derive(Serialize, Deserialize)]
struct Parcel {
    id: String,
    #[serde(default)]
    shelf: String,
    #[serde(default)]
    cart: String,
}

/// Holds a shelf and a cart until somebody has come.
struct Pickup;

impl Saga for Pickup {
    const NAME: &'static str = "pickup";
    const VERSION: u32 = 1;
    type Input = Parcel;
    type Output = Parcel;

    fn trigger() -> Trigger<Parcel> {
        Trigger::<Parcel>::on("pickup.wanted")
            .key(|p| p.id.clone())
            .lock(|p| format!("shelf/{}", p.shelf))
            .lock(|p| format!("cart/{}", p.cart))
    }

    fn plan(mut p: Plan<BeforePivot>, _: Given<Parcel>) -> Finished<Parcel> {
        let came = p.step(Await::<Parcel>::on("pickup.came").matching(|p| p.id.clone()));
        p.finish(came)
    }
}

const LETTERS: &str = "select count(*) from amends.dead_letters";

/// Sagas that wait for somebody to come, and no orchestrator: it left.
async fn waiting(ids: &[String]) -> Stage {
    let mut stage = Stage::set().await;
    enter(&mut stage).await;
    for id in ids {
        stage.publish("pickup.wanted", json!({"id": id, "shelf": id, "cart": id})).await;
    }
    let all = i64::try_from(ids.len()).unwrap();
    stage.shop.at_least("select count(*) from amends.waits", all).await;
    stage.leave("one").await;
    stage
}

async fn enter(stage: &mut Stage) {
    stage.enter("one", vec![Definition::of::<Pickup>().unwrap()]).await;
}

async fn came(stage: &Stage, id: &str) {
    stage.publish("pickup.came", json!({"id": id})).await;
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("p{n}")).collect()
}

#[tokio::test]
async fn sagas_that_share_two_locks_take_turns_at_both() {
    let mut stage = Stage::set().await;
    enter(&mut stage).await;
    let both = ids(6);
    for id in &both {
        stage.publish("pickup.wanted", json!({"id": id, "shelf": "7", "cart": "2"})).await;
    }
    // One that shares a lock with them, and one that does not.
    stage.publish("pickup.wanted", json!({"id": "half", "shelf": "8", "cart": "2"})).await;
    stage.publish("pickup.wanted", json!({"id": "none", "shelf": "9", "cart": "9"})).await;
    stage.shop.at_least("select count(*) from amends.locks where status = 'waiting'", 12).await;
    let all: Vec<_> = both.into_iter().chain(["half".to_owned(), "none".to_owned()]).collect();
    for id in &all {
        came(&stage, id).await;
    }
    for id in &all {
        assert_eq!(stage.shop.fate(id).await, "completed", "{id}");
    }
    let left = "select count(*) from amends.locks";
    eventually("no lock", async || (stage.shop.number(left).await == 0).then_some(())).await;
    assert_eq!(stage.shop.number(LETTERS).await, 0);
}

#[tokio::test]
async fn events_that_come_twice_in_a_batch_bury_nothing() {
    let ids = ids(20);
    let mut stage = waiting(&ids).await;
    for id in &ids {
        came(&stage, id).await;
        if ["p3", "p4"].contains(&id.as_str()) {
            came(&stage, id).await;
            stage.publish("pickup.came", json!({"id": id, "shelf": "another event"})).await;
        }
    }
    enter(&mut stage).await;
    for id in &ids {
        assert_eq!(stage.shop.fate(id).await, "completed", "{id}");
    }
    assert_eq!(stage.shop.number(LETTERS).await, 0);
}

#[tokio::test]
async fn only_the_event_that_postgres_refuses_is_a_dead_letter() {
    let ids = ids(20);
    let mut stage = waiting(&ids).await;
    let refuse = "alter table amends.event add constraint too_late check (key <> 'refused')";
    sqlx::query(refuse).execute(&stage.shop.pool).await.unwrap();
    for id in &ids {
        came(&stage, id).await;
        if id == "p7" {
            came(&stage, "refused").await;
        }
    }
    enter(&mut stage).await;
    for id in &ids {
        assert_eq!(stage.shop.fate(id).await, "completed", "{id}");
    }
    stage.shop.at_least(LETTERS, 1).await;
    let reasons: Vec<(String, String)> =
        sqlx::query_as("select body::json ->> 'id', reason from amends.dead_letters")
            .fetch_all(&stage.shop.pool)
            .await
            .unwrap();
    let [(id, reason)] = &reasons[..] else { panic!("{reasons:?}") };
    assert_eq!(id, "refused");
    assert!(reason.contains("too_late"), "{reason}");
}

/// A statement that fails by no fault of an event's: one of its own, a trigger's, a right that is missing.
const BREAK: &str = "
    create function public.break() returns trigger language plpgsql as $$
    begin
        raise exception 'broken' using errcode = 'cardinality_violation';
    end $$;";

#[tokio::test]
async fn an_event_that_a_defect_keeps_out_is_kept_once_that_is_mended() {
    let ids = ids(12);
    let mut stage = waiting(&ids).await;
    sqlx::raw_sql(BREAK).execute(&stage.shop.pool).await.unwrap();
    let broken = "create trigger broken before insert on amends.event for each row
        when (new.key = 'p5') execute function public.break()";
    sqlx::query(broken).execute(&stage.shop.pool).await.unwrap();
    for id in &ids {
        came(&stage, id).await;
    }
    enter(&mut stage).await;
    for id in ids.iter().filter(|id| *id != "p5") {
        assert_eq!(stage.shop.fate(id).await, "completed", "{id}");
    }
    assert_eq!(stage.shop.number(LETTERS).await, 0);
    sqlx::query("drop trigger broken on amends.event").execute(&stage.shop.pool).await.unwrap();
    assert_eq!(stage.shop.fate("p5").await, "completed");
    assert_eq!(stage.shop.number(LETTERS).await, 0);
}

#[tokio::test]
async fn a_saga_that_a_defect_keeps_out_starts_once_that_is_mended() {
    let mut shop = Shop::closed().await;
    sqlx::raw_sql(BREAK).execute(&shop.pool).await.unwrap();
    let broken = "create trigger broken before insert on amends.business_key for each row
        when (new.key = 'o-5') execute function public.break()";
    sqlx::query(broken).execute(&shop.pool).await.unwrap();
    shop.start("orchestrator", &["orchestrator", "--http", "127.0.0.1:0"]);
    for service in SERVICES {
        shop.start_worker(service);
    }
    shop.listening().await;
    for n in 0..10 {
        shop.publish_order(&order(&format!("o-{n}"))).await;
    }
    for n in (0..10).filter(|n| *n != 5) {
        assert_eq!(shop.fate(&format!("o-{n}")).await, "completed", "o-{n}");
    }
    let probes = address(&shop, "orchestrator").await;
    eventually("the count of defects", async || {
        let (_, metrics) = get(&probes, "/metrics").await;
        metrics.contains(r#"amends_store_defects_total{code="21000"} "#).then_some(())
    })
    .await;
    shop.says("orchestrator", "by no fault of its data").await;
    assert_eq!(shop.number(LETTERS).await, 0);
    sqlx::query("drop trigger broken on amends.business_key").execute(&shop.pool).await.unwrap();
    assert_eq!(shop.fate("o-5").await, "completed");
    assert_eq!(shop.number(LETTERS).await, 0);
}
