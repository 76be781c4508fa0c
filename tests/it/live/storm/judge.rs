//! Judges a storm by the services' own ledgers, when every saga has ended.

use amends_demo::audit::TripAudit;

use super::{report::Report, world::World};
use crate::support::spell;

/// What may not be in the tables in the end: each query finds it.
const NOTHING: [(&str, &str); 4] = [
    ("is a dead letter", "select subject || ': ' || reason from amends.dead_letters"),
    ("is stuck", "select row_to_json(s)::text from amends.stuck s"),
    ("holds a lock", "select row_to_json(l)::text from amends.locks l"),
    (
        "two sagas have the key",
        "select key from amends.sagas where key is not null and definition <> 'rental'
      group by definition, key having count(*) > 1",
    ),
];

/// How sagas ended, and why they turned back.
const ENDS: &str = "
    select concat_ws(' ', definition, status, error ->> 'step', error ->> 'code'), count(*)
    from amends.sagas group by 1";

/// Notes what is wrong, and how the sagas ended.
pub(super) async fn judge(world: &World, report: &Report) {
    let shop = world.shop.lock().await;
    // Who looks through whole tables needs what Postgres knows of them.
    spell::command(&world.database, &["analyze"]).await;
    let orders = shop.ledgers().await;
    let trips = TripAudit::of(&shop.database()).await.unwrap();
    for problem in orders.problems.iter().chain(&trips.problems) {
        report.violation(problem.clone());
    }
    for (what, query) in NOTHING {
        let found: Vec<String> = sqlx::query_scalar(query).fetch_all(&world.pool).await.unwrap();
        found.iter().for_each(|found| report.violation(format!("{what}: {found}")));
    }
    report.sagas(sqlx::query_as(ENDS).fetch_all(&world.pool).await.unwrap());
}
