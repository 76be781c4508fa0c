//! Waits that end in the far past or future, on a real Postgres, which stores neither.

use amends::{BeforePivot, Definition, Delay, Finished, Given, Plan, Saga, Trigger};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::Stage;

#[derive(Serialize, Deserialize)]
struct Appointment {
    id: String,
    at: DateTime<Utc>,
}

struct Keep;

impl Saga for Keep {
    const NAME: &'static str = "keep";
    const VERSION: u32 = 1;
    type Input = Appointment;
    type Output = ();

    fn trigger() -> Trigger<Appointment> {
        Trigger::on("appointments.made").key(|made| made.id.clone())
    }

    fn plan(mut p: Plan<BeforePivot>, made: Given<Appointment>) -> Finished<()> {
        let over = p.step(Delay::until("appointment", made.map(|made| made.at)));
        p.finish(over)
    }
}

#[tokio::test]
async fn the_far_past_is_over_and_the_far_future_is_told() {
    let mut stage = Stage::set().await;
    stage.enter("one", vec![Definition::of::<Keep>().unwrap()]).await;
    let times = [
        ("past", "-4713-01-01T00:00:00Z", "completed"),
        ("first", "-262143-01-01T00:00:00Z", "completed"),
        ("before", "1969-12-31T23:59:59Z", "completed"),
        ("future", "+10000-01-01T00:00:00Z", "compensated"),
        ("last", "+262142-12-31T23:59:59Z", "compensated"),
    ];
    for (id, at, _) in times {
        stage.publish("appointments.made", json!({"id": id, "at": at})).await;
    }
    // What Postgres can store is stored as it is.
    stage.publish("appointments.made", json!({"id": "late", "at": "9999-12-31T23:59:59Z"})).await;
    for (id, _, fate) in times {
        assert_eq!(stage.shop.fate(id).await, fate, "{id}");
    }
    let error: String =
        sqlx::query_scalar("select error ->> 'message' from amends.sagas where key = 'future'")
            .fetch_one(&stage.shop.pool)
            .await
            .unwrap();
    assert_eq!(
        error,
        "`appointment` would wait until the year 10000; a wait ends in the year 9999 at the latest"
    );
    let waits = "select count(*) from amends.timer where extract(year from due_at) = 9999";
    stage.shop.at_least(waits, 1).await;
    assert_eq!(stage.shop.number("select count(*) from amends.dead_letters").await, 0);
}
