//! The trip example, one feature after the other, with the orchestrator killed where it waits.

use serde_json::{Value, json};

use crate::support::{Agency, eventually, trip};

/// All that a trip can have.
fn everything(id: &str, traveller: &str) -> Value {
    let mut trip = trip(id, traveller);
    trip["stays"] = json!([
        {"hotel": "grand", "nights": 2},
        {"hotel": "station", "nights": 1},
        {"hotel": "grand", "nights": 1},
    ]);
    trip["car"] = json!({"class": "compact", "days": 3, "age": 40});
    trip["insured"] = true.into();
    trip["visa"] = true.into();
    trip
}

fn with_visa(id: &str, traveller: &str) -> Value {
    let mut trip = trip(id, traveller);
    trip["visa"] = true.into();
    trip
}

async fn crash(agency: &mut Agency) {
    agency.kill("orchestrator").await;
    agency.start("orchestrator", &["orchestrator"]);
}

#[tokio::test]
async fn a_trip_with_everything() {
    let agency = Agency::open().await;
    agency.wants(&everything("t-1", "ada")).await;
    agency.step("t-1", "visas.granted", "waiting").await;
    let waits = "select count(*) from amends.waits
        where saga_key = 't-1' and subject = 'visas.granted' and key = 't-1'";
    assert_eq!(agency.number(waits).await, 1);
    agency.grants("t-1").await;
    assert_eq!(agency.fate("t-1").await, "completed");

    let id = agency.id("t-1").await;
    let steps = agency.steps(id).await;
    let done = [
        "hotel.book.0",
        "hotel.book.1",
        "hotel.book.2",
        "rental",
        "insurance.take",
        "visas.granted",
        "cooling-off",
        "card.charge",
        "mail.tickets",
    ];
    for step in done {
        assert_eq!(steps.get(step).map(String::as_str), Some("done"), "{step} in {steps:?}");
    }
    let (rental, status) = agency.nested(id).await;
    assert_eq!(status, "completed");
    let steps = agency.steps(rental).await;
    assert!(steps.len() == 2 && steps.values().all(|status| status == "done"), "{steps:?}");
    let (output, limit): (Value, bool) = sqlx::query_as(
        "select output, deadline_at = started_at + interval '2 h' from amends.sagas where id = $1",
    )
    .bind(id)
    .fetch_one(&agency.pool)
    .await
    .unwrap();
    // Three nights at the grand, one at the station; three days of car and driver; insurance.
    let price = 3 * 21000 + 8900 + 3 * (4500 + 1200) + 4 * 650;
    assert_eq!((&output["price"], &output["visa"]), (&price.into(), &"v-t-1".into()), "{output}");
    assert_eq!(output["bookings"][2], format!("{id}:hotel.book.2:action"));
    assert!(limit);
    let audit = agency.trips().await;
    assert_eq!((audit.charged, audit.rooms_booked, audit.cars_reserved), (price.into(), 3, 1));
}

#[tokio::test]
async fn a_trip_with_little() {
    let agency = Agency::open().await;
    agency.wants(&trip("t-1", "ada")).await;
    assert_eq!(agency.fate("t-1").await, "completed");
    let steps = agency.steps(agency.id("t-1").await).await;
    for step in ["rental", "insurance.take", "visas.granted"] {
        assert_eq!(steps[step], "skipped", "{step} in {steps:?}");
    }
    let tree = "select count(*) from amends.tree where depth > 0";
    assert_eq!(agency.number(tree).await, 0);
    assert_eq!(agency.trips().await.charged, 2 * 21000 + 8900);
}

#[tokio::test]
async fn a_visa_before_its_trip() {
    let agency = Agency::open().await;
    agency.grants("t-1").await;
    agency.at_least("select count(*) from amends.events where key = 't-1'", 1).await;
    agency.wants(&with_visa("t-1", "ada")).await;
    assert_eq!(agency.fate("t-1").await, "completed");
    agency.trips().await;
}

#[tokio::test]
async fn a_visa_after_a_crash() {
    let mut agency = Agency::open().await;
    agency.wants(&with_visa("t-1", "ada")).await;
    agency.step("t-1", "visas.granted", "waiting").await;
    agency.kill("orchestrator").await;
    agency.grants("t-1").await;
    agency.start("orchestrator", &["orchestrator"]);
    assert_eq!(agency.fate("t-1").await, "completed");
    agency.trips().await;
}

#[tokio::test]
async fn a_visa_that_never_comes() {
    let agency = Agency::open().await;
    agency.wants(&everything("t-1", "ada")).await;
    assert_eq!(agency.fate("t-1").await, "compensated");
    assert_eq!(agency.reason("t-1").await, ("visas.granted".into(), "timed_out".into()));
    let id = agency.id("t-1").await;
    let steps = agency.steps(id).await;
    let code =
        "select error ->> 'code' from amends.steps where saga_id = $1 and step = 'visas.granted'";
    let code: Option<String> =
        sqlx::query_scalar(code).bind(id).fetch_one(&agency.pool).await.unwrap();
    assert_eq!(code.as_deref(), Some("timed_out"));
    for step in ["hotel.book.0", "hotel.book.1", "hotel.book.2", "rental", "insurance.take"] {
        assert_eq!(steps[step], "compensated", "{step} in {steps:?}");
    }
    assert_eq!(agency.nested(id).await.1, "compensated");
    let audit = agency.trips().await;
    assert_eq!((audit.charged, audit.rooms_taken, audit.cars_out), (0, 0, 0));
    // The visa comes late: nobody waits for it any more.
    agency.grants("t-1").await;
    agency.wants(&trip("t-2", "ada")).await;
    assert_eq!(agency.fate("t-2").await, "completed");
    assert_eq!(agency.fate("t-1").await, "compensated");
}

#[tokio::test]
async fn a_hotel_in_the_middle_is_full() {
    let agency = Agency::open().await;
    let attic = json!({"hotel": "attic", "nights": 1});
    let mut full = trip("t-1", "ada");
    full["stays"] = json!([attic, attic, attic]);
    agency.wants(&full).await;
    assert_eq!(agency.fate("t-1").await, "completed");
    let mut late = trip("t-2", "bob");
    late["stays"] =
        json!([{"hotel": "grand", "nights": 1}, attic, {"hotel": "station", "nights": 1}]);
    agency.wants(&late).await;
    assert_eq!(agency.fate("t-2").await, "compensated");
    assert_eq!(agency.reason("t-2").await, ("hotel.book.1".into(), "full".into()));
    let steps = agency.steps(agency.id("t-2").await).await;
    assert_eq!((&*steps["hotel.book.0"], &*steps["hotel.book.1"]), ("compensated", "rejected"));
    // The third was asked for if the first was faster than the second.
    let third = steps["hotel.book.2"].as_str();
    assert!(matches!(third, "not reached" | "compensated"), "{steps:?}");
    assert_eq!(agency.trips().await.rooms_taken, 3);
}

#[tokio::test]
async fn a_declined_card_undoes_a_rental_that_was_completed() {
    let agency = Agency::open().await;
    let mut trip = everything("t-1", "ada");
    trip["card"] = "tok_declined".into();
    agency.wants(&trip).await;
    agency.grants("t-1").await;
    assert_eq!(agency.fate("t-1").await, "compensated");
    assert_eq!(agency.reason("t-1").await, ("card.charge".into(), "card_declined".into()));
    let id = agency.id("t-1").await;
    assert_eq!(agency.steps(id).await["rental"], "compensated");
    let (rental, status) = agency.nested(id).await;
    assert_eq!(status, "compensated");
    let parent: (uuid::Uuid, String) =
        sqlx::query_as("select parent_id, parent_step from amends.sagas where id = $1")
            .bind(rental)
            .fetch_one(&agency.pool)
            .await
            .unwrap();
    assert_eq!(parent, (id, "rental".into()));
    let ends: Vec<String> = sqlx::query_scalar(
        "select status from amends.history
         where saga_id = $1 and status in ('completed', 'compensated') order by seq",
    )
    .bind(rental)
    .fetch_all(&agency.pool)
    .await
    .unwrap();
    assert_eq!(ends, ["completed", "compensated"]);
    let steps = agency.steps(rental).await;
    assert!(steps.len() == 2 && steps.values().all(|status| status == "compensated"), "{steps:?}");
    assert_eq!(agency.trips().await.cars_out, 0);
}

#[tokio::test]
async fn a_driver_who_is_too_young_turns_the_trip_back() {
    let agency = Agency::open().await;
    let mut trip = everything("t-1", "ada");
    trip["car"]["age"] = 20.into();
    agency.wants(&trip).await;
    assert_eq!(agency.fate("t-1").await, "compensated");
    assert_eq!(agency.reason("t-1").await, ("rental".into(), "too_young".into()));
    let (rental, status) = agency.nested(agency.id("t-1").await).await;
    assert_eq!(status, "compensated");
    let steps = agency.steps(rental).await;
    assert_eq!((&*steps["car.reserve"], &*steps["insurance.driver"]), ("compensated", "rejected"));
    assert_eq!(agency.trips().await.cars_out, 0);
}

#[tokio::test]
async fn a_rental_starts_by_itself_too() {
    let agency = Agency::open().await;
    for (id, age) in [("r-1", 40), ("r-2", 20)] {
        let rental =
            json!({"rental_id": id, "driver": "ada", "age": age, "class": "cabrio", "days": 2});
        agency.publish_on("rentals.wanted", rental.to_string()).await;
    }
    assert_eq!(agency.fate("r-1").await, "completed");
    assert_eq!(agency.fate("r-2").await, "compensated");
    let alone =
        "select count(*) from amends.sagas where definition = 'rental' and parent_id is null";
    assert_eq!(agency.number(alone).await, 2);
    assert_eq!(agency.trips().await.cars_out, 1);
}

/// A trip of ada that waits for its visa, and another that waits for the first.
async fn queue(agency: &Agency) {
    agency.wants(&with_visa("t-1", "ada")).await;
    agency.step("t-1", "visas.granted", "waiting").await;
    agency.wants(&trip("t-2", "ada")).await;
    agency.status("t-2", "queued").await;
}

#[tokio::test]
async fn trips_of_one_traveller_take_turns() {
    let mut agency = Agency::open().await;
    queue(&agency).await;
    let locks: Vec<(String, String, String)> =
        sqlx::query_as("select name, key, status from amends.locks order by key")
            .fetch_all(&agency.pool)
            .await
            .unwrap();
    let lock = |key: &str, status: &str| ("traveller/ada".into(), key.into(), status.into());
    assert_eq!(locks, [lock("t-1", "held"), lock("t-2", "waiting")]);
    // What is held and who waits survives; others go on.
    crash(&mut agency).await;
    agency.wants(&trip("t-3", "bob")).await;
    assert_eq!(agency.fate("t-3").await, "completed");
    agency.status("t-2", "queued").await;
    agency.grants("t-1").await;
    assert_eq!(agency.fate("t-1").await, "completed");
    assert_eq!(agency.fate("t-2").await, "completed");
    assert_eq!(agency.trips().await.busy_travellers, 1);
    eventually("no lock", async || {
        (agency.number("select count(*) from amends.locks").await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_operator_breaks_a_lock() {
    let agency = Agency::open().await;
    queue(&agency).await;
    sqlx::query("select amends.break_lock('traveller/ada', 'ada travels with two passports')")
        .execute(&agency.pool)
        .await
        .unwrap();
    agency.step("t-2", "hotel.book.0", "done").await;
    agency.grants("t-1").await;
    assert_eq!(agency.fate("t-1").await, "completed");
    assert_eq!(agency.fate("t-2").await, "completed");
    let beside = "select count(*) from amends.sagas a, amends.history g
        where a.key = 't-1' and g.kind = 'granted' and g.at < a.finished_at
          and g.saga_id = (select id from amends.sagas where key = 't-2')";
    assert_eq!(agency.number(beside).await, 1, "the second trip did not run beside the first");
    agency.trips().await;
}

#[tokio::test]
async fn a_delay_outlives_its_orchestrator() {
    let mut agency = Agency::open().await;
    agency.wants(&trip("t-1", "ada")).await;
    agency.step("t-1", "cooling-off", "waiting").await;
    crash(&mut agency).await;
    assert_eq!(agency.fate("t-1").await, "completed");
    let kept = "select count(*) from amends.steps
        where step = 'cooling-off' and finished_at - started_at >= interval '1 s'";
    assert_eq!(agency.number(kept).await, 1);
    agency.trips().await;
}

#[tokio::test]
async fn a_trip_starts_with_the_transaction_that_asks_for_it() {
    let agency = Agency::open().await;
    let start = "select amends.start('trip', $1::json, $2)";
    let mut gone = agency.pool.begin().await.unwrap();
    sqlx::query(start).bind(trip("gone", "ada")).bind("gone").execute(&mut *gone).await.unwrap();
    gone.rollback().await.unwrap();
    let id: uuid::Uuid = sqlx::query_scalar(start)
        .bind(trip("t-1", "ada"))
        .bind("t-1")
        .fetch_one(&agency.pool)
        .await
        .unwrap();
    assert_eq!(agency.fate("t-1").await, "completed");
    assert_eq!(agency.id("t-1").await, id);
    assert_eq!(agency.number("select count(*) from amends.sagas").await, 1);
    assert_eq!(agency.number("select count(*) from amends.starts").await, 1);
    agency.trips().await;
}
